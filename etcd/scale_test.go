package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/internal/etcdtest"
)

// A reader that takes nothing while the writer rewrites the same keys again
// and again must get each key once, with its last value, and must not hold the
// connection up meanwhile.
func TestReaderSlowerThanTheWriter(t *testing.T) {
	s := etcdtest.New(t)
	c := s.Dial()
	e := epochOf(t, c)
	l := lead(t, c)
	defer l.Resign()
	w := writer(t, c, l.Fence)
	w.Mark("t/synced/a", []byte(e+"/1"))
	flush(t, w)
	slow, told := reads(t, c, "t/b/last")
	slow.until("+a")
	const keys, rounds = 50, 100
	for round := range rounds {
		for i := range keys {
			w.Put(fmt.Sprintf("t/a/%02d", i), fmt.Appendf(nil, "%d", round))
		}
		w.Put("t/a/gone", fmt.Appendf(nil, "%d", round))
		if round == rounds-1 {
			w.Delete("t/a/gone")
			w.Put("t/b/last", []byte("x"))
			w.Mark("t/synced/b", []byte(e+"/1"))
		}
		flush(t, w)
	}
	select {
	case <-told: // its connection had everything, though it took nothing
	case <-time.After(patience):
		t.Fatal("the slow reader holds its connection up")
	}
	events, batches := len(slow.log), 0
	for !slow.synced["t/synced/b"] {
		if !slow.take(patience) {
			t.Fatal("the slow reader gets no further")
		}
		batches++
	}
	events = len(slow.log) - events
	if events > 3*keys {
		t.Errorf("the slow reader got %d events in %d batches for %d keys", events, batches, keys)
	}
	for i := range keys {
		if v := slow.values[fmt.Sprintf("t/a/%02d", i)]; v != fmt.Sprint(rounds-1) {
			t.Fatalf("key %d is %q, want the last value", i, v)
		}
	}
	if v, ok := slow.values["t/a/gone"]; ok {
		t.Errorf("a deleted key is %q", v)
	}
}

// reads is read, and told is closed when the reader's connection has come to a key.
func reads(t *testing.T, c *etcd.Client, key string) (r *reader, told <-chan struct{}) {
	come := make(chan struct{})
	once := sync.OnceFunc(func() { close(come) })
	followed := table()
	decode := followed.Decode
	followed.Decode = func(k string, v []byte) (string, error) {
		if k == key {
			once()
		}
		return decode(k, v)
	}
	return readTable(t, c, followed), come
}

// What a reader missed comes at once when it is back, and can be much.
func TestMuchToCatchUp(t *testing.T) {
	s := etcdtest.New(t)
	wire := etcdtest.NewWire(t, s.Address())
	c := s.Dial()
	e := epochOf(t, c)
	l := lead(t, c)
	defer l.Resign()
	w := writer(t, c, l.Fence)
	w.Mark("t/synced/a", []byte(e+"/1"))
	flush(t, w)
	r := read(t, s.Dial(wire.Address))
	r.until("+a")
	wire.Cut()
	r.untilStale(true)
	const keys, size = 1000, 20_000
	for i := range keys {
		w.Put(fmt.Sprintf("t/a/%06d", i), fmt.Appendf(nil, "%0*d", size, i))
	}
	flush(t, w)
	wire.Mend()
	for end := time.Now().Add(patience); len(r.values) < keys+1; {
		if !r.take(time.Until(end)) {
			t.Fatalf("%d of %d keys came", len(r.values), keys)
		}
	}
}

func TestManyKeys(t *testing.T) {
	s := etcdtest.New(t)
	c := s.Dial()
	e := epochOf(t, c)
	l := lead(t, c)
	defer l.Resign()
	w := writer(t, c, l.Fence)
	const keys = 100_000
	value := make([]byte, 100)
	at := time.Now()
	for i := range keys {
		w.Put(fmt.Sprintf("t/a/%06d", i), fmt.Appendf(value[:0:0], "%0100d", i))
	}
	w.Mark("t/synced/a", []byte(e+"/1"))
	flush(t, w)
	t.Logf("wrote %d keys in %v", keys, time.Since(at))

	at = time.Now()
	r := read(t, c)
	for !r.synced["t/synced/a"] {
		if !r.take(patience) {
			t.Fatal("nothing comes")
		}
	}
	t.Logf("listed them in %v", time.Since(at))
	if len(r.values) != keys+1 { // and the epoch
		t.Fatalf("%d keys came, want %d", len(r.values), keys+1)
	}
	// A new writer learns what is there, and writes no more than the difference.
	at = time.Now()
	w2 := writer(t, c, l.Fence)
	puts, deletes := w2.Replace("t/a/", func(yield func(string, []byte) bool) {
		for i := range keys {
			if i%1000 != 0 && !yield(fmt.Sprintf("t/a/%06d", i), fmt.Appendf(nil, "%0100d", i+i%1000/999)) {
				return
			}
		}
	})
	if puts != keys/1000 || deletes != keys/1000 {
		t.Errorf("%d puts and %d deletes, want %d of each", puts, deletes, keys/1000)
	}
	flush(t, w2)
	t.Logf("found and wrote the difference in %v", time.Since(at))
	for len(r.values) != keys-deletes+1 || r.values["t/a/000999"] != fmt.Sprintf("%0100d", 1000) {
		if !r.take(patience) {
			t.Fatalf("%d keys remain", len(r.values))
		}
	}
}

// BenchmarkList measures list, decode and delivery of 20,000 keys of 300 bytes
// to a fresh reader.
func BenchmarkList(b *testing.B) {
	const keys = 20_000
	c, _ := filled(b, keys)
	for b.Loop() {
		ctx, cancel := context.WithCancel(b.Context())
		out := make(chan etcd.Batch[string])
		done := make(chan error, 1)
		go func() { done <- table().Watch(ctx, c, etcdtest.Log(), out) }()
		for n := 0; n < keys; {
			n += len((<-out).Events)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			b.Fatal(err)
		}
	}
}

// BenchmarkChange measures one change from Flush to a reader's batch.
func BenchmarkChange(b *testing.B) {
	c, w := filled(b, 1000)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	out := make(chan etcd.Batch[string])
	go table().Watch(ctx, c, etcdtest.Log(), out)
	<-out
	i := 0
	for b.Loop() {
		i++
		w.Put("t/a/000001", fmt.Appendf(nil, "%d", i))
		flush(b, w)
		for len((<-out).Events) == 0 {
		}
	}
}

// filled returns a store with so many keys of 300 bytes, and their writer.
func filled(b *testing.B, keys int) (*etcd.Client, *etcd.Writer) {
	b.Helper()
	s := etcdtest.New(b)
	c := s.Dial()
	l := lead(b, c)
	b.Cleanup(l.Resign)
	w := writer(b, c, l.Fence)
	for i := range keys {
		w.Put(fmt.Sprintf("t/a/%06d", i), fmt.Appendf(nil, "%0300d", i))
	}
	w.Mark("t/synced/a", []byte(epochOf(b, c)+"/1"))
	flush(b, w)
	return c, w
}
