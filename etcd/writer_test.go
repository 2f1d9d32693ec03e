package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/etcd/election"
	"tombolo.io/tombolo/internal/etcdtest"
)

// A busy machine may keep a lease waiting: none of these tests is about one that ends.
var campaign = election.Config{Prefix: "election/test/", Ledger: "ledger/test/", Name: "one", TTL: time.Minute}

func lead(t testing.TB, c *etcd.Client) *election.Leader {
	t.Helper()
	l, err := election.Campaign(t.Context(), c, etcdtest.Log(), campaign)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func writer(t testing.TB, c *etcd.Client, f etcd.Fence) *etcd.Writer {
	t.Helper()
	w, err := etcd.NewWriter(t.Context(), c, f, "t/")
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func flush(t testing.TB, w *etcd.Writer) {
	t.Helper()
	if err := w.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// contents returns what is stored below t/, and the revision of each key.
func contents(t testing.TB, c *etcd.Client) (map[string]string, map[string]int64) {
	t.Helper()
	values, revisions := map[string]string{}, map[string]int64{}
	_, err := c.List(t.Context(), "t/", func(kv etcd.KV) error {
		values[kv.Key], revisions[kv.Key] = string(kv.Value), kv.Revision
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	delete(values, etcdtest.EpochKey)
	return values, revisions
}

func TestWriterReplaces(t *testing.T) {
	s := etcdtest.New(t)
	c := s.Dial()
	etcdtest.Put(t, c, "t/a/1", "same", "t/a/2", "old", "t/a/3", "surplus", "t/b/1", "another table's")
	l := lead(t, c)
	defer l.Resign()
	w := writer(t, c, l.Fence)
	desired := map[string][]byte{"t/a/1": []byte("same"), "t/a/2": []byte("new")}
	for i := range 300 {
		desired[fmt.Sprintf("t/a/x%03d", i)] = []byte("x")
	}
	_, before := contents(t, c)
	if puts, deletes := w.Replace("t/a/", maps.All(desired)); puts != 301 || deletes != 1 {
		t.Errorf("Replace says %d puts and %d deletes, want 301 and 1", puts, deletes)
	}
	w.Mark("t/synced/a", []byte("e/1"))
	flush(t, w)
	values, after := contents(t, c)
	desired["t/b/1"], desired["t/synced/a"] = []byte("another table's"), []byte("e/1")
	if len(values) != len(desired) {
		t.Errorf("%d keys are stored, want %d", len(values), len(desired))
	}
	for k, v := range desired {
		if values[k] != string(v) {
			t.Errorf("%s is %q, want %q", k, values[k], v)
		}
	}
	if after["t/a/1"] != before["t/a/1"] {
		t.Error("an unchanged value was written")
	}
	for k, r := range after {
		if k != "t/synced/a" && r > after["t/synced/a"] {
			t.Errorf("%s was written after the marker", k)
		}
	}
	// Nothing to do writes nothing; a marker is written again nevertheless.
	w.Put("t/a/2", []byte("new"))
	w.Delete("t/a/never")
	flush(t, w)
	w.Refresh()
	flush(t, w)
	_, again := contents(t, c)
	if again["t/a/2"] != after["t/a/2"] || again["t/synced/a"] == after["t/synced/a"] {
		t.Error("an unchanged value was written, or a refreshed marker was not")
	}
}

func TestDeposedWriterWritesNothing(t *testing.T) {
	s := etcdtest.New(t)
	c := s.Dial()
	l := lead(t, c)
	w := writer(t, c, l.Fence)
	w.Put("t/a/1", []byte("first"))
	flush(t, w)
	// The leader is deposed behind its back: it knows of nothing.
	etcdtest.Delete(t, c, l.Fence.Key)
	next := lead(t, c)
	defer next.Resign()
	defer l.Resign()
	w.Put("t/a/1", []byte("second"))
	if err := w.Flush(t.Context()); !errors.Is(err, etcd.ErrDeposed) {
		t.Fatalf("a deposed writer got %v", err)
	}
	if err := w.Flush(t.Context()); !errors.Is(err, etcd.ErrDeposed) {
		t.Fatalf("a deposed writer got %v the second time", err)
	}
	if values, _ := contents(t, c); values["t/a/1"] != "first" {
		t.Fatalf("a deposed writer wrote %q", values["t/a/1"])
	}
	if _, err := etcd.RenewEpoch(t.Context(), c, l.Fence, etcdtest.EpochKey); !errors.Is(err, etcd.ErrDeposed) {
		t.Fatalf("a deposed leader renewed the epoch: %v", err)
	}
	if _, err := etcd.RenewEpoch(t.Context(), c, next.Fence, etcdtest.EpochKey); err != nil {
		t.Fatal(err)
	}
}

func TestWriterWaitsForTheStore(t *testing.T) {
	s := etcdtest.New(t)
	c := s.Dial()
	l := lead(t, c)
	w := writer(t, c, l.Fence)
	w.Put("t/a/1", []byte("1"))
	flush(t, w)
	s.Stop()
	w.Put("t/a/1", []byte("2"))
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := w.Flush(short); !errors.Is(err, context.DeadlineExceeded) || w.Staged() != 1 {
		t.Fatalf("with the store away: %v, %d staged", err, w.Staged())
	}
	// What may or may not be written is written again, even if it looks unchanged.
	w.Put("t/a/1", []byte("1"))
	w.Put("t/a/2", []byte("2"))
	s.Start()
	flush(t, w)
	values, _ := contents(t, c)
	if values["t/a/1"] != "1" || values["t/a/2"] != "2" {
		t.Fatalf("stored: %v", values)
	}
	l.Resign()
}

func TestLostAnswer(t *testing.T) {
	s := etcdtest.New(t)
	c := s.Dial()
	l := lead(t, c)
	defer l.Resign()
	w := writer(t, c, l.Fence)
	w.Put("t/a/1", []byte("1"))
	flush(t, w)
	before := w.Ledger()
	w.Put("t/a/1", []byte("2"))
	flush(t, w)
	// It happened, but the writer cannot know; and meanwhile it wants the old
	// value back, which must not be taken for unchanged.
	w.Doubt(before)
	w.Put("t/a/1", []byte("1"))
	flush(t, w)
	if values, _ := contents(t, c); values["t/a/1"] != "1" {
		t.Errorf("stored: %v", values)
	}
}

// A writer whose connection is cut again and again, at any moment, ends with
// exactly what its owner wanted last.
func TestWriterOnABadWire(t *testing.T) {
	s := etcdtest.New(t)
	wire := etcdtest.NewWire(t, s.Address())
	c := s.Dial()
	l := lead(t, c)
	defer l.Resign()
	w := writer(t, s.Dial(wire.Address), l.Fence)
	r := rand.New(rand.NewPCG(1, 1))
	want := map[string]string{}
	for range 60 {
		for range 1 + r.IntN(300) {
			key := fmt.Sprintf("t/a/%d", r.IntN(400))
			if r.IntN(3) == 0 {
				w.Delete(key)
				delete(want, key)
			} else {
				want[key] = fmt.Sprint(r.IntN(3))
				w.Put(key, []byte(want[key]))
			}
		}
		done := make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+r.IntN(20))*time.Millisecond)
		go func() { done <- w.Flush(ctx) }()
		if r.IntN(2) == 0 {
			<-time.After(time.Duration(r.IntN(5000)) * time.Microsecond)
			wire.Cut()
			wire.Mend()
		}
		if err := <-done; err != nil && ctx.Err() == nil {
			t.Fatal(err)
		}
		cancel()
	}
	flush(t, w)
	if got, _ := contents(t, c); !maps.Equal(got, want) {
		t.Errorf("%d keys are stored, want %d, or their values differ", len(got), len(want))
	}
}
