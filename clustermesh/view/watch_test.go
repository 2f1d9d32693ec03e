package view

import (
	"context"
	"errors"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/internal/etcdtest"
)

// reader applies what Watch sends.
type reader struct {
	t       *testing.T
	view    *View
	batches chan Batch
	// seen are the keys of all events, without the root.
	seen map[string]bool
}

func read(t *testing.T, c *etcd.Client) *reader {
	r := &reader{t: t, view: New("e1"), batches: make(chan Batch), seen: map[string]bool{}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Watch(ctx, c, etcdtest.Log(), r.batches) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != context.Canceled {
			t.Errorf("watching ended: %v", err)
		}
	})
	return r
}

// until applies batches until the condition holds.
func (r *reader) until(what string, holds func() bool) {
	r.t.Helper()
	deadline := time.After(time.Minute)
	for !holds() {
		select {
		case b := <-r.batches:
			for _, e := range b.Events {
				r.seen[e.Key[len(clustermesh.Root):]] = true
			}
			r.view.Apply(b)
		case <-deadline:
			r.t.Fatalf("%s: not so after a minute; shop/cart is %s", what, inputText(r.view, "shop/cart"))
		}
	}
}

// write stores well-formed objects of keys and values, by turns; a marker's
// value is the epoch it names.
func write(t *testing.T, c *etcd.Client, pairs ...string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		key := clustermesh.Root + pairs[i]
		k, err := clustermesh.ParseKey(key)
		if err != nil {
			t.Fatal(err)
		}
		var o clustermesh.Object = &clustermesh.Synced{Source: "a-pass", Epoch: pairs[i+1]}
		if k.Kind != clustermesh.KindSynced {
			o = object(t, key, pairs[i+1])
		}
		value, err := clustermesh.Encode(o)
		if err != nil {
			t.Fatal(err)
		}
		etcdtest.Put(t, c, key, string(value))
	}
}

func TestWatch(t *testing.T) {
	s := etcdtest.New(t)
	c := s.Dial()
	etcdtest.Put(t, c, clustermesh.EpochKey, "one", clustermesh.Root+"status/agent/e1", "a report")
	write(t, c,
		"private/services/shop/cart", "3",
		"mirror/west/services/shop/cart", "5",
		"export/cluster", "1",
		"mirror/west/cluster", "2")
	r := read(t, c)
	r.until("clusters", func() bool { return r.view.Self() != nil && r.view.Cluster("west") != nil })
	expect(t, "before the markers", inputText(r.view, "shop/cart"), "")

	write(t, c, "mirror/west/synced/services", "one")
	r.until("west", func() bool { return r.view.Synced("west", clustermesh.KindServices) })
	expect(t, "one marker", inputText(r.view, "shop/cart"), "west#2 prio 5")
	write(t, c, "private/synced/services", "one", "export/synced/services", "one")
	r.until("all", func() bool { return r.view.Synced(Ours, clustermesh.KindServices) })
	expect(t, "all markers", inputText(r.view, "shop/cart"), "east#1 prio 3; west#2 prio 5")

	// A service that moves is never without a definition: Watch keeps the order
	// of the store, also between the areas.
	for range 20 {
		for _, move := range [][2]string{{"export", "private"}, {"private", "export"}} {
			write(t, c, move[0]+"/services/shop/cart", "4")
			etcdtest.Delete(t, c, clustermesh.Root+move[1]+"/services/shop/cart")
		}
	}
	name := clustermesh.ServiceName{Namespace: "shop", Name: "cart"}
	write(t, c, "export/nodes/last", "z", "export/synced/nodes", "one")
	r.until("last move", func() bool {
		if r.view.Definition(name) == nil {
			t.Fatal("a service that moves is gone meanwhile")
		}
		return r.view.Node(Ours, "last") != nil
	})
	if r.seen["status/agent/e1"] {
		t.Error("the reader was told of status/")
	}

	// What has no valid marker keeps what it had.
	etcdtest.Put(t, c, clustermesh.EpochKey, "two")
	r.until("frozen", func() bool { return !r.view.Synced("west", clustermesh.KindServices) })
	etcdtest.Delete(t, c, clustermesh.Root+"mirror/west/services/shop/cart")
	write(t, c, "export/cluster", "7")
	r.until("own id", func() bool { return r.view.Self().ID == 7 })
	expect(t, "frozen", inputText(r.view, "shop/cart"), "east#7 prio 4; west#2 prio 5")
	write(t, c, "mirror/west/synced/services", "two")
	r.until("thawed", func() bool { return r.view.Synced("west", clustermesh.KindServices) })
	expect(t, "thawed", inputText(r.view, "shop/cart"), "east#7 prio 4")
}

// What a mirror says of itself is said again when it is written again; a service of the
// same name is a service.
func TestStatesRepeat(t *testing.T) {
	repeats := Table(clustermesh.Root).Repeats
	for key, want := range map[string]bool{"mirror/west/state": true, "export/services/shop/state": false, "mirror/west/nodes/state": false, "export/cluster": false} {
		if repeats(clustermesh.Root+key) != want {
			t.Errorf("%s repeats: not %v", key, want)
		}
	}
}

func TestNamesAreShared(t *testing.T) {
	var n names
	s := func(node string) *clustermesh.EndpointSlice {
		return &clustermesh.EndpointSlice{Endpoints: []clustermesh.Endpoint{{Node: string([]byte(node))}}}
	}
	n = names{}
	for i := range 3 * maxNames {
		n.object(s(string(rune('a' + i%26))))
		n.object(s("node-" + time.Duration(i).String()))
	}
	if len(n) > maxNames {
		t.Errorf("%d names are held, more than %d", len(n), maxNames)
	}
	a, b := s("same"), s("same")
	n.object(a)
	if got := testing.AllocsPerRun(10, func() { n.object(b) }); got != 0 {
		t.Errorf("sharing a known name allocates %v times", got)
	}
	if a.Endpoints[0].Node != "same" || b.Endpoints[0].Node != "same" {
		t.Error("names were changed")
	}
}

// A store that restarts lets the lease of a dead leader begin anew: that vouches for
// nothing until somebody who lives writes it in the store's new reign.
func TestWatchAfterRestart(t *testing.T) {
	s := etcdtest.New(t)
	s.Stop()
	s.Config.Dir = t.TempDir()
	s.Start()
	c := s.Dial()
	// Nobody keeps this lease alive, and it outlives the test.
	l, err := c.Raw().Grant(t.Context(), 600)
	if err != nil {
		t.Fatal(err)
	}
	hold := func(reign uint64) uint64 {
		value, err := clustermesh.Encode(&clustermesh.Lease{Holder: "n1", Reign: reign})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Raw().Put(t.Context(), leaseKey, string(value), clientv3.WithLease(l.ID))
		if err != nil {
			t.Fatal(err)
		}
		return resp.Header.RaftTerm
	}
	first := hold(l.ResponseHeader.RaftTerm)
	value, err := clustermesh.Encode(&clustermesh.Cluster{Name: "east", ID: 1, Capabilities: []string{clustermesh.CapabilityLease}})
	if err != nil {
		t.Fatal(err)
	}
	etcdtest.Put(t, c, clusterKey, string(value))
	r := read(t, c)
	fresh := func() bool { stale, _ := r.view.Stale(); return stale.IsZero() }
	r.until("it is kept", func() bool { return r.view.Self() != nil && fresh() })
	s.Stop()
	r.until("the store is away", func() bool { return !fresh() })
	s.Start()
	r.until("the store is back, and nobody keeps it", func() bool {
		_, err := r.view.Stale()
		if fresh() {
			t.Fatal("a dead leader's lease passes for freshness")
		}
		return errors.Is(err, ErrUnkept)
	})
	resp, err := c.Raw().Get(t.Context(), leaseKey)
	if err != nil || len(resp.Kvs) == 0 {
		t.Fatalf("the lease is gone, which this is not about: %v", err)
	}
	if second := hold(resp.Header.RaftTerm); second <= first {
		t.Fatalf("the store's reigns are %d and %d", first, second)
	}
	r.until("it is kept again", fresh)
}
