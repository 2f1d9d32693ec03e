package view

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
)

// The notation of these tests: one event a line, "OP KEY [VALUE]", the key
// without the root, the revision counting from 1. OP is put, delete, synced,
// unsynced or invalid; VALUE stands for what the object of a put differs in:
// the id of a cluster, the priority of a service ("near" says that it prefers
// its zone), the zone of a node, the address of an endpoint (and "on" its node),
// the thousandths of a drain.

func events(t *testing.T, v *View, text string) Batch {
	t.Helper()
	ops := map[string]etcd.Op{"put": etcd.Put, "delete": etcd.Delete, "synced": etcd.Synced, "unsynced": etcd.Unsynced, "invalid": etcd.Invalid}
	b := Batch{Revision: v.Revision()}
	for line := range strings.SplitSeq(text, "\n") {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if ops[f[0]] == 0 || len(f) < 2 {
			t.Fatalf("no event: %q", line)
		}
		b.Revision++
		e := etcd.Event[clustermesh.Object]{Op: ops[f[0]], Key: clustermesh.Root + f[1], Revision: b.Revision}
		switch e.Op {
		case etcd.Put:
			e.Value = object(t, e.Key, strings.Join(f[2:], " "))
		case etcd.Invalid, etcd.Unsynced:
			e.Err = errors.New("a reason")
		}
		b.Events = append(b.Events, e)
	}
	return b
}

// object returns the object of a key, well formed, as Decode would.
func object(t testing.TB, key, value string) clustermesh.Object {
	t.Helper()
	k, err := clustermesh.ParseKey(key)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	fmt.Sscan(value, &n)
	names := strings.Split(k.Name, "/")
	switch k.Kind {
	case clustermesh.KindCluster:
		name := k.Cluster
		if name == Ours {
			name = "east"
		}
		return &clustermesh.Cluster{Name: name, ID: uint16(n)}
	case clustermesh.KindState:
		return &clustermesh.MirrorState{Phase: clustermesh.MirrorPhase(value)}
	case clustermesh.KindNodes:
		return &clustermesh.Node{Name: k.Name, Zone: value}
	case clustermesh.KindServices:
		s := &clustermesh.Service{Name: clustermesh.ServiceName{Namespace: names[0], Name: names[1]}, Global: true, Shared: true, Priority: uint8(n)}
		if strings.HasSuffix(value, " near") {
			s.Distribution = clustermesh.PreferSameZone
		}
		return s
	case clustermesh.KindExports:
		return &clustermesh.ServiceExport{Service: clustermesh.Service{Name: clustermesh.ServiceName{Namespace: names[0], Name: names[1]}, Priority: uint8(n)}}
	case clustermesh.KindImports:
		i := &clustermesh.ServiceImport{Service: clustermesh.Service{Name: clustermesh.ServiceName{Namespace: names[0], Name: names[1]}, Priority: uint8(n)}}
		if strings.HasSuffix(value, " near") {
			i.Service.Distribution = clustermesh.PreferSameZone
		}
		return i
	case clustermesh.KindSlices:
		address, node, _ := strings.Cut(value, " on ")
		return &clustermesh.EndpointSlice{Service: clustermesh.ServiceName{Namespace: names[0], Name: names[1]}, Name: names[2],
			Endpoints: []clustermesh.Endpoint{{Address: netip.MustParseAddr(address), Node: node, Ready: true, Serving: true}}}
	case clustermesh.KindIdentities:
		fmt.Sscan(k.Name, &n)
		return &clustermesh.Identity{ID: clustermesh.IdentityID(n), Labels: map[string]string{"app": value}}
	case clustermesh.KindEndpoints:
		return &clustermesh.EndpointIdentity{Address: netip.MustParseAddr(k.Name), Identity: clustermesh.IdentityID(n)}
	case clustermesh.KindDrains:
		return &clustermesh.Drain{What: clustermesh.DrainKind(names[0]), Name: strings.Join(names[1:], "/"),
			Moved: uint16(min(n, clustermesh.DrainedWhole)), Ended: n > clustermesh.DrainedWhole}
	case clustermesh.KindPeers:
		return &clustermesh.Peer{Name: k.Name, Endpoints: []string{value}}
	case clustermesh.KindBGPPeers:
		return &clustermesh.BGPPeer{Name: k.Name, ASN: uint32(n)}
	case clustermesh.KindBGPAdverts:
		return &clustermesh.BGPAdvertisement{Name: k.Name, LocalPref: uint32(n)}
	}
	t.Fatalf("no object for %s", key)
	return nil
}

// inputText writes a service's input: a cluster, its id, its priority, and its
// slices, cluster by cluster.
func inputText(v *View, name string) string {
	namespace, service, _ := strings.Cut(name, "/")
	in := v.Service(clustermesh.ServiceName{Namespace: namespace, Name: service})
	var out []string
	for _, e := range in.Exports {
		s := fmt.Sprintf("%s#%d", e.Cluster, e.ClusterID)
		if e.Service != nil {
			s += fmt.Sprintf(" prio %d", e.Service.Priority)
		}
		for _, sl := range e.Slices {
			s += fmt.Sprintf(" %s=%s", sl.Name, sl.Endpoints[0].Address)
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

// touched writes what a batch touched, sorted.
func touched(c Changes) string {
	var out []string
	for k := range c.Services {
		out = append(out, "service "+k.String())
	}
	for k := range c.Clusters {
		out = append(out, fmt.Sprintf("cluster %q", k))
	}
	for k := range c.Nodes {
		out = append(out, fmt.Sprintf("node %q/%s", k.Cluster, k.Node))
	}
	for _, s := range []struct {
		kind string
		set  Set[string]
	}{{"peer", c.Peers}, {"bgp peer", c.BGPPeers}, {"advertisement", c.BGPAdvertisements}} {
		for k := range s.set {
			out = append(out, s.kind+" "+k)
		}
	}
	for k := range c.Addresses {
		out = append(out, "address "+k.String())
	}
	for k := range c.Identities {
		out = append(out, fmt.Sprint("identity ", uint32(k)))
	}
	if c.Connection {
		out = append(out, "connection")
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

const twoClusters = `
	put export/cluster 1
	put export/services/shop/cart 3
	put export/slices/shop/cart/a 10.1.0.1
	put mirror/west/cluster 2
	put mirror/west/services/shop/cart 5
	put mirror/west/slices/shop/cart/b 10.2.0.2
	put mirror/west/slices/shop/cart/a 10.2.0.1`

func TestService(t *testing.T) {
	v := New("e1")
	c := v.Apply(events(t, v, twoClusters))
	expect(t, "touched", touched(c), `cluster ""; cluster "west"; service shop/cart`)
	expect(t, "input", inputText(v, "shop/cart"), "east#1 prio 3 a=10.1.0.1; west#2 prio 5 a=10.2.0.1 b=10.2.0.2")
	in := v.Service(clustermesh.ServiceName{Namespace: "shop", Name: "cart"})
	expect(t, "self and node", in.Self+" "+in.Node, "east e1")

	c = v.Apply(events(t, v, "delete mirror/west/slices/shop/cart/b\nput mirror/west/slices/shop/cart/a 10.2.0.9"))
	expect(t, "touched", touched(c), "service shop/cart")
	expect(t, "input", inputText(v, "shop/cart"), "east#1 prio 3 a=10.1.0.1; west#2 prio 5 a=10.2.0.9")

	v.Apply(events(t, v, "delete mirror/west/services/shop/cart"))
	expect(t, "input", inputText(v, "shop/cart"), "east#1 prio 3 a=10.1.0.1; west#2 a=10.2.0.9")
	if d := v.Definition(in.Name); d == nil || d.Priority != 3 {
		t.Errorf("own definition: %+v", d)
	}
}

func TestWhoDidNotSayWhoItIsTakesNoPart(t *testing.T) {
	v := New("")
	v.Apply(events(t, v, "put export/services/shop/cart 3\nput mirror/west/services/shop/cart 5"))
	expect(t, "before", inputText(v, "shop/cart"), "")
	c := v.Apply(events(t, v, "put mirror/west/cluster 2"))
	expect(t, "touched", touched(c), `cluster "west"; service shop/cart`)
	expect(t, "one known", inputText(v, "shop/cart"), "west#2 prio 5")
	c = v.Apply(events(t, v, "put export/cluster 1"))
	expect(t, "touched", touched(c), `cluster ""; service shop/cart`)
	expect(t, "both known", inputText(v, "shop/cart"), "east#1 prio 3; west#2 prio 5")
}

func TestMoveBetweenExportAndPrivate(t *testing.T) {
	v := New("")
	v.Apply(events(t, v, "put export/cluster 1\nput export/services/shop/cart 1\nput export/slices/shop/cart/a 10.1.0.1\nput export/slices/shop/cart/b 10.1.0.2"))
	for _, step := range []struct{ event, want string }{
		{"put private/slices/shop/cart/a 10.1.0.3", "east#1 prio 1 a=10.1.0.3 b=10.1.0.2"},
		{"put private/services/shop/cart 2", "east#1 prio 2 a=10.1.0.3 b=10.1.0.2"},
		{"delete export/services/shop/cart", "east#1 prio 2 a=10.1.0.3 b=10.1.0.2"},
		{"delete export/slices/shop/cart/a", "east#1 prio 2 a=10.1.0.3 b=10.1.0.2"},
		{"delete export/slices/shop/cart/b", "east#1 prio 2 a=10.1.0.3"},
		{"put export/services/shop/cart 4", "east#1 prio 4 a=10.1.0.3"},
		{"delete private/slices/shop/cart/a", "east#1 prio 4"},
		{"delete export/services/shop/cart", "east#1 prio 2"},
		{"delete private/services/shop/cart", ""},
	} {
		c := v.Apply(events(t, v, step.event))
		expect(t, step.event, inputText(v, "shop/cart"), step.want)
		expect(t, step.event, touched(c), "service shop/cart")
	}
	if left := slices.Collect(v.Services()); len(left) > 0 {
		t.Errorf("services left: %v", left)
	}
}

func TestPeerRemoved(t *testing.T) {
	v := New("")
	v.Apply(events(t, v, twoClusters+`
		put mirror/west/state Synced
		put mirror/west/nodes/w1 zone-a
		put mirror/west/endpoints/10.2.0.1 131073
		put mirror/west/identities/131073 cart
		synced mirror/west/synced/services`))
	expect(t, "mirrors", strings.Join(slices.Collect(v.Mirrors()), " "), "west")
	v.Apply(events(t, v, `
		delete mirror/west/services/shop/cart
		delete mirror/west/slices/shop/cart/a
		delete mirror/west/slices/shop/cart/b
		delete mirror/west/nodes/w1
		delete mirror/west/endpoints/10.2.0.1
		delete mirror/west/identities/131073
		delete mirror/west/cluster
		delete mirror/west/state
		unsynced mirror/west/synced/services`))
	expect(t, "input", inputText(v, "shop/cart"), "east#1 prio 3 a=10.1.0.1")
	if left := slices.Collect(v.Mirrors()); len(left) > 0 {
		t.Errorf("mirrors left: %v", left)
	}
	if len(v.places) != 1 {
		t.Errorf("%d places are left, want export/ alone", len(v.places))
	}
}

// The store is lost and comes back without a peer: nobody ever says of the keys
// of its mirror that they are gone.
func TestPeerRemovedWhileItsMirrorIsFrozen(t *testing.T) {
	v := New("")
	v.Apply(events(t, v, twoClusters+`
		put mirror/west/nodes/w1 zone-a
		put mirror/west/endpoints/10.2.0.1 131073
		put private/peers/west https://west:2379
		synced private/synced/peers
		synced mirror/west/synced/services`))
	const both = "east#1 prio 3 a=10.1.0.1; west#2 prio 5 a=10.2.0.1 b=10.2.0.2"
	const marked = `address 10.2.0.1; cluster "west"; node "west"/w1; peer west; service shop/cart`
	expect(t, "input", inputText(v, "shop/cart"), both)
	v.Apply(events(t, v, "unsynced private/synced/peers\nunsynced mirror/west/synced/services"))
	expect(t, "while the store is lost", inputText(v, "shop/cart"), both)

	c := v.Apply(events(t, v, "delete private/peers/west"))
	expect(t, "touched", touched(c), marked)
	expect(t, "without the peer", inputText(v, "shop/cart"), "east#1 prio 3 a=10.1.0.1")
	gone := fmt.Sprint(v.Cluster("west"), v.Node("west", "w1"), len(v.HoldersOf(netip.MustParseAddr("10.2.0.1"))), slices.Collect(v.Mirrors()))
	expect(t, "of the peer", gone, "<nil> <nil> 0 []")

	c = v.Apply(events(t, v, "put private/peers/west https://west:2379"))
	expect(t, "touched", touched(c), marked)
	expect(t, "with the peer again", inputText(v, "shop/cart"), both)
}

// A mirror that is there before the peers were all seen is not taken for that of
// a removed peer.
func TestMirrorOfAPeerThatIsNotReadYet(t *testing.T) {
	v := New("")
	v.Apply(events(t, v, twoClusters))
	expect(t, "before", strings.Join(slices.Collect(v.Mirrors()), " "), "west")
	c := v.Apply(events(t, v, "synced private/synced/peers"))
	expect(t, "touched", touched(c), `cluster ""; cluster "west"; service shop/cart`)
	expect(t, "after", strings.Join(slices.Collect(v.Mirrors()), " "), "")
}

func TestSynced(t *testing.T) {
	v := New("")
	marks := func(op string, o origin, kinds ...clustermesh.Kind) {
		t.Helper()
		for _, k := range kinds {
			key := clustermesh.Key{Area: o.area, Cluster: o.cluster, Kind: clustermesh.KindSynced, Name: string(k)}
			c := v.Apply(events(t, v, op+" "+strings.TrimPrefix(key.String(), clustermesh.Root)))
			expect(t, "touched", touched(c), fmt.Sprintf("cluster %q", o.cluster))
		}
	}
	state := func(want string) {
		t.Helper()
		got := fmt.Sprint(v.Synced(Ours), v.Synced(Ours, clustermesh.KindServices), v.Synced("west"), v.Synced("west", clustermesh.KindServices, clustermesh.KindSlices))
		expect(t, "synced", got, want)
	}
	state("false false false false")
	v.Apply(events(t, v, "put private/peers/west https://west:2379"))
	marks("synced", origin{area: clustermesh.Export}, clustermesh.Tables(clustermesh.Export)...)
	state("false false false false")
	marks("synced", origin{area: clustermesh.Private}, clustermesh.KindServices)
	state("false true false false")
	marks("synced", origin{area: clustermesh.Private}, clustermesh.Tables(clustermesh.Private)...)
	state("true true false false")
	marks("synced", origin{clustermesh.Mirror, "west"}, clustermesh.KindServices, clustermesh.KindSlices)
	state("true true false true")
	marks("synced", origin{clustermesh.Mirror, "west"}, clustermesh.Tables(clustermesh.Mirror)...)
	state("true true true true")
	marks("unsynced", origin{clustermesh.Mirror, "west"}, clustermesh.KindSlices)
	state("true true false false")
	if v.Synced("west", clustermesh.KindPeers) {
		t.Error("a mirror has no table of peers, and it is synced")
	}
}

func TestObjectsOfOneCluster(t *testing.T) {
	v := New("")
	c := v.Apply(events(t, v, `
		put private/peers/west https://w
		put private/bgp/peers/tor 65000
		put private/bgp/advertisements/all 200
		put export/nodes/e1 a
		put private/nodes/e1 b
		put private/nodes/e2 c
		put mirror/west/nodes/e1 d`))
	expect(t, "touched", touched(c), `advertisement all; bgp peer tor; node ""/e1; node ""/e2; node "west"/e1; peer west`)
	zones := func(cluster string) string {
		var out []string
		for n := range v.Nodes(cluster) {
			out = append(out, n.Name+"="+n.Zone)
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	expect(t, "nodes", zones(Ours), "e1=b e2=c")
	expect(t, "nodes of west", zones("west"), "e1=d")
	expect(t, "node", v.Node(Ours, "e1").Zone, "b")
	if v.Node("west", "e2") != nil {
		t.Error("west has a node of ours")
	}
	expect(t, "peers", fmt.Sprint(slices.Collect(maps.Keys(v.Peers())), v.BGPPeers()["tor"].ASN, v.BGPAdvertisements()["all"].LocalPref), "[west] 65000 200")
	v.Apply(events(t, v, "delete private/peers/west\ndelete private/bgp/peers/tor\ndelete private/bgp/advertisements/all\ndelete private/nodes/e1"))
	expect(t, "peers", fmt.Sprint(len(v.Peers()), len(v.BGPPeers()), len(v.BGPAdvertisements())), "0 0 0")
	expect(t, "nodes", zones(Ours), "e1=a e2=c")
}

func TestIdentities(t *testing.T) {
	v := New("")
	v.Apply(events(t, v, `
		put export/cluster 1
		put mirror/west/cluster 2
		put export/identities/65537 cart
		put mirror/west/identities/131073 shop
		put mirror/west/identities/65537 forged
		put export/endpoints/10.1.0.1 65537
		put mirror/west/endpoints/10.2.0.1 131073
		put mirror/west/endpoints/10.1.0.1 131073`))
	expect(t, "labels", fmt.Sprint(v.Labels(65537).Labels, v.Labels(131073).Labels), "map[app:cart] map[app:shop]")
	if v.Labels(65538) != nil {
		t.Error("an identity that nobody gave out has labels")
	}
	holders := func(a string) string {
		var out []string
		for _, h := range v.HoldersOf(netip.MustParseAddr(a)) {
			out = append(out, fmt.Sprintf("%q=%d", h.Cluster, h.Endpoint.Identity))
		}
		return strings.Join(out, " ")
	}
	expect(t, "holder", holders("10.2.0.1"), `"west"=131073`)
	expect(t, "holders", holders("10.1.0.1"), `""=65537 "west"=131073`)
	expect(t, "no holder", holders("10.9.0.1"), "")
	n := 0
	for range v.Identities("west") {
		n++
	}
	if n != 2 {
		t.Errorf("west has %d identities, want 2", n)
	}
}

func TestInvalidKeepsTheLastGood(t *testing.T) {
	v := New("")
	v.Apply(events(t, v, twoClusters))
	c := v.Apply(events(t, v, "invalid mirror/west/services/shop/cart\ninvalid export/nonsense"))
	expect(t, "touched", touched(c), "")
	expect(t, "input", inputText(v, "shop/cart"), "east#1 prio 3 a=10.1.0.1; west#2 prio 5 a=10.2.0.1 b=10.2.0.2")
	if len(v.Invalid()) != 2 {
		t.Errorf("invalid: %v", v.Invalid())
	}
	v.Apply(events(t, v, "put mirror/west/services/shop/cart 6\ndelete export/nonsense"))
	if len(v.Invalid()) != 0 {
		t.Errorf("invalid: %v", v.Invalid())
	}
}

func TestStale(t *testing.T) {
	v := New("")
	since, why := time.Unix(9, 0), errors.New("no route")
	c := v.Apply(Batch{Stale: since, Err: why})
	if at, err := v.Stale(); !c.Connection || !at.Equal(since) || err != why {
		t.Errorf("stale since %v: %v, connection %v", at, err, c.Connection)
	}
	if c := v.Apply(Batch{Stale: since, Err: why}); c.Connection {
		t.Error("the connection changed twice")
	}
	if c := v.Apply(Batch{Revision: 7}); !c.Connection || v.Revision() != 7 {
		t.Error("the connection did not come back")
	}
}

func TestZoneOfTheReader(t *testing.T) {
	v := New("e1")
	near := clustermesh.ServiceName{Namespace: "shop", Name: "near"}
	for _, c := range []struct{ events, touched, zone string }{
		{"put export/cluster 1\nput export/services/shop/near 0 near\nput export/services/shop/cart 0\nput mirror/west/services/shop/far 0 near",
			`cluster ""; service shop/cart; service shop/far; service shop/near`, ""},
		{"put export/nodes/e1 z1", `node ""/e1; service shop/near`, "z1"},
		{"put export/nodes/e1 z1", `node ""/e1`, "z1"},
		{"put export/nodes/e2 z2", `node ""/e2`, "z1"},
		{"put mirror/west/nodes/e1 z3", `node "west"/e1`, "z1"},
		{"put export/nodes/e1 z2", `node ""/e1; service shop/near`, "z2"},
		{"delete export/nodes/e1", `node ""/e1; service shop/near`, ""},
	} {
		if got := touched(v.Apply(events(t, v, c.events))); got != c.touched {
			t.Errorf("%s\n got %s\nwant %s", c.events, got, c.touched)
		}
		if got := v.Service(near).Zone; got != c.zone {
			t.Errorf("%s: the zone is %q, want %q", c.events, got, c.zone)
		}
	}
}
