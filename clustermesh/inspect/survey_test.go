package inspect_test

import (
	"errors"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/inspect"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/internal/etcdtest"
)

// put stores an object in an area, for a cluster where that is the mirror's.
func put(t *testing.T, c *etcd.Client, area clustermesh.Area, cluster string, o clustermesh.Object) {
	t.Helper()
	value, err := clustermesh.Encode(o)
	if err != nil {
		t.Fatal(err)
	}
	k := clustermesh.KeyOf(area, o)
	k.Cluster = cluster
	etcdtest.Put(t, c, k.String(), string(value))
}

// mark vouches for tables.
func mark(t *testing.T, c *etcd.Client, area clustermesh.Area, cluster, epoch string, kinds ...clustermesh.Kind) {
	t.Helper()
	for _, kind := range kinds {
		value, err := clustermesh.Encode(&clustermesh.Synced{Source: "s", Epoch: epoch})
		if err != nil {
			t.Fatal(err)
		}
		k, _ := clustermesh.Key{Area: area, Cluster: cluster, Kind: kind}.Marker()
		etcdtest.Put(t, c, k.String(), string(value))
	}
}

// mesh is a store of east, which mirrors west, refused north and waits for south.
func mesh(t *testing.T) *etcd.Client {
	t.Helper()
	c := etcdtest.New(t).Dial()
	etcdtest.Put(t, c, clustermesh.EpochKey, "E1", clustermesh.Root+"mirror/west/nodes/bad", "\xff")
	pods := netip.MustParsePrefix("10.1.0.0/16")
	put(t, c, clustermesh.Export, "", &clustermesh.Cluster{Name: "east", ID: 1, PodCIDRs: []netip.Prefix{pods}})
	put(t, c, clustermesh.Private, "", &clustermesh.Service{Name: clustermesh.ServiceName{Namespace: "shop", Name: "till"}})
	for _, name := range []string{"west", "north", "south"} {
		put(t, c, clustermesh.Private, "", &clustermesh.Peer{Name: name, Endpoints: []string{"https://192.0.2.1:2379"},
			TLS: clustermesh.TLSFiles{CA: "/ca", Cert: "/cert", Key: "/key"}})
	}
	mark(t, c, clustermesh.Export, "", "E1", clustermesh.Tables(clustermesh.Export)...)
	mark(t, c, clustermesh.Private, "", "E1", clustermesh.Tables(clustermesh.Private)...)
	for i, cluster := range []string{"", "west"} {
		area := []clustermesh.Area{clustermesh.Export, clustermesh.Mirror}[i]
		id := clustermesh.NewIdentityID(uint16(i+1), 7)
		put(t, c, area, cluster, &clustermesh.Node{Name: "n1"})
		put(t, c, area, cluster, &clustermesh.Identity{ID: id, Labels: map[string]string{"app": "cart"}})
		address := netip.AddrFrom4([4]byte{10, byte(i + 1), 0, 5})
		put(t, c, area, cluster, &clustermesh.EndpointIdentity{Address: address, Identity: id, Pod: "shop/cart-0", Node: "n1", PodUID: "u"})
		put(t, c, area, cluster, &clustermesh.EndpointSlice{Service: clustermesh.ServiceName{Namespace: "shop", Name: "cart"}, Name: "cart-1",
			Endpoints: []clustermesh.Endpoint{{Address: address}, {Address: address.Next()}}})
	}
	put(t, c, clustermesh.Mirror, "west", &clustermesh.Cluster{Name: "west", ID: 2})
	put(t, c, clustermesh.Mirror, "west", &clustermesh.MirrorState{Phase: clustermesh.MirrorSynced, Since: time.Unix(1, 0).UTC()})
	mark(t, c, clustermesh.Mirror, "west", "E1", clustermesh.KindNodes, clustermesh.KindServices)
	mark(t, c, clustermesh.Mirror, "west", "E0", clustermesh.KindSlices)
	put(t, c, clustermesh.Mirror, "north", &clustermesh.MirrorState{Phase: clustermesh.MirrorRefused, Reason: "its id 1 is ours",
		Cluster: clustermesh.Cluster{Name: "north", ID: 1}})
	return c
}

func TestClusters(t *testing.T) {
	got, err := inspect.Clusters(t.Context(), mesh(t))
	all := clustermesh.Tables(clustermesh.Mirror)
	want := []inspect.Cluster{
		{Name: "east", ID: 1, Phase: "Ours", PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, Nodes: 1, Services: 1, Endpoints: 2, Identities: 1},
		{Name: "north", ID: 1, Phase: "Refused", Reason: "its id 1 is ours", Unsynced: all},
		{Name: "south", Phase: "Connecting", Unsynced: all},
		{Name: "west", ID: 2, Phase: "Synced", Since: time.Unix(1, 0).UTC(), Nodes: 1, Endpoints: 2, Identities: 1, Invalid: 1,
			Unsynced: []clustermesh.Kind{clustermesh.KindAddresses, clustermesh.KindDrains, clustermesh.KindEndpoints, clustermesh.KindExports, clustermesh.KindIdentities, clustermesh.KindSlices}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
	}
}

func TestIdentities(t *testing.T) {
	c := mesh(t)
	got, err := inspect.Identities(t.Context(), c)
	cart := map[string]string{"app": "cart"}
	want := []inspect.Identity{
		{ID: clustermesh.NewIdentityID(1, 7), Cluster: "east", Labels: cart, Addresses: 1},
		{ID: clustermesh.NewIdentityID(2, 7), Cluster: "west", Labels: cart, Addresses: 1},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
	}
	holder, err := inspect.IdentityOf(t.Context(), c, netip.MustParseAddr("::ffff:10.2.0.5"))
	wantHolder := []inspect.Holder{{Address: netip.MustParseAddr("10.2.0.5"), Cluster: "west", Identity: clustermesh.NewIdentityID(2, 7),
		Labels: cart, Pod: "shop/cart-0", PodUID: "u", Node: "n1"}}
	if err != nil || !reflect.DeepEqual(holder, wantHolder) {
		t.Errorf("%v\n got %+v\nwant %+v", err, holder, wantHolder)
	}
	if _, err := inspect.IdentityOf(t.Context(), c, netip.MustParseAddr("10.3.0.1")); !errors.Is(err, inspect.ErrNotFound) {
		t.Errorf("an address that nobody has: %v", err)
	}
}

func TestProcesses(t *testing.T) {
	c := etcdtest.New(t).Dial()
	etcdtest.Put(t, c, clustermesh.Root+"status/agent/n2", "\xff")
	started := time.Unix(1700000000, 0).UTC()
	for _, p := range []*clustermesh.ProcessStatus{
		{Role: "speaker", Node: "n1", Health: clustermesh.HealthOK},
		{Role: "agent", Node: "n1", Version: "v1", Started: started, Health: clustermesh.HealthDegraded, Reasons: []string{"why"}},
	} {
		put(t, c, clustermesh.Status, "", p)
	}
	got, err := inspect.Processes(t.Context(), c)
	if err != nil || len(got) != 3 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if want := (inspect.Process{Role: "agent", Node: "n1", Version: "v1", Started: started, Health: clustermesh.HealthDegraded, Reasons: []string{"why"}}); !reflect.DeepEqual(got[0], want) {
		t.Errorf("got %+v, want %+v", got[0], want)
	}
	if got[1].Role != "agent/n2" || got[1].Health != clustermesh.HealthDegraded || len(got[1].Reasons) != 1 {
		t.Errorf("a value that does not decode: %+v", got[1])
	}
	if got[2].Role != "speaker" || got[2].Health != clustermesh.HealthOK {
		t.Errorf("got %+v", got[2])
	}
}

func TestObjects(t *testing.T) {
	c := mesh(t)
	put(t, c, clustermesh.Private, "", &clustermesh.BGPPeer{Name: "tor", Address: netip.MustParseAddr("192.0.2.1"), ASN: 1, LocalASN: 2})
	put(t, c, clustermesh.Private, "", &clustermesh.BGPAdvertisement{Name: "all", PodCIDRs: true})
	put(t, c, clustermesh.Status, "", &clustermesh.ProcessStatus{Role: clustermesh.RoleSpeaker, Node: "n1", Health: clustermesh.HealthOK,
		Sessions: []clustermesh.BGPSession{{Peer: "tor", State: "Established", Established: true}}})
	first := netip.MustParseAddr("198.51.100.1")
	put(t, c, clustermesh.Private, "", &clustermesh.Pool{Name: "public", Ranges: []clustermesh.AddrRange{{First: first, Last: first.Next()}}, AutoAssign: true})
	all, err := inspect.Objects(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range all {
		for _, c := range o.Conditions {
			got = append(got, o.Kind+" "+o.Name+" "+c.Type+" "+string(c.State)+" "+c.Reason)
		}
	}
	want := []string{
		"AddressPool public Accepted True Accepted", "AddressPool public Conflicted False None",
		"BGPAdvertisement all Accepted True Accepted",
		"BGPPeer tor Accepted True Accepted", "BGPPeer tor Ready True Established",
		"ClusterPeer north Accepted False Refused", "ClusterPeer north Ready False Refused",
		"ClusterPeer south Accepted Unknown Unknown", "ClusterPeer south Ready False Connecting",
		"ClusterPeer west Accepted True Admitted", "ClusterPeer west Ready True Synced",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}
