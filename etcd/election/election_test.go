package election_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/etcd/election"
	"tombolo.io/tombolo/internal/etcdtest"
)

const prefix = "election/test/"

// patience is how long a test waits for what should take a few seconds.
const patience = time.Minute

func config(name string) election.Config {
	return election.Config{Prefix: prefix, Ledger: "ledger/test/", Name: name, TTL: 2 * time.Second}
}

func lead(t *testing.T, c *etcd.Client, name string) *election.Leader {
	t.Helper()
	return leadAs(t, c, config(name))
}

func leadAs(t *testing.T, c *etcd.Client, cfg election.Config) *election.Leader {
	t.Helper()
	l, err := election.Campaign(t.Context(), c, etcdtest.Log(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// candidate campaigns in the background.
func candidate(t *testing.T, c *etcd.Client, name string) <-chan *election.Leader {
	t.Helper()
	return candidateAs(t, c, config(name))
}

func candidateAs(t *testing.T, c *etcd.Client, cfg election.Config) <-chan *election.Leader {
	t.Helper()
	won := make(chan *election.Leader, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if l, err := election.Campaign(ctx, c, etcdtest.Log(), cfg); err == nil {
			won <- l
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return won
}

func TestOneLeads(t *testing.T) {
	s := etcdtest.New(t)
	long := func(name string) election.Config { // it ends in time, but not because the machine is busy
		cfg := config(name)
		cfg.TTL = 20 * time.Second
		return cfg
	}
	one := leadAs(t, s.Dial(), long("one"))
	c := s.Dial()
	won := candidateAs(t, c, long("two"))
	waitFor(t, "two stands", func() bool { return candidates(t, c) == 2 })
	select {
	case <-won:
		t.Fatal("two lead")
	default:
	}
	if who, err := election.Who(t.Context(), c, prefix); err != nil || who != "one" {
		t.Fatalf("%q leads, want one (%v)", who, err)
	}
	one.Resign()
	two := receive(t, won)
	if who, err := election.Who(t.Context(), c, prefix); err != nil || who != "two" {
		t.Errorf("%q leads, want two (%v)", who, err)
	}
	select {
	case <-two.Lost():
		t.Error("two lost its lead")
	default:
	}
	two.Resign() // which waits for the store a second, and no longer
	waitFor(t, "nobody leads", func() bool {
		who, err := election.Who(t.Context(), c, prefix)
		return err == nil && who == ""
	})
}

func TestDeadLeaderIsFollowed(t *testing.T) {
	s := etcdtest.New(t)
	wire := etcdtest.NewWire(t, s.Address())
	one := lead(t, s.Dial(wire.Address), "one")
	won := candidate(t, s.Dial(), "two")
	wire.Cut()
	two := receive(t, won)
	defer two.Resign()
	select {
	case <-one.Lost():
	case <-time.After(patience):
		t.Error("a leader that is cut off does not know of its end")
	}
	if two.Fence.Revision <= one.Fence.Revision || two.Fence.Key == one.Fence.Key {
		t.Errorf("the fences are %+v and %+v", one.Fence, two.Fence)
	}
}

func TestRestartedLeaderDoesNotWaitForItself(t *testing.T) {
	s := etcdtest.New(t)
	c := s.Dial()
	cfg := config("one")
	cfg.TTL = 5 * time.Minute
	dead, err := election.Campaign(t.Context(), c, etcdtest.Log(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Resign()
	again := receive(t, candidate(t, c, "one"))
	defer again.Resign()
	w, err := etcd.NewWriter(t.Context(), c, dead.Fence)
	if err != nil {
		t.Fatal(err)
	}
	w.Put("t/a", []byte("x"))
	if err := w.Flush(t.Context()); !errors.Is(err, etcd.ErrDeposed) {
		t.Errorf("the one that was replaced writes: %v", err)
	}
}

// An emptied store knows neither leader nor lease; a candidate that waits for a
// predecessor of which the store has lost all memory must not wait for ever.
func TestElectionInAnEmptiedStore(t *testing.T) {
	s := etcdtest.New(t)
	c := s.Dial()
	one := lead(t, c, "one")
	won := candidate(t, s.Dial(), "two")
	waitFor(t, "two stands", func() bool { return candidates(t, c) == 2 })
	s.Stop()
	s.Config.Dir = t.TempDir()
	s.Start()
	receive(t, won).Resign()
	select {
	case <-one.Lost():
	case <-time.After(patience):
		t.Error("the leader of an emptied store does not know of its end")
	}
}

func TestKeep(t *testing.T) {
	s := etcdtest.New(t)
	c := s.Dial()
	ctx, cancel := context.WithCancel(t.Context())
	values := make(chan []byte)
	done := make(chan error, 1)
	go func() { done <- election.Keep(ctx, c, etcdtest.Log(), "status/one", 2*time.Second, values) }()
	value := func() string {
		kv, _, err := c.Get(t.Context(), "status/one")
		if err != nil {
			t.Fatal(err)
		}
		return string(kv.Value)
	}
	values <- []byte("a")
	values <- []byte("b")
	waitFor(t, "the latest value is stored", func() bool { return value() == "b" })
	// A lease that is lost is replaced, and so is all that an emptied store forgot.
	// It may have been replaced already when we come to revoke it.
	waitFor(t, "its lease is revoked", func() bool {
		leases, err := c.Raw().Leases(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(leases.Leases) != 1 {
			return false
		}
		_, err = c.Raw().Revoke(t.Context(), leases.Leases[0].ID)
		if err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			t.Fatal(err)
		}
		return err == nil
	})
	waitFor(t, "the value is back after its lease was lost", func() bool { return value() == "b" })
	s.Stop()
	s.Config.Dir = t.TempDir()
	s.Start()
	waitFor(t, "the value is back after the store was lost", func() bool { return value() == "b" })
	back := s.Copy() // which has the lease and the key "b"
	if err := c.Delete(t.Context(), "status/one"); err != nil {
		t.Fatal(err)
	}
	back2 := s.Copy() // which has the lease alone
	values <- []byte("c")
	waitFor(t, "the new value is stored", func() bool { return value() == "c" })
	back2()
	waitFor(t, "the value is back in a copy that lacks it", func() bool { return value() == "c" })
	back()
	waitFor(t, "the value is back in a copy with an older one", func() bool { return value() == "c" })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Keep returned %v", err)
	}
	if v := value(); v != "" {
		t.Errorf("%q remains of a process that ended", v)
	}
}

func candidates(t *testing.T, c *etcd.Client) int {
	t.Helper()
	resp, err := c.Raw().Get(t.Context(), prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		t.Fatal(err)
	}
	return int(resp.Count)
}

func receive(t *testing.T, won <-chan *election.Leader) *election.Leader {
	t.Helper()
	select {
	case l := <-won:
		return l
	case <-time.After(patience):
		t.Fatal("nobody follows")
		return nil
	}
}

// waitFor asks again and again; a real etcd has no other way to be waited for.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not seen: %s", what)
		}
	}
}
