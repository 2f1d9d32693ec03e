package clustermesh

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

func addressRules() []rule {
	first := func(s string) AddrRange { return AddrRange{netip.MustParseAddr(s), netip.MustParseAddr(s)} }
	pool := func(f func(*Pool), want string) rule { return rule{poolKey, on(f), want} }
	addr := func(f func(*Address), want string) rule { return rule{addressKey, on(f), want} }
	service := func(f func(*AddressRequest), want string) rule {
		return rule{serviceKey, on(func(s *Service) { f(&s.Request) }), "request." + want}
	}
	return []rule{
		pool(func(p *Pool) { p.Name = "A" }, "name "),
		pool(func(p *Pool) { p.Name = "other" }, "must be that of the key"),
		pool(func(p *Pool) { p.Created = at(1, 1) }, "created "),
		pool(func(p *Pool) { p.Ranges = nil }, "ranges ([]) must not be empty"),
		pool(func(p *Pool) {
			p.Ranges = repeat(257, func(i int) AddrRange { return first(fmt.Sprintf("10.%d.%d.1", i/256, i%256)) })
		}, "ranges (257)"),
		pool(func(p *Pool) { p.Ranges[0].Last = netip.MustParseAddr("fd98::1") }, "ranges[0].last (\"fd98::1\") must be of the family"),
		pool(func(p *Pool) { p.Ranges[0].Last = netip.MustParseAddr("198.51.99.0") }, "must not be before the first"),
		pool(func(p *Pool) { p.Ranges[0].First = netip.Addr{} }, "ranges[0].first"),
		pool(func(p *Pool) { p.Ranges[1] = p.Ranges[0] }, "ranges[1].first"),
		pool(func(p *Pool) { slices.Reverse(p.Ranges) }, "must be behind the last address"),
		pool(func(p *Pool) {
			p.Ranges = []AddrRange{{netip.MustParseAddr("126.0.0.0"), netip.MustParseAddr("128.0.0.0")}}
		}, "must not lead through"),
		pool(func(p *Pool) { p.Scope = PoolMesh }, "auto assign (true) must be false"),
		pool(func(p *Pool) { p.Scope = 2 }, "scope (2)"),
		pool(func(p *Pool) { p.ServiceSelector.MatchLabels["a b"] = "" }, "service selector.labels"),
		pool(func(p *Pool) { p.NamespaceSelector.MatchLabels["a b"] = "" }, "namespace selector.labels"),

		addr(func(a *Address) { a.Address = netip.MustParseAddr("198.51.100.8") }, "must be that of the key"),
		addr(func(a *Address) { a.Pool = "A" }, "pool "),
		addr(func(a *Address) { a.Claims, a.Released = nil, time.Time{} }, "released "),
		addr(func(a *Address) { a.Last = ServiceName{} }, "last.namespace"),
		addr(func(a *Address) { slices.Reverse(a.Claims) }, "claims[1].since"),
		addr(func(a *Address) { a.Claims[1] = a.Claims[0] }, "claims[1].since"),
		addr(func(a *Address) { a.Claims[0].Since = time.Time{} }, "claims[0].since"),
		addr(func(a *Address) { a.Claims[0].Service.Name = "" }, "claims[0].service.name"),
		addr(func(a *Address) { a.Claims[0].SharingKey = "a b" }, "claims[0].sharing key"),
		addr(func(a *Address) { a.Claims[0].SharingNamespaces[0] = "A" }, "claims[0].sharing namespaces"),
		addr(func(a *Address) { a.Claims[0].Ports[0].Port = 0 }, "claims[0].port (0)"),
		addr(func(a *Address) { a.Claims[0].Ports[0].Protocol = 1 }, "claims[0].protocol (1)"),
		addr(func(a *Address) {
			a.Claims = repeat(1001, func(i int) AddressClaim {
				return AddressClaim{Service: ServiceName{"shop", "web"}, Since: at(int64(i+1), 0)}
			})
		}, "claims (1001)"),

		service(func(r *AddressRequest) { r.Addresses[1] = netip.Addr{} }, "addresses "),
		service(func(r *AddressRequest) { r.Addresses[1] = r.Addresses[0] }, "addresses "),
		service(func(r *AddressRequest) { r.Families = 4 }, "families (4)"),
		service(func(r *AddressRequest) { r.SharingKey = "a b" }, "sharing key "),
		service(func(r *AddressRequest) { r.SharingNamespaces[0] = "A" }, "sharing namespaces "),
	}
}

func TestJoinRanges(t *testing.T) {
	r := func(s ...string) (out []AddrRange) {
		for i := 0; i < len(s); i += 2 {
			out = append(out, AddrRange{netip.MustParseAddr(s[i]), netip.MustParseAddr(s[i+1])})
		}
		return out
	}
	for _, c := range []struct{ in, want []AddrRange }{
		{nil, nil},
		{r("10.0.0.5", "10.0.0.9", "10.0.0.1", "10.0.0.4"), r("10.0.0.1", "10.0.0.9")},
		{r("10.0.0.1", "10.0.0.9", "10.0.0.3", "10.0.0.4"), r("10.0.0.1", "10.0.0.9")},
		{r("10.0.0.1", "10.0.0.3", "10.0.0.5", "10.0.0.5"), r("10.0.0.1", "10.0.0.3", "10.0.0.5", "10.0.0.5")},
		{r("fd00::", "fd00::1", "255.0.0.0", "255.255.255.255"), r("255.0.0.0", "255.255.255.255", "fd00::", "fd00::1")},
	} {
		if got := JoinRanges(c.in); !slices.Equal(got, c.want) {
			t.Errorf("%v: got %v, want %v", c.in, got, c.want)
		}
	}
	if got := Range(netip.MustParsePrefix("10.0.0.0/30")); got != r("10.0.0.0", "10.0.0.3")[0] {
		t.Errorf("got %v", got)
	}
}
