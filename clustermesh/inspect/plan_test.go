package inspect

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/etcd"
)

// service returns a global LoadBalancer service with an address.
func service(name string, ip string, policy clustermesh.TrafficPolicy) *clustermesh.Service {
	return &clustermesh.Service{
		Name: clustermesh.ServiceName{Namespace: "d", Name: name}, Type: clustermesh.LoadBalancer, Global: true, Shared: true,
		Weight: 100, ExternalPolicy: policy, InternalPolicy: clustermesh.TrafficLocal,
		Ports: []clustermesh.ServicePort{{Protocol: clustermesh.TCP, Port: 80}}, LoadBalancerIPs: []netip.Addr{netip.MustParseAddr(ip)},
	}
}

// slice returns endpoints: "10.1.0.1 on n1, 10.1.0.2 on n2".
func slice(s *clustermesh.Service, text string) *clustermesh.EndpointSlice {
	out := &clustermesh.EndpointSlice{Service: s.Name, Name: s.Name.Name + "-1", Ports: []clustermesh.EndpointPort{{Protocol: clustermesh.TCP, Port: 80}}}
	for e := range strings.SplitSeq(text, ", ") {
		address, node, _ := strings.Cut(e, " on ")
		out.Endpoints = append(out.Endpoints, clustermesh.Endpoint{Address: netip.MustParseAddr(address), Node: node, Ready: true, Serving: true})
	}
	return out
}

func TestPlan(t *testing.T) {
	v := view.New("")
	var b view.Batch
	put := func(area clustermesh.Area, cluster string, objects ...clustermesh.Object) {
		for _, o := range objects {
			k := clustermesh.KeyOf(area, o)
			k.Cluster = cluster
			b.Events = append(b.Events, etcd.Event[clustermesh.Object]{Op: etcd.Put, Key: k.String(), Value: o, Revision: 1})
		}
	}
	both, local, alone := service("both", "192.0.2.1", clustermesh.TrafficCluster), service("local", "192.0.2.2", clustermesh.TrafficLocal), service("alone", "192.0.2.3", clustermesh.TrafficCluster)
	put(clustermesh.Export, "", &clustermesh.Cluster{Name: "east", ID: 1}, &clustermesh.Node{Name: "n1"}, &clustermesh.Node{Name: "n2"},
		both, slice(both, "10.1.0.1 on n1, 10.1.0.2 on n2"), local, slice(local, "10.1.0.3 on n1, 10.1.0.4 on n2"), alone, slice(alone, "10.1.0.5 on n1"))
	put(clustermesh.Private, "", &clustermesh.BGPAdvertisement{Name: "all", LoadBalancerIPs: true})
	put(clustermesh.Mirror, "west", &clustermesh.Cluster{Name: "west", ID: 2}, both, slice(both, "10.2.0.1 on n1, 10.2.0.2 on n1"))
	v.Apply(b)

	for _, c := range []struct {
		what       clustermesh.DrainKind
		name, want string
		refusal    string
		down       string // clusters, and nodes of ours
	}{
		{clustermesh.DrainNode, "n2", "d/both 3 of 4 75%; d/local 1 of 2 50%; n2 192.0.2.1; n2 192.0.2.2; n2 192.0.2.3", "", ""},
		{clustermesh.DrainNode, "n1", "d/alone 0 of 1 0%; d/both 3 of 4 75%; d/local 1 of 2 50%; n1 192.0.2.1; n1 192.0.2.2; n1 192.0.2.3", "nothing else serves d/alone", ""},
		{clustermesh.DrainService, "d/both", "d/both 2 of 4 50%", "", ""},
		{clustermesh.DrainService, "d/local", "d/local 0 of 2 0%; n1 192.0.2.2 last; n2 192.0.2.2 last", "nothing else serves d/local, and no other node advertises 192.0.2.2 of d/local", ""},
		{clustermesh.DrainCluster, "east", "d/alone 0 of 1 0%; d/both 2 of 4 50%; d/local 0 of 2 0%; n1 192.0.2.1 last; n1 192.0.2.2 last; n1 192.0.2.3 last; n2 192.0.2.1 last; n2 192.0.2.2 last; n2 192.0.2.3 last", "nothing else serves d/alone, d/local, and no other node advertises", ""},
		{clustermesh.DrainNode, "n1", "d/alone 0 of 1 0%; d/both 2 of 3 67%; d/local 0 of 1 0%; n1 192.0.2.1 last; n1 192.0.2.2 last; n1 192.0.2.3 last",
			"nothing else serves d/alone, d/local, and no other node advertises 192.0.2.1 of d/both", "n2"},
		{clustermesh.DrainNode, "n1", "d/alone 0 of 1 0%; d/both 1 of 2 50%; d/local 1 of 2 50%; n1 192.0.2.1; n1 192.0.2.2; n1 192.0.2.3", "nothing else serves d/alone", "west"},
		{clustermesh.DrainService, "d/both", "d/both 0 of 1 0%", "nothing else serves d/both", "west n2"},
	} {
		var verdicts []clustermesh.Verdict
		for _, name := range strings.Fields(c.down) {
			all := clustermesh.Verdict{Cluster: "east", Node: name, AddressDown: clustermesh.AllFamilies, PodsDown: clustermesh.AllFamilies}
			if name == "west" {
				all.Cluster, all.Node = name, ""
			}
			verdicts = append(verdicts, all)
		}
		p := planOf(v, &clustermesh.Drain{What: c.what, Name: c.name, Moved: clustermesh.DrainedWhole}, healthOf(verdicts))
		var got []string
		for _, s := range p.Services {
			got = append(got, fmt.Sprintf("%s %d of %d %.0f%%", s.Service, s.Left, s.Backends, s.Share))
		}
		for _, w := range p.Withdrawn {
			line := fmt.Sprintf("%s %s", w.Node, w.Address)
			if w.Last {
				line += " last"
			}
			got = append(got, line)
		}
		if text := strings.Join(got, "; "); text != c.want {
			t.Errorf("%s %s, down %q:\n got %s\nwant %s", c.what, c.name, c.down, text, c.want)
		}
		err := p.Refusal()
		if (err == nil) != (c.refusal == "") || err != nil && !strings.Contains(err.Error(), c.refusal) {
			t.Errorf("%s %s: refused by %v, want %q", c.what, c.name, err, c.refusal)
		}
	}
	for _, d := range []clustermesh.Drain{{What: clustermesh.DrainCluster, Name: "west"}, {What: clustermesh.DrainNode, Name: "n3"}, {What: clustermesh.DrainService, Name: "d/x"}, {What: "pod"}} {
		if known(v, &d) == nil {
			t.Errorf("%s %s is taken for our own", d.What, d.Name)
		}
	}
}
