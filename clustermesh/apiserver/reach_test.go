package apiserver

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
)

// The notation: "service NAME IP...", "derived NAME IP..." and "import NAME IP...",
// with "-" before what goes and "?" behind it where that was found by comparing.
func TestReach(t *testing.T) {
	r, objects := newReach(), map[source.Key][]source.Object{}
	for _, c := range []struct{ change, touched, cart string }{
		{"service web 10.96.0.1", "", "[]"},
		{"derived cart 10.96.0.2 fd00::2", "cart", "[10.96.0.2 fd00::2]"},
		{"service api 10.96.0.3", "", "[10.96.0.2 fd00::2]"},
		{"service api fd00::2", "cart", "[10.96.0.2] fd00::2 is the address of Service shop/api; name one that nobody has"},
		{"service also fd00::2", "cart", "[10.96.0.2] fd00::2 is the address of Service shop/also; name one that nobody has"},
		{"-service also", "cart", "[10.96.0.2] fd00::2 is the address of Service shop/api; name one that nobody has"},
		{"import cart 10.96.0.1", "cart", "[] 10.96.0.1 is the address of Service shop/web; name one that nobody has"},
		{"-service web", "cart", "[10.96.0.1]"},
		{"-import cart", "cart", "[10.96.0.2] fd00::2 is the address of Service shop/api; name one that nobody has"},
		{"-service api", "cart", "[10.96.0.2 fd00::2]"},
		{"derived cart 10.96.0.9", "cart", "[10.96.0.9]"},
		{"import other 10.96.0.9", "cart other", "[10.96.0.9]"},
		{"-derived cart?", "cart other", "[] missed"},
		{"derived cart 10.96.0.2", "cart", "[10.96.0.2]"},
		{"-derived cart", "cart", "[]"},
		{"-import other", "other", "[]"},
	} {
		text, full := strings.CutSuffix(c.change, "?")
		k, o := addressed(strings.TrimPrefix(text, "-"))
		now := []source.Object{o}
		if strings.HasPrefix(text, "-") {
			now = nil
		}
		touched := map[clustermesh.ServiceName]struct{}{}
		r.replace(k, objects[k], now, full, touched)
		objects[k] = now
		var names []string
		for n := range maps.Keys(touched) {
			names = append(names, n.Name)
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); got != c.touched {
			t.Errorf("%s: touched are %q, want %q", c.change, got, c.touched)
		}
		cart := clustermesh.ServiceName{Namespace: "shop", Name: "cart"}
		ips, err := r.addresses(cart)
		got := fmt.Sprint(ips)
		if err != nil {
			got += " " + err.Error()
		}
		if r.missed[cart] {
			got += " missed"
		}
		if got != c.cart {
			t.Errorf("%s: cart has %s, want %s", c.change, got, c.cart)
		}
	}
	if n := len(r.holders) + len(r.imports) + len(r.missed); n > 0 {
		t.Errorf("%d are left: %+v", n, r)
	}
}

func addressed(text string) (source.Key, source.Object) {
	f := strings.Fields(text)
	name := clustermesh.ServiceName{Namespace: "shop", Name: f[1]}
	var ips []netip.Addr
	for _, a := range f[2:] {
		ips = append(ips, netip.MustParseAddr(a))
	}
	k := source.Key{Kind: source.Service, Namespace: "shop", Name: f[1]}
	switch f[0] {
	case "service":
		return k, &clustermesh.Service{Name: name, ClusterIPs: ips}
	case "derived":
		k.Name = source.DerivedName(name)
	default:
		k.Kind = source.ServiceImport
	}
	return k, &source.ImportAddress{Service: name, IPs: ips}
}
