package mirror

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/internal/etcdtest"
)

// peerAt returns the configuration of a peer at an address.
func (a *authority) peerAt(name, address string) *clustermesh.Peer {
	f := a.files("peer")
	return &clustermesh.Peer{Name: name, Endpoints: []string{"https://" + address}, TLS: clustermesh.TLSFiles(f)}
}

// cluster is a peer's description of itself: pods in 10.ID.0.0/16, nodes in
// 192.168.ID.0/24, unless pod CIDRs are given.
func cluster(name string, id int, pods ...string) *clustermesh.Cluster {
	c := &clustermesh.Cluster{Name: name, ID: uint16(id), NodeCIDRs: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("192.168.%d.0/24", id))}}
	if len(pods) == 0 {
		pods = []string{fmt.Sprintf("10.%d.0.0/16", id)}
	}
	for _, p := range pods {
		c.PodCIDRs = append(c.PodCIDRs, netip.MustParsePrefix(p))
	}
	return c
}

func service(name string) *clustermesh.Service {
	return &clustermesh.Service{Name: clustermesh.ServiceName{Namespace: "shop", Name: name}, Global: true, Shared: true, Weight: 100,
		Ports: []clustermesh.ServicePort{{Name: "http", Protocol: clustermesh.TCP, Port: 80}}}
}

// slice is "service/slice=address".
func slice(text string) *clustermesh.EndpointSlice {
	path, address, _ := strings.Cut(text, "=")
	svc, name, _ := strings.Cut(path, "/")
	return &clustermesh.EndpointSlice{Service: clustermesh.ServiceName{Namespace: "shop", Name: svc}, Name: name,
		Ports:     []clustermesh.EndpointPort{{Name: "http", Protocol: clustermesh.TCP, Port: 8080}},
		Endpoints: []clustermesh.Endpoint{{Address: netip.MustParseAddr(address), Ready: true, Serving: true}}}
}

func TestMirror(t *testing.T) {
	a := newAuthority(t)
	west := newStore(a)
	west.export(cluster("west", 2), service("cart"), slice("cart/a=10.2.0.1"), slice("cart/b=10.2.0.2"))
	r := newRig(a)
	r.lead(a.peerAt("west", west.address()))
	r.phase("west", clustermesh.MirrorSynced, "")
	r.has("west", "cart/a=10.2.0.1 cart/b=10.2.0.2")
	r.until("all tables", func() bool { return r.view.Synced("west") })
	s := r.view.Mirror("west")
	if s.Epoch != west.epoch || s.Revision == 0 || s.Cluster.ID != 2 || s.Since.IsZero() {
		t.Errorf("state: %+v; the peer's epoch is %s", s, west.epoch)
	}
	want := "west/cluster west/services/shop/cart west/slices/shop/cart/a west/slices/shop/cart/b west/state" +
		" west/synced/addresses west/synced/drains west/synced/endpoints west/synced/exports west/synced/identities west/synced/nodes west/synced/services west/synced/slices"
	if got := r.stored(); got != want {
		t.Errorf("stored:\n%s\nwant:\n%s", got, want)
	}
	kv, _, err := r.Get(t.Context(), clustermesh.Root+"mirror/west/synced/slices")
	r.must(err)
	o, err := clustermesh.DecodeAt(kv.Key, kv.Value)
	r.must(err)
	if m := o.(*clustermesh.Synced); m.Epoch != r.epoch || m.Count != 2 || m.Source == "" {
		t.Errorf("marker: %+v, want our epoch %s and 2 objects", m, r.epoch)
	}

	west.export(slice("cart/a=10.2.0.9"), service("shop"), slice("shop/c=10.2.0.3"))
	west.withdraw("slices/shop/cart/b")
	r.has("west", "cart/a=10.2.0.9 shop/c=10.2.0.3")
}

// Whom a peer peers with is mirrored, and no reason to take all of it in anew.
func TestPeersOfPeer(t *testing.T) {
	a := newAuthority(t)
	west := newStore(a)
	c := cluster("west", 2)
	west.export(c, service("cart"), slice("cart/a=10.2.0.1"))
	r := newRig(a)
	r.lead(a.peerAt("west", west.address()))
	r.phase("west", clustermesh.MirrorSynced, "")
	said := func(peers ...string) bool {
		m := r.view.Cluster("west")
		return m != nil && slices.Equal(m.Peers, peers)
	}
	r.until("it peers with nobody", func() bool { return said() })
	since := r.view.Mirror("west").Since
	c.Peers = []string{"east", "north"}
	west.export(c)
	r.until("it peers with us", func() bool { return said("east", "north") })
	c.Peers = []string{"north"}
	west.export(c)
	r.until("it does not any more", func() bool { return said("north") })
	if got := r.view.Mirror("west").Since; !got.Equal(since) {
		t.Errorf("it was mirrored anew at %v", got)
	}
	// Told to the next term too, that finds the old word in its mirror.
	r.end()
	c.Peers = []string{"east"}
	west.export(c)
	r.lead(a.peerAt("west", west.address()))
	r.until("it peers with us again", func() bool { return said("east") })
}

func TestPeerRemovedAndLeftOver(t *testing.T) {
	a := newAuthority(t)
	west, north := newStore(a), newStore(a)
	west.export(cluster("west", 2), service("cart"), slice("cart/a=10.2.0.1"))
	north.export(cluster("north", 3), service("cart"), slice("cart/a=10.3.0.1"))
	r := newRig(a)
	toWest, toNorth := a.peerAt("west", west.address()), a.peerAt("north", north.address())
	r.lead(toWest, toNorth)
	r.phase("west", clustermesh.MirrorSynced, "")
	r.phase("north", clustermesh.MirrorSynced, "")
	r.Set([]*clustermesh.Peer{toNorth})
	r.until("west is gone", func() bool { return r.view.Mirror("west") == nil && r.endpoints("west") == "" })
	r.until("its markers are gone", func() bool { return !strings.Contains(r.stored(), "west") })
	if got := r.endpoints("north"); got != "cart/a=10.3.0.1" {
		t.Errorf("north has %s", got)
	}
	// What was removed from the configuration between two terms goes too.
	r.end()
	r.lead()
	r.until("north is gone", func() bool { return r.view.Mirror("north") == nil })
	r.until("its markers are gone", func() bool { return r.stored() == "" })
}

func TestNextTerm(t *testing.T) {
	a := newAuthority(t)
	west := newStore(a)
	west.export(cluster("west", 2), service("cart"), slice("cart/a=10.2.0.1"), slice("cart/b=10.2.0.2"))
	r := newRig(a)
	r.lead(a.peerAt("west", west.address()))
	r.phase("west", clustermesh.MirrorSynced, "")
	r.has("west", "cart/a=10.2.0.1 cart/b=10.2.0.2")
	before, _, err := r.Get(t.Context(), clustermesh.Root+"mirror/west/slices/shop/cart/a")
	r.must(err)
	west.withdraw("slices/shop/cart/b")
	var since time.Time
	for heard := false; !heard; { // a peer that is heard too late is rightly stale
		r.until("it is synced", func() bool { return r.state("west").Phase == clustermesh.MirrorSynced })
		r.end()
		since = r.state("west").Since
		began := time.Now()
		r.lead(a.peerAt("west", west.address()))
		<-r.Settled()
		heard = time.Since(began) < prompt
	}
	r.has("west", "cart/a=10.2.0.1")
	after, _, err := r.Get(t.Context(), clustermesh.Root+"mirror/west/slices/shop/cart/a")
	r.must(err)
	if before.Revision != after.Revision {
		t.Error("an unchanged value was written again")
	}
	if now := r.state("west"); !now.Since.Equal(since) || now.Phase != clustermesh.MirrorSynced {
		t.Errorf("the phase began anew: %+v, was since %v", now, since)
	}
}

// What a term finds of a peer that it does not hear is stale, before it is settled.
func TestNextTermDoesNotHear(t *testing.T) {
	a := newAuthority(t)
	west := newStore(a)
	west.export(cluster("west", 2), service("cart"), slice("cart/a=10.2.0.1"))
	silent, err := net.Listen("tcp", "127.0.0.1:0") // as a peer whose packets are lost
	a.must(err)
	defer silent.Close()
	r := newRig(a)
	r.lead(a.peerAt("west", west.address()))
	r.phase("west", clustermesh.MirrorSynced, "")
	<-r.Settled()
	r.end()
	r.lead(a.peerAt("west", silent.Addr().String()))
	<-r.Settled()
	if s := r.state("west"); s.Phase != clustermesh.MirrorStale {
		t.Errorf("settled, and the mirror is said to be %s (%s)", s.Phase, s.Reason)
	}
}

func TestConnectionLost(t *testing.T) {
	a := newAuthority(t)
	west := newStore(a)
	west.export(cluster("west", 2), service("cart"), slice("cart/a=10.2.0.1"))
	w := newWire(t, west.address())
	r := newRig(a)
	r.lead(a.peerAt("west", w.address()))
	r.phase("west", clustermesh.MirrorSynced, "")
	r.has("west", "cart/a=10.2.0.1")
	before := r.stored()

	address := w.address()
	w.sever()
	r.phase("west", clustermesh.MirrorStale, "out of reach")
	if got := r.stored(); got != before {
		t.Errorf("while the peer is out of reach:\n%s\nwant\n%s", got, before)
	}
	if !r.view.Synced("west") {
		t.Error("the mirror's tables are no longer vouched for")
	}
	west.export(slice("cart/b=10.2.0.2"))
	west.withdraw("slices/shop/cart/a")
	w.mend(address)
	r.phase("west", clustermesh.MirrorSynced, "")
	r.has("west", "cart/b=10.2.0.2")
}

// Of a peer that cannot be reached it is said which endpoint that is, and why: from the
// beginning, and when it was heard before.
func TestPeerOutOfReachIsExplained(t *testing.T) {
	a := newAuthority(t)
	west := newStore(a)
	west.export(cluster("west", 2), service("cart"))
	nowhere := etcdtest.Address(t)
	north := a.peerAt("north", nowhere)
	strangers := newAuthority(t)
	south := strangers.peerAt("south", west.address())
	south.TLS.CA = a.peerAt("x", "").TLS.CA
	r := newRig(a)
	r.lead(a.peerAt("west", west.address()), north, south)
	r.phase("west", clustermesh.MirrorSynced, "")
	r.phase("north", clustermesh.MirrorConnecting, "the peer is out of reach: etcd at https://"+nowhere+": connection refused (does it run there")
	r.phase("south", clustermesh.MirrorConnecting, "etcd at https://"+west.address()+": it refuses our certificate")
	west.stop()
	r.phase("west", clustermesh.MirrorStale, "etcd at https://"+west.address()+": connection refused")
}

// A peer whose API servers are dead beside a live etcd is no more up to date than one
// that is out of reach.
func TestNobodyKeepsPeer(t *testing.T) {
	a := newAuthority(t)
	west := newStore(a)
	self := cluster("west", 2)
	self.Capabilities = []string{clustermesh.CapabilityLease}
	west.export(self, &clustermesh.Lease{Holder: "n1"}, service("cart"), slice("cart/a=10.2.0.1"))
	r := newRig(a)
	r.lead(a.peerAt("west", west.address()))
	r.phase("west", clustermesh.MirrorSynced, "")
	before := r.stored()
	west.withdraw("lease")
	r.phase("west", clustermesh.MirrorStale, "no API server")
	if got := r.stored(); got != before || !r.view.Synced("west") {
		t.Errorf("while nobody keeps the peer:\n%s\nwant\n%s", got, before)
	}
	west.export(slice("cart/b=10.2.0.2")) // it is followed nevertheless
	r.has("west", "cart/a=10.2.0.1 cart/b=10.2.0.2")
	west.export(&clustermesh.Lease{Holder: "n2"})
	r.phase("west", clustermesh.MirrorSynced, "")
}

func TestPeerEmptied(t *testing.T) {
	a := newAuthority(t)
	west := newStore(a)
	west.export(cluster("west", 2), service("cart"), slice("cart/a=10.2.0.1"), slice("cart/b=10.2.0.2"))
	r := newRig(a)
	r.lead(a.peerAt("west", west.address()))
	r.phase("west", clustermesh.MirrorSynced, "")
	r.has("west", "cart/a=10.2.0.1 cart/b=10.2.0.2")

	west.empty()
	r.phase("west", clustermesh.MirrorStale, "does not vouch")
	if got := r.endpoints("west"); got != "cart/a=10.2.0.1 cart/b=10.2.0.2" {
		t.Errorf("after the peer's store was emptied the mirror has %q", got)
	}
	// Half of it is there again, and not yet vouched for.
	value, err := clustermesh.Encode(slice("cart/a=10.2.0.1"))
	r.must(err)
	r.must(west.Put(t.Context(), exported+"slices/shop/cart/a", value))
	west.export(cluster("west", 2), service("cart"))
	r.phase("west", clustermesh.MirrorSynced, "")
	r.has("west", "cart/a=10.2.0.1")
}

func TestEmptyPeerInNewTerm(t *testing.T) {
	a := newAuthority(t)
	west := newStore(a)
	west.export(cluster("west", 2), service("cart"), slice("cart/a=10.2.0.1"))
	r := newRig(a)
	r.lead(a.peerAt("west", west.address()))
	r.has("west", "cart/a=10.2.0.1")
	r.phase("west", clustermesh.MirrorSynced, "")
	r.end()
	west.empty()
	r.lead(a.peerAt("west", west.address()))
	r.phase("west", clustermesh.MirrorStale, "does not say who it is")
	west.export(cluster("west", 2), service("other"))
	r.phase("west", clustermesh.MirrorSynced, "")
	r.has("west", "")
}

func TestRefused(t *testing.T) {
	a := newAuthority(t)
	west, north := newStore(a), newStore(a)
	west.export(cluster("wild", 2), service("cart"), slice("cart/a=10.2.0.1"))
	r := newRig(a)
	toWest, toNorth := a.peerAt("west", west.address()), a.peerAt("north", north.address())
	r.lead(toWest, toNorth)
	r.phase("west", clustermesh.MirrorRefused, `calls itself "wild"`)
	if got := r.stored(); strings.Contains(got, "west/cluster") || strings.Contains(got, "west/slices") {
		t.Errorf("of a peer that was refused is stored: %s", got)
	}
	west.export(cluster("west", 2))
	r.has("west", "cart/a=10.2.0.1")
	r.phase("west", clustermesh.MirrorSynced, "")

	// The newcomer with the same id is refused, and what is mirrored stays.
	north.export(cluster("north", 2, "10.3.0.0/16"), service("cart"), slice("cart/a=10.3.0.1"))
	r.phase("north", clustermesh.MirrorRefused, `its id 2 is that of "west"`)
	if got := r.endpoints("west") + r.endpoints("north"); got != "cart/a=10.2.0.1" {
		t.Errorf("mirrored: %s", got)
	}
	// It joins once the id is free.
	r.Set([]*clustermesh.Peer{toNorth})
	r.has("north", "cart/a=10.3.0.1")
	r.phase("north", clustermesh.MirrorSynced, "")
	if got := r.view.Cluster("north"); got.ID != 2 {
		t.Errorf("north is %+v", got)
	}

	// One that joined and then wants what is ours is refused; its mirror stays.
	north.export(cluster("north", 2, "10.1.128.0/17"), slice("cart/a=10.1.128.1"))
	r.phase("north", clustermesh.MirrorRefused, "overlaps")
	if got := r.endpoints("north"); got != "cart/a=10.3.0.1" {
		t.Errorf("mirrored: %s", got)
	}
	// What it said meanwhile counts once it may join again.
	north.export(slice("cart/a=10.3.0.7"))
	north.export(cluster("north", 2, "10.3.0.0/16"))
	r.has("north", "cart/a=10.3.0.7")
}

func TestPeerWithAnotherID(t *testing.T) {
	a := newAuthority(t)
	west := newStore(a)
	west.export(cluster("west", 2), service("cart"), slice("cart/a=10.2.0.1"),
		&clustermesh.Identity{ID: clustermesh.NewIdentityID(2, 7), Labels: map[string]string{"app": "cart"}})
	r := newRig(a)
	r.lead(a.peerAt("west", west.address()))
	r.has("west", "cart/a=10.2.0.1")
	r.until("the identity", func() bool { return r.view.Labels(clustermesh.NewIdentityID(2, 7)) != nil })
	west.export(cluster("west", 5, "10.2.0.0/16"))
	r.until("the new id", func() bool { c := r.view.Cluster("west"); return c != nil && c.ID == 5 })
	r.has("west", "cart/a=10.2.0.1")
	r.phase("west", clustermesh.MirrorSynced, "")
	r.until("no identity of the old id", func() bool { return r.view.Labels(clustermesh.NewIdentityID(2, 7)) == nil })
	if s := r.Status(); s[0].Problems != 1 || !strings.Contains(s[0].Examples[0].Reason, "not of cluster 5") {
		t.Errorf("status: %+v", s)
	}
}

func TestPeerWithFewerAddresses(t *testing.T) {
	a := newAuthority(t)
	west := newStore(a)
	west.export(cluster("west", 2, "10.2.0.0/16", "10.20.0.0/16"), service("cart"), slice("cart/a=10.2.0.1"), slice("cart/b=10.20.0.1"))
	r := newRig(a)
	r.lead(a.peerAt("west", west.address()))
	r.has("west", "cart/a=10.2.0.1 cart/b=10.20.0.1")
	west.export(cluster("west", 2))
	r.has("west", "cart/a=10.2.0.1")
	west.export(cluster("west", 2, "10.2.0.0/16", "10.20.0.0/16"))
	r.has("west", "cart/a=10.2.0.1 cart/b=10.20.0.1")
}

func TestBadValues(t *testing.T) {
	a := newAuthority(t)
	west := newStore(a)
	west.export(cluster("west", 2), service("cart"), slice("cart/a=10.2.0.1"), slice("cart/b=10.2.0.2"))
	r := newRig(a)
	r.lead(a.peerAt("west", west.address()))
	r.has("west", "cart/a=10.2.0.1 cart/b=10.2.0.2")
	r.must(west.Put(t.Context(), exported+"slices/shop/cart/b", []byte("nonsense")))
	r.must(west.Put(t.Context(), exported+"nonsense", []byte("nonsense")))
	west.export(slice("cart/a=10.1.0.1"), slice("cart/c=10.2.0.3"), slice("cart/d=10.9.0.1"))
	problems := func(want ...string) {
		t.Helper()
		r.until(fmt.Sprint("problems with ", want), func() bool {
			s := r.Status()
			if len(s) != 1 || s[0].Problems != len(want) {
				// Nothing of a problem shows in the store: ask again when the next
				// batch comes, which the marker below brings.
				west.mark(clustermesh.KindNodes)
				r.must(r.Client.Put(t.Context(), clustermesh.Root+"private/bgp/peers/knock", []byte(fmt.Sprint(s))))
				return false
			}
			for i, p := range s[0].Examples {
				if p.Key != exported+want[i] || p.Reason == "" {
					t.Errorf("problem %+v, want one with %s", p, want[i])
				}
			}
			return true
		})
	}
	all := []string{"nonsense", "slices/shop/cart/a", "slices/shop/cart/b", "slices/shop/cart/d"}
	problems(all...)
	good := "cart/a=10.2.0.1 cart/b=10.2.0.2 cart/c=10.2.0.3"
	r.has("west", good)

	// The next leader finds them bad too, and keeps the last good ones.
	r.end()
	r.lead(a.peerAt("west", west.address()))
	problems(all...)
	r.has("west", good)
	west.export(slice("cart/a=10.2.0.4"))
	west.withdraw("slices/shop/cart/b", "nonsense", "slices/shop/cart/d")
	r.has("west", "cart/a=10.2.0.4 cart/c=10.2.0.3")
	problems()
}

func TestCertificatesMissing(t *testing.T) {
	a := newAuthority(t)
	west := newStore(a)
	west.export(cluster("west", 2), service("cart"), slice("cart/a=10.2.0.1"))
	p := a.peerAt("west", west.address())
	hidden := p.TLS.Cert + ".hidden"
	a.must(os.Rename(p.TLS.Cert, hidden))
	r := newRig(a)
	r.lead(p)
	r.phase("west", clustermesh.MirrorConnecting, p.TLS.Cert)
	a.must(os.Rename(hidden, p.TLS.Cert))
	r.phase("west", clustermesh.MirrorSynced, "")
	r.has("west", "cart/a=10.2.0.1")
}

// A peer's certificate opens export/ and the epoch of its peers, nothing else.
func TestPeerReadsOnlyWhatIsExported(t *testing.T) {
	a := newAuthority(t)
	west := newStore(a)
	west.export(cluster("west", 2))
	c, err := dial(a.peerAt("west", west.address()))
	a.must(err)
	defer c.Close()
	if _, ok, err := c.Get(t.Context(), identity); !ok || err != nil {
		t.Errorf("reading export/cluster: %v %v", ok, err)
	}
	if _, _, err := c.Get(t.Context(), clustermesh.Root+"private/peers/east"); err == nil {
		t.Error("a peer read private/")
	}
	if err := c.Put(t.Context(), identity, nil); err == nil {
		t.Error("a peer wrote export/")
	}
}

func TestStoreEmptiedEndsTheTerm(t *testing.T) {
	a := newAuthority(t)
	west := newStore(a)
	west.export(cluster("west", 2), service("cart"), slice("cart/a=10.2.0.1"))
	r := newRig(a)
	r.lead(a.peerAt("west", west.address()))
	r.has("west", "cart/a=10.2.0.1")
	r.store.empty()
	west.export(slice("cart/b=10.2.0.2"))
	if err := <-r.ended; !errors.Is(err, etcd.ErrRewound) && !errors.Is(err, etcd.ErrDeposed) {
		t.Errorf("the mirrors ended with %v", err)
	}
	r.ended <- nil
	r.end = func() {}
}
