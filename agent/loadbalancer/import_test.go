package loadbalancer

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/etcd"
)

// importRig is an agent over the kernel's maps in a cluster that defines no service,
// and a client that dials.
type importRig struct {
	*testing.T
	k        *kernelMaps
	l        *LoadBalancer
	revision int64
	now      time.Time
}

// apply tells the agent of keys, nil for one that goes, and lets it work.
func (r *importRig) apply(objects map[string]clustermesh.Object, events ...etcd.Event[clustermesh.Object]) {
	r.Helper()
	r.revision++
	b := view.Batch{Revision: r.revision}
	for key, o := range objects {
		e := etcd.Event[clustermesh.Object]{Op: etcd.Put, Key: clustermesh.Root + key, Value: o, Revision: r.revision}
		if o == nil {
			e.Op = etcd.Delete
		}
		b.Events = append(b.Events, e)
	}
	b.Events = append(b.Events, events...)
	r.l.take(b)
	r.work()
}

func (r *importRig) work() {
	r.Helper()
	for range 1000 {
		r.l.settle(r.now)
		switch {
		case r.l.state.limbo.running:
			r.l.graceEnded(<-r.l.graceDone, r.now)
		case r.l.queue.Len() == 0 && r.l.state.limbo.fresh.empty():
			return
		default:
			r.now = r.now.Add(max(r.l.nextWake(r.now), time.Millisecond))
		}
	}
	r.Fatalf("the agent does not come to an end: %v", r.l.queue.Failures())
}

// reaches dials an address until every backend would have answered, and compares who
// did: the third bytes of their addresses.
func (r *importRig) reaches(what, to string, want ...int) {
	r.Helper()
	var got []int
	for range 64 {
		who, err := dial(r.k.place, netip.MustParseAddrPort(to))
		switch {
		case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.ENETUNREACH):
		case err != nil:
			r.Fatalf("%s: dialling %s: %v", what, to, err)
		case !slices.Contains(got, who):
			got = append(got, who)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		r.Errorf("%s: %s leads to %v, want %v", what, to, got, want)
	}
}

// Under the programs themselves: a client in a cluster that does not define a service
// reaches it by its clusterset IP; whoever leaves is not reached any more; and whatever
// the import's key says, an address of a Service leads to that Service alone.
func TestImportUnderPrograms(t *testing.T) {
	k := loadKernelMaps(t, testSizes())
	if err := k.d.Attach(); err != nil {
		t.Fatal(err)
	}
	k.attached = true
	k.place.Own(t, netip.MustParsePrefix("10.0.0.1/8"))
	echo(t, k.place, 8081)
	r := &importRig{T: t, k: k, now: time.Unix(1e9, 0)}
	r.start()

	const vip, other = "172.16.0.1", "172.16.0.2"
	cart := clustermesh.ServiceName{Namespace: "shop", Name: "cart"}
	port := []clustermesh.ServicePort{{Name: "dns", Protocol: clustermesh.UDP, Port: 81}}
	slice := func(n clustermesh.ServiceName, cluster, third int) *clustermesh.EndpointSlice {
		return &clustermesh.EndpointSlice{Service: n, Name: "a", Ports: []clustermesh.EndpointPort{{Name: "dns", Protocol: clustermesh.UDP, Port: 8081}},
			Endpoints: []clustermesh.Endpoint{{Address: netip.MustParseAddr(fmt.Sprintf("10.%d.%d.1", cluster, third)), Node: "n1", Ready: true, Serving: true}}}
	}
	export := &clustermesh.ServiceExport{Service: clustermesh.Service{Name: cart, Ports: port, Weight: 100}}
	imported := func(clusters ...string) *clustermesh.ServiceImport {
		return &clustermesh.ServiceImport{Clusters: clusters, Service: clustermesh.Service{
			Name: cart, ClusterIPs: []netip.Addr{netip.MustParseAddr(vip)}, Ports: port, Global: true, Shared: true, Weight: 100}}
	}
	objects := map[string]clustermesh.Object{
		"export/cluster":      &clustermesh.Cluster{Name: "east", ID: 1, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}},
		"mirror/west/cluster": &clustermesh.Cluster{Name: "west", ID: 2, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}},
		"private/peers/west":  &clustermesh.Peer{Name: "west", Endpoints: []string{"https://west"}},
		// West's alone, and neither exported nor shared: nobody's business here.
		"mirror/west/slices/shop/mail/a": slice(clustermesh.ServiceName{Namespace: "shop", Name: "mail"}, 1, 66),
	}
	vouched := slices.Concat(synced(clustermesh.Export, ""), synced(clustermesh.Private, ""), synced(clustermesh.Mirror, "west"))
	r.apply(objects, vouched...)
	r.reaches("nobody exports it", vip+":81")

	exported := map[string]clustermesh.Object{
		"mirror/west/exports/shop/cart": export, "mirror/west/slices/shop/cart/a": slice(cart, 1, 7), "private/imports/shop/cart": imported("west"),
	}
	r.apply(exported)
	r.reaches("west exports it", vip+":81", 7)
	r.apply(map[string]clustermesh.Object{"mirror/west/slices/shop/cart/a": slice(cart, 1, 8)})
	r.reaches("its endpoints are others", vip+":81", 8)
	// Of our own Service of the name only an export offers its endpoints.
	r.apply(map[string]clustermesh.Object{
		"private/services/shop/cart": &clustermesh.Service{Name: cart, Ports: port, ClusterIPs: []netip.Addr{netip.MustParseAddr(other)}},
		"private/slices/shop/cart/a": slice(cart, 0, 9),
	})
	r.reaches("ours has endpoints too", vip+":81", 8)
	r.apply(map[string]clustermesh.Object{"export/exports/shop/cart": export, "private/imports/shop/cart": imported("east", "west")})
	r.reaches("and exports them", vip+":81", 8, 9)
	r.reaches("its own address is none of ours to lead", other+":81")

	r.l.judge(Verdict{Cluster: 2, Down: ClusterDown | V4, Known: Everything})
	r.work()
	r.reaches("west is dead", vip+":81", 9)
	r.l.judge(Verdict{Cluster: 2, Down: 0, Known: Everything})
	r.work()
	r.reaches("and is back", vip+":81", 8, 9)

	owner := clustermesh.ServiceName{Namespace: "shop", Name: "owner"}
	service := &clustermesh.Service{Name: owner, Ports: port, ClusterIPs: []netip.Addr{netip.MustParseAddr(vip)}, Created: r.now}
	r.apply(map[string]clustermesh.Object{"private/services/shop/owner": service})
	r.reaches("the address is that of a Service that is not ours to balance", vip+":81")
	global := *service
	global.Global, global.Weight = true, 100
	r.apply(map[string]clustermesh.Object{"private/services/shop/owner": &global, "private/slices/shop/owner/a": slice(owner, 0, 33)})
	r.reaches("of one that is", vip+":81", 33)
	r.restart(objects, exported, vouched, map[string]clustermesh.Object{"private/services/shop/owner": &global, "private/slices/shop/owner/a": slice(owner, 0, 33)})
	r.reaches("after a restart, too", vip+":81", 33)
	r.apply(map[string]clustermesh.Object{"private/services/shop/owner": nil, "private/slices/shop/owner/a": nil})
	r.reaches("and is free again", vip+":81", 7)

	r.apply(map[string]clustermesh.Object{"mirror/west/exports/shop/cart": nil})
	r.reaches("west exports it no longer, and its slices and the import go later", vip+":81")
	r.apply(map[string]clustermesh.Object{"mirror/west/exports/shop/cart": export})
	r.reaches("it does again", vip+":81", 7)
	r.apply(map[string]clustermesh.Object{"private/peers/west": nil})
	r.reaches("west is no peer any more, and its mirror goes later", vip+":81")
	r.apply(map[string]clustermesh.Object{"private/peers/west": objects["private/peers/west"]})
	r.reaches("it is one", vip+":81", 7)
	r.apply(map[string]clustermesh.Object{"private/imports/shop/cart": nil})
	r.reaches("there is no import", vip+":81")
	if n := len(r.l.state.byName) + len(r.l.state.owners); n > 0 {
		t.Errorf("%d are left of it", n)
	}
}

// start starts an agent over the maps as they are.
func (r *importRig) start() {
	r.Helper()
	r.l = New(Config{Node: "n0"}, r.k, slog.New(slog.DiscardHandler))
	if err := r.l.restore(); err != nil {
		r.Fatal(err)
	}
}

// restart starts another agent, which hears all of it at once.
func (r *importRig) restart(first, second map[string]clustermesh.Object, events []etcd.Event[clustermesh.Object], third map[string]clustermesh.Object) {
	r.Helper()
	all := map[string]clustermesh.Object{}
	for _, m := range []map[string]clustermesh.Object{first, second, third} {
		for key, o := range m {
			all[key] = o
		}
	}
	r.start()
	r.apply(all, events...)
}
