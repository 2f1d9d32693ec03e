package bgp

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"tombolo.io/tombolo/bgp/advertise"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
)

// pictureOf returns the picture of node n1 with a router tor and the services
// named, each as "name ip" for one that has a ready endpoint, "name ip down" for
// one that has none, and "name ip down global" for a global one.
func pictureOf(services ...string) picture {
	p := picture{
		complete: true,
		node:     &clustermesh.Node{Name: "n1", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.1.0/24")}},
		peers:    []*clustermesh.BGPPeer{{Name: "tor", Address: netip.MustParseAddr("10.0.0.254"), ASN: 1, LocalASN: 2}},
		adverts:  []*clustermesh.BGPAdvertisement{{Name: "all", PodCIDRs: true, LoadBalancerIPs: true}},
	}
	for _, text := range services {
		f := strings.Fields(text)
		def := &clustermesh.Service{
			Name: clustermesh.ServiceName{Namespace: "d", Name: f[0]}, Type: clustermesh.LoadBalancer,
			Global: slices.Contains(f, "global"), Weight: 100,
			LoadBalancerIPs: []netip.Addr{netip.MustParseAddr(f[1])},
			Ports:           []clustermesh.ServicePort{{Protocol: clustermesh.TCP, Port: 80}},
		}
		slice := &clustermesh.EndpointSlice{Service: def.Name, Name: "s",
			Ports:     []clustermesh.EndpointPort{{Protocol: clustermesh.TCP, Port: 80}},
			Endpoints: []clustermesh.Endpoint{{Address: netip.MustParseAddr("10.1.1.9"), Node: "n1", Ready: !slices.Contains(f, "down")}},
		}
		p.services = append(p.services, global.Merge(global.Input{Name: def.Name, Self: "east", Exports: []global.Export{
			{Cluster: "east", ClusterID: 1, Service: def, Slices: []*clustermesh.EndpointSlice{slice}},
		}}))
	}
	return p
}

func tell(routers []router) string {
	var out []string
	for _, r := range routers {
		line := r.Peer.Name + ":"
		for _, p := range r.Paths {
			line += " " + p.Prefix.String()
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

func TestDecide(t *testing.T) {
	const full = "tor: 10.1.1.0/24 192.0.2.1/32"
	before, _ := decide(pictureOf("web 192.0.2.1"), nil)
	if got := tell(before); got != full {
		t.Fatalf("at first: %q", got)
	}
	edit := func(p picture, do func(*picture)) picture { do(&p); return p }
	for _, row := range []struct {
		name    string
		picture picture
		want    string
		reason  string // of what is held back from tor
	}{
		{"the last endpoint went", pictureOf("web 192.0.2.1 down"), "tor: 10.1.1.0/24", "no-endpoint"},
		{"the service went", pictureOf(), "tor: 10.1.1.0/24", ""},
		{"not all tables are synced", edit(pictureOf(), func(p *picture) { p.complete = false }), full, ""},
		{"the node's object went", edit(pictureOf(), func(p *picture) { p.node = nil }), full, ""},
		{"the router went", edit(pictureOf("web 192.0.2.1"), func(p *picture) { p.peers = nil }), "", ""},
		{"a global service, another cluster never seen", edit(pictureOf("web 192.0.2.1 down global"), func(p *picture) { p.unseen = true }), full, ""},
		{"a service of this cluster alone does not wait for others", edit(pictureOf("web 192.0.2.1 down"), func(p *picture) { p.unseen = true }), "tor: 10.1.1.0/24", "no-endpoint"},
		{"a global service, all clusters seen", pictureOf("web 192.0.2.1 down global"), "tor: 10.1.1.0/24", "no-endpoint"},
		{"the node's maps lead nowhere", edit(pictureOf("web 192.0.2.1"), func(p *picture) { p.local = &advertise.Local{} }), "tor: 10.1.1.0/24", "not-balanced"},
		{"the node leaves: who has a path is asked to prefer others", edit(pictureOf("web 192.0.2.1", "api 192.0.2.2"), func(p *picture) { p.drain = advertise.Leaving }), full, "draining"},
		{"the node has left", edit(pictureOf("web 192.0.2.1"), func(p *picture) { p.drain = advertise.Drained }), "tor: 10.1.1.0/24", "draining"},
		{"what was not advertised is not for want of knowledge", edit(pictureOf("web 192.0.2.1 down global", "api 192.0.2.2 down global"), func(p *picture) { p.unseen = true }), full, "no-endpoint"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, held := decide(row.picture, before)
			if tell(got) != row.want {
				t.Errorf("got  %q\nwant %q", tell(got), row.want)
			}
			var reasons []string
			for _, h := range held["tor"] {
				reasons = append(reasons, string(h.Reason))
			}
			if got := strings.Join(reasons, " "); got != row.reason {
				t.Errorf("held back for %q, want %q", got, row.reason)
			}
		})
	}
}

func TestOnlyHostRoutesAreHeldUnreachable(t *testing.T) {
	routers, _ := decide(pictureOf("web 192.0.2.1"), nil)
	if got := fmt.Sprint(hostRoutes(routers)); got != "map[192.0.2.1/32:true]" {
		t.Errorf("got %s", got)
	}
}
