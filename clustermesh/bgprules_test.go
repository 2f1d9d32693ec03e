package clustermesh

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func bgpRules() []rule {
	all := []rule{
		{routerKey, on(func(p *BGPPeer) { p.Interface = "" }), `interface ("") must be given with a link-local address`},
		{routerKey, on(func(p *BGPPeer) { p.Interface = "a/b" }), "interface"},
		{routerKey, on(func(p *BGPPeer) { p.Interface = ".." }), "interface"},
		{routerKey, on(func(p *BGPPeer) { p.Interface = "sixteen-letters." }), "interface"},
		{routerKey, on(func(p *BGPPeer) { p.HoldTime = 2 * time.Second }), `hold time ("2s") must be whole seconds from 3s`},
		{routerKey, on(func(p *BGPPeer) { p.HoldTime = 65536 * time.Second }), "hold time"},
		{routerKey, on(func(p *BGPPeer) { p.HoldTime = 3500 * time.Millisecond }), "hold time"},
		{routerKey, on(func(p *BGPPeer) { p.HoldTime = -3 * time.Second }), "hold time"},
		{routerKey, on(func(p *BGPPeer) { p.Keepalive = p.HoldTime }), "keepalive"},
		{routerKey, on(func(p *BGPPeer) { p.Keepalive = time.Millisecond }), "keepalive"},
		{routerKey, on(func(p *BGPPeer) { p.ConnectRetry = -1 }), "connect retry"},
		{routerKey, on(func(p *BGPPeer) { p.ConnectRetry = 2 * time.Hour }), "connect retry"},
		{routerKey, on(func(p *BGPPeer) { p.RestartTime = 4096 * time.Second }), "restart time"},
		{routerKey, on(func(p *BGPPeer) { p.RestartTime = time.Millisecond }), "restart time"},
		{routerKey, on(func(p *BGPPeer) { p.PasswordFile = "md5" }), "password file"},
		{routerKey, on(func(p *BGPPeer) { p.Families = []Family{2} }), "families (2)"},
		{routerKey, on(func(p *BGPPeer) { p.Families = []Family{0, 0} }), "must not occur twice"},
		{routerKey, on(func(p *BGPPeer) { p.Families = []Family{0, 1, 0} }), "families (3)"},
		{routerKey, on(func(p *BGPPeer) { p.NodeSelector.MatchLabels["a b"] = "" }), "node selector.labels"},
		{advertKey, on(func(a *BGPAdvertisement) { a.Peers = []string{"tor", "tor"} }), "must not occur twice"},
		{advertKey, on(func(a *BGPAdvertisement) {
			a.Peers = repeat(257, func(i int) string { return fmt.Sprint("p", i) })
		}), "peers (257)"},
		{advertKey, on(func(a *BGPAdvertisement) { a.Communities = []string{"1:2", "1:2"} }), "must not occur twice"},
		{advertKey, on(func(a *BGPAdvertisement) { a.Communities = []string{"65536:1"} }), "communities"},
		{advertKey, on(func(a *BGPAdvertisement) {
			a.Communities = repeat(257, func(i int) string { return fmt.Sprint("1:", i) })
		}), "communities (257)"},
		{advertKey, on(func(a *BGPAdvertisement) { a.NodeSelector.MatchLabels["a"] = "-" }), "node selector.labels"},
		{advertKey, on(func(a *BGPAdvertisement) { a.ServiceSelector.MatchExpressions[0].Operator = "in" }), "expressions[0].operator"},
		{advertKey, on(func(a *BGPAdvertisement) { a.ServiceSelector.MatchExpressions[0].Values = nil }), "expressions[0].values"},
		{advertKey, on(func(a *BGPAdvertisement) { a.ServiceSelector.MatchExpressions[0].Values[0] = "a b" }), "expressions[0].values"},
		{advertKey, on(func(a *BGPAdvertisement) { a.ServiceSelector.MatchExpressions[1].Values = []string{"a"} }), "expressions[1].values"},
		{advertKey, on(func(a *BGPAdvertisement) {
			a.ServiceSelector.MatchExpressions[0].Values = make([]string, 257)
		}), "expressions[0].values (257)"},
		{advertKey, on(func(a *BGPAdvertisement) {
			a.ServiceSelector.MatchExpressions = repeat(257, func(int) Requirement { return Requirement{"a", OpExists, nil} })
		}), "expressions (257)"},
	}
	for _, bad := range []string{"0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "fe80::1%eth0", "::ffff:10.0.0.1"} {
		all = append(all, rule{routerKey, on(func(p *BGPPeer) { p.Address = netip.MustParseAddr(bad) }), "address"})
	}
	all = append(all, rule{routerKey, on(func(p *BGPPeer) { p.Address = netip.Addr{} }), "address"})
	for _, bad := range []uint32{0, 23456, 65535, 4294967295} {
		all = append(all,
			rule{routerKey, on(func(p *BGPPeer) { p.ASN = bad }), "ASN"},
			rule{routerKey, on(func(p *BGPPeer) { p.LocalASN = bad }), "local ASN"})
	}
	return all
}

func TestParseCommunity(t *testing.T) {
	for s, want := range map[string]Community{
		"0:0":                     {},
		"65535:65281":             {Standard: 0xffffff01},
		"no-export":               {Standard: 0xffffff01},
		"blackhole":               {Standard: 0xffff029a},
		"4294967295:0:4294967295": {Large: true, Global: 4294967295, Local2: 4294967295},
	} {
		if got, err := ParseCommunity(s); err != nil || got != want {
			t.Errorf("%s: got %+v, %v; want %+v", s, got, err, want)
		}
		if again, err := ParseCommunity(want.String()); err != nil || again != want {
			t.Errorf("%+v is written %s, which is read as %+v, %v", want, want, again, err)
		}
	}
	if got := (Community{Standard: 0xffffff01}).String(); got != "no-export" {
		t.Errorf("a well-known community is written %s", got)
	}
	for _, s := range []string{"", "1", "1:", ":1", "1:2:3:4", "65536:1", "1:65536", "4294967296:0:0", "+1:2", "01:2", "1: 2", "No-export"} {
		if got, err := ParseCommunity(s); err == nil {
			t.Errorf("%q: got %+v, want an error", s, got)
		}
	}
}

func TestSelectorMatches(t *testing.T) {
	labels := map[string]string{"app": "cart", "empty": ""}
	one := func(key string, op Operator, values ...string) Selector {
		return Selector{MatchExpressions: []Requirement{{key, op, values}}}
	}
	for name, c := range map[string]struct {
		selector Selector
		want     bool
	}{
		"nothing picks all":         {Selector{}, true},
		"equal":                     {Selector{MatchLabels: label("app", "cart")}, true},
		"other value":               {Selector{MatchLabels: label("app", "shop")}, false},
		"missing is not empty":      {Selector{MatchLabels: label("none", "")}, false},
		"empty is empty":            {Selector{MatchLabels: label("empty", "")}, true},
		"one of two":                {Selector{MatchLabels: label("app", "cart", "x", "y")}, false},
		"in":                        {one("app", OpIn, "shop", "cart"), true},
		"not in the list":           {one("app", OpIn, "shop"), false},
		"in of a missing label":     {one("none", OpIn, ""), false},
		"not in":                    {one("app", OpNotIn, "shop"), true},
		"not in, but is":            {one("app", OpNotIn, "cart"), false},
		"not in of a missing label": {one("none", OpNotIn, "cart"), true},
		"exists":                    {one("empty", OpExists), true},
		"exists not":                {one("none", OpExists), false},
		"does not exist":            {one("none", OpDoesNotExist), true},
		"does exist":                {one("empty", OpDoesNotExist), false},
		"unknown operator":          {one("app", "Like", "cart"), false},
		"labels and expressions": {Selector{MatchLabels: label("app", "cart"),
			MatchExpressions: []Requirement{{"empty", OpDoesNotExist, nil}}}, false},
	} {
		if got := c.selector.Matches(labels); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
