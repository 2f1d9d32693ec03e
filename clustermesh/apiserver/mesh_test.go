package apiserver

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/internal/etcdtest"
)

// member is a cluster whose API server runs its own store, over mutual TLS.
type member struct {
	*rig
	client *etcd.Client
	server *server
	ca     *etcdtest.CA
}

func newMember(t testing.TB, name string, id uint16) *member {
	t.Helper()
	ca := etcdtest.NewCA(t)
	root, listen := ca.Issue("root"), []string{"https://" + etcdtest.Address(t)}
	tls, err := root.Client()
	if err != nil {
		t.Fatal(err)
	}
	client, err := etcd.Dial(etcd.Config{Endpoints: listen, TLS: tls})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	m := &member{rig: look(t, client), client: client, ca: ca}
	m.config = Config{
		Cluster: clustermesh.Cluster{
			Name: name, ID: id,
			PodCIDRs:  []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/16", id))},
			NodeCIDRs: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("192.168.%d.0/24", id))},
		},
		Store: Store{Dir: t.TempDir(), Listen: listen, ServerTLS: ca.Issue("server"), ClientTLS: root},
	}
	m.server = m.serve("n1")
	return m
}

// peerOf is the ClusterPeer by which another cluster mirrors m.
func (m *member) peerOf() string {
	f := m.ca.Issue("peer")
	return fmt.Sprintf("---\napiVersion: tombolo.io/v1alpha1\nkind: ClusterPeer\nmetadata: {name: %s}\nspec: {endpoints: [%q], tls: {caFile: %s, certFile: %s, keyFile: %s}}\n",
		m.config.Cluster.Name, m.config.Store.Listen[0], f.CA, f.Cert, f.Key)
}

func (m *member) mirrored() []string {
	return slices.DeleteFunc(m.keys(), func(k string) bool { return !strings.HasPrefix(k, "mirror/") })
}

// cluster is what the member says of itself.
func (m *member) cluster() *clustermesh.Cluster {
	o, err := clustermesh.DecodeAt(clustermesh.Root+"export/cluster", m.have["export/cluster"])
	if err != nil {
		m.Fatal(err)
	}
	return o.(*clustermesh.Cluster)
}

// seal is the member's.
func (m *member) seal() *clustermesh.Seal {
	m.Helper()
	m.until("it has a seal", func() bool { return m.have["private/seal"] != nil })
	o, err := clustermesh.DecodeAt(clustermesh.Root+"private/seal", m.have["private/seal"])
	if err != nil {
		m.Fatal(err)
	}
	return o.(*clustermesh.Seal)
}

// From a manifest in west to east's mirror, and back out again.
func TestMesh(t *testing.T) {
	east, west := newMember(t, "east", 1), newMember(t, "west", 2)
	east.write("web.yaml", serviceYAML("web", global, 2))
	west.write("web.yaml", strings.ReplaceAll(serviceYAML("web", global, 5), "10.1.0.", "10.2.0."))
	west.write("cart.yaml", serviceYAML("cart", "", 1))
	east.write("peer.yaml", west.peerOf())
	want := []string{"mirror/west/cluster", "mirror/west/services/shop/web", "mirror/west/slices/shop/web/web-1", "mirror/west/state"}
	east.until("what west shares is mirrored", func() bool { return slices.Equal(east.mirrored(), want) })
	east.until("the table has room for the endpoints of both", func() bool {
		return east.service("export/services/shop/web").TableSize == 1021
	})
	east.well(east.server)
	if c := east.cluster(); !c.PeersWith("west") || c.PeersWith("north") {
		t.Errorf("east says of itself: %+v", c)
	}
	east.until("west's seal is mirrored, and only its public half", func() bool {
		o, err := clustermesh.DecodeAt(clustermesh.Root+"mirror/west/cluster", east.have["mirror/west/cluster"])
		return err == nil && bytes.Equal(o.(*clustermesh.Cluster).Seal, west.seal().Public())
	})
	if st := east.server.Status(); len(st.Mirrors) != 1 || st.Mirrors[0].State.Phase != clustermesh.MirrorSynced {
		t.Errorf("its mirrors: %+v", st.Mirrors)
	}

	west.server.stop()
	east.degraded(east.server, "the mirror of west is Stale")
	if !slices.Equal(east.mirrored(), want) {
		t.Errorf("while west is away the mirror has %v", east.mirrored())
	}
	west.server = west.serve("n1")
	east.well(east.server)

	east.remove("peer.yaml")
	east.until("the mirror goes with the peer", func() bool { return len(east.mirrored()) == 0 })
	east.until("it says so", func() bool { return !east.cluster().PeersWith("west") })
	east.well(east.server)
}

// Whoever takes the lease after an outage does not vouch for what the store says of a
// mirror whose peer it did not hear.
func TestMeshReturnsFirst(t *testing.T) {
	east, west := newMember(t, "east", 1), newMember(t, "west", 2)
	east.write("peer.yaml", west.peerOf())
	phase := func() clustermesh.MirrorPhase {
		kv, ok, err := east.client.Get(t.Context(), clustermesh.Root+"mirror/west/state")
		if err != nil || !ok {
			return ""
		}
		o, err := clustermesh.DecodeAt(kv.Key, kv.Value)
		if err != nil {
			t.Fatal(err)
		}
		return o.(*clustermesh.MirrorState).Phase
	}
	held := func() int64 {
		kv, _, _ := east.client.Get(t.Context(), clustermesh.Root+leaseKey)
		return kv.Revision
	}
	east.until("west is mirrored", func() bool { return phase() == clustermesh.MirrorSynced && held() > 0 })
	before := held()
	east.server.stop()
	west.server.stop()
	east.server = east.serve("n1")
	east.until("east's API server holds the lease again", func() bool { return held() > before })
	if got := phase(); got != clustermesh.MirrorStale {
		t.Errorf("the lease is held, and the mirror of west is said to be %s", got)
	}
}

// A peer that takes our pods' prefix for its own is refused, and said to be.
func TestMeshRefusesOverlap(t *testing.T) {
	east, west := newMember(t, "east", 1), newMember(t, "west", 2)
	west.server.stop()
	west.config.Cluster.PodCIDRs = []netip.Prefix{netip.MustParsePrefix("10.1.128.0/17")}
	west.server = west.serve("n1")
	east.write("peer.yaml", west.peerOf())
	east.degraded(east.server, "the mirror of west is Refused")
	east.write("nodes.yaml", nodesYAML(0, 1))
	east.until("our own objects are none the worse", func() bool { return slices.Contains(east.keys(), "export/nodes/n0") })
}

// What was wrong with a peer goes from the status together with the peer, and
// not with the next thing that happens.
func TestRemovedPeerIsNoReason(t *testing.T) {
	east, west := newMember(t, "east", 1), newMember(t, "west", 2)
	east.write("peer.yaml", strings.Replace(west.peerOf(), "name: west", "name: north", 1))
	east.degraded(east.server, "the mirror of north is Refused")
	marked := func() int64 {
		kv, _, _ := east.client.Get(t.Context(), clustermesh.Key{Area: clustermesh.Export, Kind: clustermesh.KindSynced, Name: string(clustermesh.KindNodes)}.String())
		return kv.Revision
	}
	before := marked()
	east.until("the markers were written again", func() bool { return marked() > before })
	start := time.Now()
	east.remove("peer.yaml")
	east.well(east.server)
	if took := time.Since(start); took > refresh/2 {
		t.Errorf("the status says it for %v", took)
	}
}

// BenchmarkChange takes the time of one change of an endpoint, from the
// manifest in west to the key in east's store.
func BenchmarkChange(b *testing.B) {
	east, west := newMember(b, "east", 1), newMember(b, "west", 2)
	east.write("peer.yaml", west.peerOf())
	const key = "mirror/west/slices/shop/web/web-1"
	text := strings.ReplaceAll(serviceYAML("web", global, 100), "10.1.0.", "10.2.0.")
	west.write("web.yaml", text)
	east.until("it is mirrored", func() bool { return east.have[key] != nil })
	var times []time.Duration
	for i := 0; b.Loop(); i++ {
		ready := fmt.Sprint(i%2 == 1)
		changed := strings.Replace(text, "[10.2.0.7]", "[10.2.0.7], conditions: {ready: "+ready+"}", 1)
		before, start := string(east.have[key]), time.Now()
		west.write("web.yaml", changed)
		east.until("it is mirrored", func() bool { return string(east.have[key]) != before })
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "ms-median")
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "ms-p99")
}
