package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/internal/etcdtest"
)

// The tests' layout: data under t/<table>/<name>, its marker t/synced/<table>
// whose value is "epoch/pass", and t/free<name> without a marker. The value
// "bad" does not decode.
func table() etcd.Table[string] {
	return etcd.Table[string]{
		Prefix: "t/", EpochKey: etcdtest.EpochKey,
		Decode: func(_ string, v []byte) (string, error) {
			if string(v) == "bad" {
				return "", errors.New("it is bad")
			}
			return string(v), nil
		},
		Marker: func(key string) (string, bool) {
			part := strings.Split(key, "/")[1]
			if strings.HasPrefix(part, "free") || part == "synced" || part == "epoch" {
				return "", false
			}
			return "t/synced/" + part, true
		},
		Contents: func(key string) (string, bool) {
			part, ok := strings.CutPrefix(key, "t/synced/")
			return "t/" + part + "/", ok
		},
		Epoch: func(marker []byte) (string, error) {
			epoch, _, ok := strings.Cut(string(marker), "/")
			if !ok {
				return "", errors.New("marker without a pass")
			}
			return epoch, nil
		},
	}
}

// patience is how long a test waits for what should take milliseconds.
const patience = time.Minute

// reader is what a consumer of batches knows.
type reader struct {
	t       testing.TB
	batches chan etcd.Batch[string]
	values  map[string]string
	invalid map[string]bool
	synced  map[string]bool
	log     []string
	last    etcd.Batch[string]
	stop    context.CancelFunc
}

// read starts a watch whose batches nobody takes before until is called.
func read(t testing.TB, c *etcd.Client) *reader { return readTable(t, c, table()) }

func readTable(t testing.TB, c *etcd.Client, followed etcd.Table[string]) *reader {
	ctx, cancel := context.WithCancel(t.Context())
	r := &reader{
		t: t, batches: make(chan etcd.Batch[string]), stop: cancel,
		values: map[string]string{}, invalid: map[string]bool{}, synced: map[string]bool{},
	}
	done := make(chan error, 1)
	go func() { done <- followed.Watch(ctx, c, etcdtest.Log(), r.batches) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Watch returned %v", err)
		}
	})
	return r
}

// take applies the next batch, and accuses on what no reader may see.
func (r *reader) take(limit time.Duration) bool {
	r.t.Helper()
	select {
	case b := <-r.batches:
		seen := map[string]bool{}
		for _, e := range b.Events {
			key := fmt.Sprint(e.Key, e.Op == etcd.Invalid)
			if seen[key] {
				r.t.Errorf("%s comes twice in a batch", e.Key)
			}
			seen[key] = true
			r.apply(e)
		}
		r.last = b
		return true
	case <-time.After(limit):
		return false
	}
}

func (r *reader) apply(e etcd.Event[string]) {
	r.log = append(r.log, strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Op, strings.TrimPrefix(e.Key, "t/"), e.Value)))
	switch e.Op {
	case etcd.Put:
		if v, ok := r.values[e.Key]; ok && v == e.Value && !r.invalid[e.Key] {
			r.t.Errorf("%s=%s is told twice", e.Key, v)
		}
		r.values[e.Key] = e.Value
		delete(r.invalid, e.Key)
	case etcd.Delete:
		if _, ok := r.values[e.Key]; !ok && !r.invalid[e.Key] {
			r.t.Errorf("deletion of %s, which was never told", e.Key)
		}
		delete(r.values, e.Key)
		delete(r.invalid, e.Key)
	case etcd.Invalid:
		r.invalid[e.Key] = true
	case etcd.Synced, etcd.Unsynced:
		r.synced[e.Key] = e.Op == etcd.Synced
	}
}

// until takes batches until the reader's picture is as wanted: "a/1=x a/2=y
// +a -b" are values, synced and unsynced tables, without the prefix.
func (r *reader) until(want string) {
	r.t.Helper()
	deadline := time.Now().Add(patience)
	for r.picture() != want {
		if !r.take(time.Until(deadline)) {
			r.t.Fatalf("got  %s\nwant %s\nlog %q\nlast batch %+v", r.picture(), want, r.log, r.last)
		}
	}
}

func (r *reader) picture() string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(r.values)) {
		if k != etcdtest.EpochKey {
			out = append(out, strings.TrimPrefix(k, "t/")+"="+r.values[k])
		}
	}
	for _, k := range slices.Sorted(maps.Keys(r.invalid)) {
		out = append(out, "!"+strings.TrimPrefix(k, "t/"))
	}
	for _, k := range slices.Sorted(maps.Keys(r.synced)) {
		sign := "-"
		if r.synced[k] {
			sign = "+"
		}
		out = append(out, sign+strings.TrimPrefix(k, "t/synced/"))
	}
	return strings.Join(out, " ")
}

// settled accuses when more comes than was waited for.
func (r *reader) settled() {
	r.t.Helper()
	before := r.picture()
	for r.take(100 * time.Millisecond) {
		if p := r.picture(); p != before {
			r.t.Fatalf("got  %s\nwant %s and nothing more", p, before)
		}
	}
}

func epochOf(t testing.TB, c *etcd.Client) string {
	t.Helper()
	kv, _, err := c.Get(t.Context(), etcdtest.EpochKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(kv.Value)
}
