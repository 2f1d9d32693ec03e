package view

import (
	"fmt"
	"net/netip"
	"testing"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
	"tombolo.io/tombolo/etcd"
)

// An import has the endpoints of the clusters that offer its service, and of no other,
// beside the service itself, which has those that share it.
func TestImport(t *testing.T) {
	v := New("e1")
	v.Apply(events(t, v, `
		put export/cluster 1
		put mirror/west/cluster 2
		put mirror/west/exports/shop/cart 5
		put mirror/west/slices/shop/cart/a 10.2.0.1
		put mirror/north/cluster 3
		put mirror/north/services/shop/cart 7
		put mirror/north/slices/shop/cart/a 10.3.0.1`))
	expect(t, "without an import", inputText(v, "shop/cart.clusterset"), "west#2 prio 5 a=10.2.0.1")
	c := v.Apply(events(t, v, "put private/imports/shop/cart 1"))
	expect(t, "touched", touched(c), "service shop/cart.clusterset")
	expect(t, "of whom offers it", inputText(v, "shop/cart.clusterset"), "east#1 prio 1; west#2 prio 5 a=10.2.0.1")
	expect(t, "and of whom shares it", inputText(v, "shop/cart"), "north#3 prio 7 a=10.3.0.1; west#2 a=10.2.0.1")
	in := v.Service(clustermesh.ServiceName{Namespace: "shop", Name: "cart"}.ClusterSet())
	if in.Self != "east" || in.Node != "e1" || in.Name.Name != "cart.clusterset" {
		t.Errorf("it is for %+v", in)
	}
	for _, e := range in.Exports {
		if e.Cluster == "west" && !(e.Service.Global && e.Service.Shared) {
			t.Errorf("an offer is not shared: %+v", e.Service)
		}
	}

	c = v.Apply(events(t, v, "put private/services/shop/cart 2\nput export/slices/shop/cart/x 10.1.0.1"))
	expect(t, "touched", touched(c), "service shop/cart; service shop/cart.clusterset")
	expect(t, "ours is not offered", inputText(v, "shop/cart.clusterset"), "east#1 prio 1; west#2 prio 5 a=10.2.0.1")
	v.Apply(events(t, v, "put export/exports/shop/cart 9"))
	expect(t, "and then is, as the import says", inputText(v, "shop/cart.clusterset"), "east#1 prio 1 x=10.1.0.1; west#2 prio 5 a=10.2.0.1")

	c = v.Apply(events(t, v, "put mirror/west/drains/service/shop/cart 500"))
	expect(t, "a drain of the service is one of its import", touched(c), "service shop/cart; service shop/cart.clusterset")
	name := clustermesh.ServiceName{Namespace: "shop", Name: "cart"}.ClusterSet()
	if got := v.Service(name).Drains.Services["west"]; got != 500 {
		t.Errorf("drained are %d thousandths", got)
	}
	c = v.Apply(events(t, v, "put private/peers/north x\nsynced private/synced/peers"))
	expect(t, "a peer that is none any more", inputText(v, "shop/cart.clusterset"), "east#1 prio 1 x=10.1.0.1")
	if _, ok := c.Services[name]; !ok {
		t.Errorf("touched is %s", touched(c))
	}
	v.Apply(events(t, v, "delete mirror/west/exports/shop/cart\ndelete mirror/west/slices/shop/cart/a"))
	c = v.Apply(events(t, v, "delete private/imports/shop/cart"))
	expect(t, "touched", touched(c), "service shop/cart.clusterset")
	if v.Definition(name) != nil || inputText(v, "shop/cart.clusterset") != "" {
		t.Errorf("it is still defined: %s", inputText(v, "shop/cart.clusterset"))
	}
	for n := range v.Services() {
		if n == name {
			t.Error("it is still a service")
		}
	}
}

// An address that a Service of ours has is no import's, though the import's key says
// so: that may be of before.
func TestImportYieldsToServices(t *testing.T) {
	of := func(name string, ips ...string) clustermesh.Service {
		s := clustermesh.Service{Name: clustermesh.ServiceName{Namespace: "shop", Name: name}, Global: true, Shared: true}
		for _, a := range ips {
			s.ClusterIPs = append(s.ClusterIPs, netip.MustParseAddr(a))
		}
		return s
	}
	service := func(name string, ips ...string) *clustermesh.Service {
		s := of(name, ips...)
		return &s
	}
	v := New("e1")
	apply := func(key string, o clustermesh.Object) Changes {
		e := etcd.Event[clustermesh.Object]{Op: etcd.Put, Key: clustermesh.Root + key, Value: o, Revision: 1}
		if o == nil {
			e.Op, e.Value = etcd.Delete, nil
		}
		return v.Apply(Batch{Events: []etcd.Event[clustermesh.Object]{e}, Revision: 1})
	}
	name := clustermesh.ServiceName{Namespace: "shop", Name: "cart"}.ClusterSet()
	has := func(what, want string) {
		t.Helper()
		expect(t, what, fmt.Sprint(v.Definition(name).ClusterIPs), want)
	}
	apply("export/cluster", &clustermesh.Cluster{Name: "east", ID: 1})
	apply("private/services/shop/early", service("early", "10.96.0.1", "fd00::1"))
	apply("private/imports/shop/cart", &clustermesh.ServiceImport{Service: of("cart", "10.96.0.1", "fd00::2")})
	has("a Service was first", "[fd00::2]")
	late := service("late")
	late.LoadBalancerIPs = []netip.Addr{netip.MustParseAddr("fd00::2")}
	c := apply("export/services/shop/late", late)
	expect(t, "touched", touched(c), "service shop/cart.clusterset; service shop/late")
	has("another has the other for its clients outside", "[]")
	if s := global.Merge(v.Service(name)); s.Reason != "has no address" || len(s.Ports) > 0 {
		t.Errorf("it is %+v", s)
	}
	apply("private/services/shop/late", late)
	apply("export/services/shop/late", nil)
	has("it moved", "[]")
	c = apply("private/services/shop/late", service("late", "10.96.0.9"))
	expect(t, "touched", touched(c), "service shop/cart.clusterset; service shop/late")
	has("it has it no more", "[fd00::2]")
	apply("mirror/west/services/shop/early", service("early", "fd00::2"))
	has("addresses of other clusters are theirs", "[fd00::2]")
	apply("private/services/shop/early", nil)
	has("nobody else has any", "[10.96.0.1 fd00::2]")
	apply("private/imports/shop/cart", &clustermesh.ServiceImport{Service: of("cart", "10.96.0.9")})
	has("it moves to one that is taken", "[]")
	apply("private/imports/shop/cart", nil)
	if n := len(v.imports.all) + len(v.imports.at); n > 0 || len(v.imports.owned) != 1 {
		t.Errorf("%d are left: %+v", n, v.imports)
	}
}

// That our own cluster says who it is touches an import of which nothing else is known.
func TestImportBeforeItsCluster(t *testing.T) {
	v := New("e1")
	v.Apply(events(t, v, "put private/imports/shop/cart 1"))
	c := v.Apply(events(t, v, "put export/cluster 1"))
	expect(t, "touched", touched(c), `cluster ""; service shop/cart.clusterset`)
}

// Who prefers near endpoints is looked at when the reader's node moves.
func TestImportPrefersNear(t *testing.T) {
	v := New("e1")
	v.Apply(events(t, v, "put export/cluster 1\nput private/imports/shop/cart 1 near\nput private/imports/shop/web 1"))
	c := v.Apply(events(t, v, "put export/nodes/e1 a"))
	expect(t, "touched", touched(c), `node ""/e1; service shop/cart.clusterset`)
}

// What clients of a node get who dial the clusterset IP: the endpoints of all clusters
// that offer the service and have the port, those of their own first where their own
// Service says so.
func TestImportIsMerged(t *testing.T) {
	name := clustermesh.ServiceName{Namespace: "shop", Name: "cart"}
	http, dns := clustermesh.ServicePort{Name: "http", Protocol: clustermesh.TCP, Port: 80}, clustermesh.ServicePort{Name: "dns", Protocol: clustermesh.UDP, Port: 53}
	slice := func(address string, ports ...clustermesh.EndpointPort) *clustermesh.EndpointSlice {
		return &clustermesh.EndpointSlice{Service: name, Name: "a", Ports: ports,
			Endpoints: []clustermesh.Endpoint{{Address: netip.MustParseAddr(address), Ready: true, Serving: true}}}
	}
	exportOf := func(weight uint16, ports ...clustermesh.ServicePort) *clustermesh.ServiceExport {
		return &clustermesh.ServiceExport{Service: clustermesh.Service{Name: name, Ports: ports, Weight: weight}}
	}
	v := New("e1")
	b := Batch{Revision: 1}
	for key, o := range map[string]clustermesh.Object{
		"export/cluster":                &clustermesh.Cluster{Name: "east", ID: 1},
		"mirror/west/cluster":           &clustermesh.Cluster{Name: "west", ID: 2},
		"export/exports/shop/cart":      exportOf(100, http),
		"mirror/west/exports/shop/cart": exportOf(50, http, dns),
		"export/slices/shop/cart/a":     slice("10.1.0.1", clustermesh.EndpointPort{Name: "http", Protocol: clustermesh.TCP, Port: 8080}),
		"mirror/west/slices/shop/cart/a": slice("10.2.0.1", clustermesh.EndpointPort{Name: "http", Protocol: clustermesh.TCP, Port: 8081},
			clustermesh.EndpointPort{Name: "dns", Protocol: clustermesh.UDP, Port: 5353}),
		"private/imports/shop/cart": &clustermesh.ServiceImport{Clusters: []string{"east", "west"}, Service: clustermesh.Service{
			Name: name, ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.9.9")}, Ports: []clustermesh.ServicePort{http, dns},
			Global: true, Shared: true, Weight: 100, Affinity: clustermesh.AffinityLocal,
		}},
	} {
		b.Events = append(b.Events, etcd.Event[clustermesh.Object]{Op: etcd.Put, Key: clustermesh.Root + key, Value: o, Revision: 1})
	}
	v.Apply(b)
	s, why := global.Explain(v.Service(name.ClusterSet()))
	var got string
	for _, p := range s.Ports {
		got += fmt.Sprintf("%v:", p.Frontends[0].Address)
		for _, x := range p.Primary {
			got += fmt.Sprintf(" %s %v:%d", x.Cluster, x.Address, x.Port)
		}
		got += " then"
		for _, x := range p.Backup {
			got += fmt.Sprintf(" %s %v:%d", x.Cluster, x.Address, x.Port)
		}
		got += "; "
	}
	expect(t, "backends", got, "10.96.9.9: east 10.1.0.1:8080 then west 10.2.0.1:8081; 10.96.9.9: west 10.2.0.1:5353 then; ")
	expect(t, "explained", why.Name+" "+why.Reason, "shop/cart.clusterset ")
	if plain := global.Merge(v.Service(name)); len(plain.Ports) > 0 {
		t.Errorf("the Service of the name has ports: %+v", plain.Ports)
	}
}
