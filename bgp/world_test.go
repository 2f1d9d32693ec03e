package bgp

import (
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/internal/etcdtest"
)

// world is a cluster's store with one peer cluster, west, whose export is
// mirrored, and a unix socket by which a speaker in another network namespace
// reaches it.
type world struct {
	t      *testing.T
	store  *etcdtest.Store
	client *etcd.Client
	socket string
}

func newWorld(t *testing.T, socket string) *world {
	t.Helper()
	w := &world{t: t, store: etcdtest.New(t), socket: socket}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { carry(near, w.store.Address()) })
		}
	})
	t.Cleanup(func() { // the store's own cleanup, which ends the connections, comes after
		l.Close()
		w.store.Stop()
		all.Wait()
	})
	w.client = w.store.Dial()
	return w
}

// carry connects a client with the store until either closes.
func carry(near net.Conn, to string) {
	defer near.Close()
	far, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer far.Close()
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		go func() {
			io.Copy(way[0], way[1])
			done <- struct{}{}
		}()
	}
	<-done
}

// fill writes the node n1, the peer cluster and what is advertised.
func (w *world) fill() {
	w.t.Helper()
	w.put(clustermesh.Export, "", &clustermesh.Cluster{Name: "east", ID: 1})
	w.put(clustermesh.Mirror, "west", &clustermesh.Cluster{Name: "west", ID: 2})
	w.put(clustermesh.Export, "", &clustermesh.Node{
		Name: "n1", Addresses: addrs("10.9.0.1 fd00:9::1"),
		PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.1.0/24"), netip.MustParsePrefix("fd01:1::/64")},
	})
	w.put(clustermesh.Private, "", &clustermesh.Peer{Name: "west", Endpoints: []string{"https://192.0.2.1:2379"},
		TLS: clustermesh.TLSFiles{CA: "/ca", Cert: "/cert", Key: "/key"}})
	w.put(clustermesh.Private, "", &clustermesh.BGPAdvertisement{Name: "all", PodCIDRs: true, LoadBalancerIPs: true,
		Communities: []string{"65000:1"}})
}

// mark writes the markers of all tables, and the epoch that they name: what the
// store has is all there is.
func (w *world) mark() {
	w.t.Helper()
	etcdtest.Put(w.t, w.client, clustermesh.EpochKey, "one")
	for _, place := range []struct {
		area    clustermesh.Area
		cluster string
	}{{clustermesh.Export, ""}, {clustermesh.Private, ""}, {clustermesh.Mirror, "west"}} {
		for _, kind := range clustermesh.Tables(place.area) {
			key := clustermesh.Key{Area: place.area, Cluster: place.cluster, Kind: clustermesh.KindSynced, Name: string(kind)}
			w.write(key, &clustermesh.Synced{Source: "a-pass", Epoch: "one"})
		}
	}
}

// peer writes a router, tor1 or tor2.
func (w *world) peer(n int, edit ...func(*clustermesh.BGPPeer)) {
	w.t.Helper()
	p := &clustermesh.BGPPeer{
		Name: "tor" + string(rune('0'+n)), Address: netip.AddrFrom4([4]byte{10, 9, 0, byte(255 - n)}), ASN: 64512, LocalASN: 64513,
		HoldTime: 3 * time.Second, RestartTime: 30 * time.Second,
	}
	for _, e := range edit {
		e(p)
	}
	w.put(clustermesh.Private, "", p)
}

// service writes a LoadBalancer service and its endpoints, each "ADDRESS NODE"
// and by turns of both families; a word among options makes it global, or local
// (externalTrafficPolicy), or its endpoints unready, or west's instead of ours.
func (w *world) service(name, ips, options string, endpoints ...string) {
	w.t.Helper()
	has := func(option string) bool { return slices.Contains(strings.Fields(options), option) }
	def := &clustermesh.Service{
		Name: clustermesh.ServiceName{Namespace: "d", Name: name}, Type: clustermesh.LoadBalancer, LoadBalancerIPs: addrs(ips),
		Ports: []clustermesh.ServicePort{{Protocol: clustermesh.TCP, Port: 80}}, Weight: 100, Global: has("global"), Shared: has("global"),
	}
	if has("local") {
		def.ExternalPolicy = clustermesh.TrafficLocal
	}
	area, cluster := clustermesh.Private, ""
	if has("global") {
		area = clustermesh.Export
	}
	if has("west") {
		remote := *def
		remote.LoadBalancerIPs = nil
		w.put(clustermesh.Mirror, "west", &remote)
	}
	if len(def.LoadBalancerIPs) > 0 {
		w.put(area, "", def)
	}
	if has("west") {
		area, cluster = clustermesh.Mirror, "west"
	}
	for i, isV4 := range []bool{true, false} {
		slice := &clustermesh.EndpointSlice{Service: def.Name, Name: name + string(rune('a'+i)),
			Ports: []clustermesh.EndpointPort{{Protocol: clustermesh.TCP, Port: 80}}}
		for _, text := range endpoints {
			address, node, _ := strings.Cut(text, " ")
			if a := netip.MustParseAddr(address); a.Is4() == isV4 {
				slice.Endpoints = append(slice.Endpoints, clustermesh.Endpoint{Address: a, PodUID: address, Node: node,
					Ready: !has("unready"), Serving: !has("unready")})
			}
		}
		w.put(area, cluster, slice)
	}
}

func addrs(text string) []netip.Addr {
	var out []netip.Addr
	for _, a := range strings.Fields(text) {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func (w *world) put(area clustermesh.Area, cluster string, o clustermesh.Object) {
	w.t.Helper()
	key := clustermesh.KeyOf(area, o)
	key.Cluster = cluster
	w.write(key, o)
}

func (w *world) write(key clustermesh.Key, o clustermesh.Object) {
	w.t.Helper()
	value, err := clustermesh.Encode(o)
	if err != nil {
		w.t.Fatal(err)
	}
	etcdtest.Put(w.t, w.client, key.String(), string(value))
}

func (w *world) remove(area clustermesh.Area, o clustermesh.Object) {
	w.t.Helper()
	etcdtest.Delete(w.t, w.client, clustermesh.KeyOf(area, o).String())
}

// forgetWest takes the endpoints of a service and the markers out of west's mirror.
func (w *world) forgetWest(service clustermesh.ServiceName) {
	w.t.Helper()
	prefix := clustermesh.Root + "mirror/west/"
	for _, p := range []string{prefix + "synced/", prefix + "slices/" + service.String() + "/"} {
		if _, err := w.client.Raw().Delete(w.t.Context(), p, clientv3.WithPrefix()); err != nil {
			w.t.Fatal(err)
		}
	}
}

// empty deletes all that the store has.
func (w *world) empty() {
	w.t.Helper()
	if _, err := w.client.Raw().Delete(w.t.Context(), clustermesh.Root, clientv3.WithPrefix()); err != nil {
		w.t.Fatal(err)
	}
}

// lose replaces the store by one that never had anything.
func (w *world) lose() {
	w.t.Helper()
	w.store.Stop()
	w.store.Config.Dir = w.t.TempDir()
	w.store.Start()
}
