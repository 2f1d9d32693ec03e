package etcd_test

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/etcd/embedded"
	"tombolo.io/tombolo/internal/etcdtest"
)

// wired returns a store, a client of it, and a reader behind a wire.
func wired(t *testing.T) (*etcdtest.Store, *etcd.Client, *etcdtest.Wire, *reader) {
	s := etcdtest.New(t)
	wire := etcdtest.NewWire(t, s.Address())
	return s, s.Dial(), wire, read(t, s.Dial(wire.Address))
}

// untilStale takes batches until the reader knows that the store is away, or
// is back.
func (r *reader) untilStale(want bool) {
	r.t.Helper()
	deadline := time.Now().Add(patience)
	for r.last.Stale.IsZero() == want {
		if !r.take(time.Until(deadline)) {
			r.t.Fatalf("stale is %v, want %v", !want, want)
		}
	}
}

// untilTold takes batches until the reader is told of the store what contains want.
func (r *reader) untilTold(want string) {
	r.t.Helper()
	deadline := time.Now().Add(patience)
	for r.last.Err == nil || !strings.Contains(r.last.Err.Error(), want) {
		if !r.take(time.Until(deadline)) {
			r.t.Fatalf("told is %v, want %q", r.last.Err, want)
		}
	}
}

func TestCutConnection(t *testing.T) {
	_, c, wire, r := wired(t)
	e := epochOf(t, c)
	etcdtest.Put(t, c, "t/a/1", "x", "t/a/2", "y", "t/synced/a", e+"/1")
	r.until("a/1=x a/2=y +a")
	wire.Cut()
	r.untilStale(true)
	etcdtest.Put(t, c, "t/a/1", "x2", "t/a/3", "z")
	etcdtest.Delete(t, c, "t/a/2")
	r.settled()
	wire.Mend()
	r.until("a/1=x2 a/3=z +a")
	r.untilStale(false)
	for _, e := range r.log {
		if e == "unsynced synced/a" && r.log[0] != e {
			t.Errorf("a cut connection froze the table: %q", r.log)
		}
	}
}

// Of a store that is away the reader is told which endpoint cannot be reached, and why, and
// as soon as it is back that it is.
func TestReaderIsToldWhyTheStoreIsAway(t *testing.T) {
	s := etcdtest.New(t)
	e := epochOf(t, s.Dial())
	etcdtest.Put(t, s.Dial(), "t/a/1", "x", "t/synced/a", e+"/1")
	r := read(t, s.Dial())
	r.until("a/1=x +a")
	s.Stop()
	r.untilStale(true)
	r.untilTold(s.Config.Listen[0] + ": connection refused")
	s.Start()
	r.untilStale(false)
	if r.last.Err != nil {
		t.Errorf("it is back, and told is %v", r.last.Err)
	}
}

// A store that takes connections and says nothing is out of reach too.
func TestSilentStore(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := etcd.Dial(etcd.Config{Endpoints: []string{"http://" + l.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := read(t, c)
	r.untilStale(true)
	if r.last.Err == nil || len(r.log) != 0 {
		t.Errorf("stale because of %v, told %q", r.last.Err, r.log)
	}
	r.untilTold("http://" + l.Addr().String() + ": it takes connections and does not answer")
	r.stop()
}

func TestCompactedWhileDisconnected(t *testing.T) {
	_, c, wire, r := wired(t)
	e := epochOf(t, c)
	etcdtest.Put(t, c, "t/a/1", "x", "t/a/2", "y", "t/a/3", "again", "t/synced/a", e+"/1")
	r.until("a/1=x a/2=y a/3=again +a")
	wire.Cut()
	r.untilStale(true)
	etcdtest.Delete(t, c, "t/a/2", "t/a/3")
	etcdtest.Put(t, c, "t/a/4", "new", "t/a/3", "other")
	revision, err := c.List(t.Context(), "t/", func(etcd.KV) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Raw().Compact(t.Context(), revision); err != nil {
		t.Fatal(err)
	}
	wire.Mend()
	r.until("a/1=x a/3=other a/4=new +a")
	r.settled()
}

func TestTableRemovedWhileDisconnected(t *testing.T) {
	_, c, wire, r := wired(t)
	e := epochOf(t, c)
	etcdtest.Put(t, c, "t/a/1", "x", "t/synced/a", e+"/1", "t/b/1", "y", "t/synced/b", e+"/1")
	r.until("a/1=x b/1=y +a +b")
	wire.Cut()
	r.untilStale(true)
	etcdtest.Delete(t, c, "t/synced/a", "t/a/1")
	revision, err := c.List(t.Context(), "t/", func(etcd.KV) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Raw().Compact(t.Context(), revision); err != nil {
		t.Fatal(err)
	}
	wire.Mend()
	r.until("b/1=y -a +b")
}

func TestRestartWithData(t *testing.T) {
	s := etcdtest.New(t)
	c := s.Dial()
	e := epochOf(t, c)
	etcdtest.Put(t, c, "t/a/1", "x", "t/synced/a", e+"/1")
	r := read(t, c)
	r.until("a/1=x +a")
	s.Stop()
	r.untilStale(true)
	s.Start()
	r.untilStale(false)
	r.settled()
	etcdtest.Put(t, c, "t/a/2", "y")
	r.until("a/1=x a/2=y +a")
}

func TestRestartWithoutData(t *testing.T) {
	s := etcdtest.New(t)
	c := s.Dial()
	e := epochOf(t, c)
	etcdtest.Put(t, c, "t/a/1", "x", "t/a/2", "y", "t/free1", "f", "t/synced/a", e+"/1")
	r := read(t, c)
	r.until("a/1=x a/2=y free1=f +a")
	s.Stop()
	s.Config.Dir = t.TempDir()
	s.Start()
	// Nothing is believed of the empty store, not even that free1 is gone.
	r.until("a/1=x a/2=y free1=f -a")
	e2 := epochOf(t, c)
	etcdtest.Put(t, c, "t/a/1", "x", "t/a/3", "z", "t/free2", "g")
	r.until("a/1=x a/2=y free1=f free2=g -a")
	r.settled()
	etcdtest.Put(t, c, "t/synced/a", e+"/old epoch")
	r.settled()
	etcdtest.Put(t, c, "t/synced/a", e2+"/1")
	r.until("a/1=x a/3=z free2=g +a")
}

func TestRestoredSnapshot(t *testing.T) {
	s := etcdtest.New(t)
	c := s.Dial()
	e := epochOf(t, c)
	etcdtest.Put(t, c, "t/a/1", "old", "t/a/2", "y", "t/synced/a", e+"/1")
	file := filepath.Join(t.TempDir(), "snapshot")
	if size, err := etcd.Snapshot(t.Context(), c, file); err != nil || size == 0 {
		t.Fatal(size, err)
	}
	r := read(t, c)
	r.until("a/1=old a/2=y +a")
	etcdtest.Put(t, c, "t/a/1", "new", "t/a/3", "z")
	etcdtest.Delete(t, c, "t/a/2")
	r.until("a/1=new a/3=z +a")
	s.Stop()
	if err := embedded.Restore(t.Context(), s.Config, etcdtest.Log(), file); err == nil {
		t.Fatal("a snapshot was restored over a store")
	}
	s.Config.Dir = t.TempDir()
	if err := embedded.Restore(t.Context(), s.Config, etcdtest.Log(), file); err != nil {
		t.Fatal(err)
	}
	s.Start()
	r.until("a/1=new a/3=z -a")
	e2 := epochOf(t, c)
	if e2 == e {
		t.Fatal("a restored store has its old epoch")
	}
	if kv, _, err := c.Get(t.Context(), "t/a/1"); err != nil || string(kv.Value) != "old" {
		t.Fatalf("restored: %q %v", kv.Value, err)
	}
	etcdtest.Put(t, c, "t/a/1", "newer")
	etcdtest.Delete(t, c, "t/a/2")
	r.settled()
	etcdtest.Put(t, c, "t/synced/a", e2+"/1")
	r.until("a/1=newer +a")
}

func TestRestoredCopyWithTheSameEpoch(t *testing.T) {
	s := etcdtest.New(t)
	c := s.Dial()
	e := epochOf(t, c)
	etcdtest.Put(t, c, "t/a/1", "old", "t/a/2", "y", "t/synced/a", e+"/1")
	back := s.Copy()
	r := read(t, c)
	etcdtest.Put(t, c, "t/a/1", "new", "t/a/3", "z")
	r.until("a/1=new a/2=y a/3=z +a")
	back()
	r.until("a/1=new a/2=y a/3=z -a")
	r.settled()
	etcdtest.Put(t, c, "t/a/4", "w")
	r.settled()
	// The same marker with the same epoch, written again, is a new promise.
	etcdtest.Put(t, c, "t/synced/a", e+"/1")
	r.until("a/1=old a/2=y a/4=w +a")
}

// A copy that was restored while a reader was away, and then grew past the
// revision that the reader knows, looks like the same store.
func TestRestoredCopyThatGrew(t *testing.T) {
	s := etcdtest.New(t)
	wire := etcdtest.NewWire(t, s.Address())
	c := s.Dial()
	e := epochOf(t, c)
	etcdtest.Put(t, c, "t/a/1", "old", "t/a/2", "y", "t/synced/a", e+"/1")
	back := s.Copy()
	r := read(t, s.Dial(wire.Address))
	etcdtest.Put(t, c, "t/a/1", "new", "t/a/3", "z")
	r.until("a/1=new a/2=y a/3=z +a")
	wire.Cut()
	r.untilStale(true)
	back()
	for i := range 20 {
		etcdtest.Put(t, c, "elsewhere", fmt.Sprint(i))
	}
	wire.Mend()
	r.until("a/1=new a/2=y a/3=z -a")
	r.settled()
	etcdtest.Put(t, c, "t/synced/a", e+"/2")
	r.until("a/1=old a/2=y +a")
}

func TestRewoundWriterWritesNothing(t *testing.T) {
	s := etcdtest.New(t)
	c := s.Dial()
	l := lead(t, c)
	w := writer(t, c, l.Fence)
	w.Put("t/a/1", []byte("first"))
	flush(t, w)
	back := s.Copy()
	w.Put("t/a/1", []byte("second"))
	flush(t, w)
	back()
	w.Put("t/a/2", []byte("third"))
	if err := w.Flush(t.Context()); !errors.Is(err, etcd.ErrRewound) {
		t.Fatalf("a writer whose store went back got %v", err)
	}
	if values, _ := contents(t, c); values["t/a/1"] != "first" || values["t/a/2"] != "" {
		t.Fatalf("stored: %v", values)
	}
	// The leader goes on with a new epoch and a new writer.
	if _, err := etcd.RenewEpoch(t.Context(), c, l.Fence, etcdtest.EpochKey); err != nil {
		t.Fatal(err)
	}
	w = writer(t, c, l.Fence)
	w.Put("t/a/1", []byte("second"))
	flush(t, w)
	l.Resign()
}

// A store that is back is not fresh to a reader before that has what it missed.
func TestFreshWithWhatWasMissed(t *testing.T) {
	_, c, wire, r := wired(t)
	e := epochOf(t, c)
	etcdtest.Put(t, c, "t/a/1", "x", "t/a/2", "y", "t/synced/a", e+"/1")
	r.until("a/1=x a/2=y +a")
	for i := range 5 {
		wire.Cut()
		r.untilStale(true)
		value := fmt.Sprint(i)
		etcdtest.Put(t, c, "t/a/1", value)
		etcdtest.Put(t, c, "elsewhere", value)
		wire.Mend()
		r.untilStale(false)
		if got, want := r.picture(), "a/1="+value+" a/2=y +a"; got != want {
			t.Errorf("fresh at revision %d with %s, want %s", r.last.Revision, got, want)
		}
		r.until("a/1=" + value + " a/2=y +a")
	}
	// Nothing of the table was missed, and the store went on elsewhere.
	wire.Cut()
	r.untilStale(true)
	etcdtest.Put(t, c, "elsewhere", "more")
	wire.Mend()
	r.untilStale(false)
}
