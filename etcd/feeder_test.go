package etcd

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// notation writes events as "+k=v" put, "-k" deleted, "!k" invalid.
func notation(events []Event[string]) string {
	var out []string
	for _, e := range events {
		out = append(out, map[Op]string{Put: "+" + e.Key + "=" + e.Value, Delete: "-" + e.Key, Invalid: "!" + e.Key, Synced: "synced " + e.Key, Unsynced: "unsynced " + e.Key}[e.Op])
	}
	return strings.Join(out, " ")
}

func parse(s string, fresh func(key string) bool) Event[string] {
	key, value, _ := strings.Cut(s[1:], "=")
	e := Event[string]{Op: map[byte]Op{'+': Put, '-': Delete, '!': Invalid}[s[0]], Key: key, Value: value}
	e.fresh = fresh(key) && e.Op != Delete
	return e
}

func TestPendingMerges(t *testing.T) {
	for _, c := range []struct{ had, events, want string }{
		{"", "+a=1 +b=1 +a=2", "+a=2 +b=1"},
		{"", "+a=1 -a", ""},
		{"a", "+a=1 -a", "-a"},
		{"a", "-a +b=1 +a=2", "+b=1 +a=2"},
		{"a", "-a +a=1 -a", "-a"},
		{"", "+a=1 -a +a=2 -a", ""},
		{"a", "!a +a=1", "+a=1"},
		{"", "+a=1 !a", "+a=1 !a"},
		{"", "+a=1 !a !a", "+a=1 !a"},
		{"", "+a=1 !a +a=2", "+a=2"},
		{"", "!a -a", ""},
		{"", "!a +a=1 -a", ""},
		{"a", "!a -a", "-a"},
		{"b", "+a=1 -b +b=2 -a", "+b=2"},
	} {
		p := newPending[string]()
		has := map[string]bool{}
		for _, k := range strings.Fields(c.had) {
			has[k] = true
		}
		for _, s := range strings.Fields(c.events) {
			e := parse(s, func(k string) bool { return !has[k] })
			has[e.Key] = e.Op != Delete
			p.merge(update[string]{events: []Event[string]{e}})
		}
		if got := notation(p.batch().Events); got != c.want {
			t.Errorf("a reader that has %q: %s becomes %q, want %q", c.had, c.events, got, c.want)
		}
	}
}

// What a reader makes of merged batches must be what it makes of the single
// events, however they were cut, and memory must be bounded by the keys.
func TestPendingAgainstSingleEvents(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		single, merged := map[string]string{}, map[string]string{}
		p := newPending[string]()
		for range 200 {
			e := Event[string]{Op: Op(r.IntN(2)) + Put, Key: fmt.Sprint(r.IntN(8)), Value: fmt.Sprint(r.IntN(100))}
			_, has := single[e.Key]
			if e.Op == Delete && !has {
				continue
			}
			e.fresh = e.Op == Put && !has
			fold(single, e)
			p.merge(update[string]{events: []Event[string]{e}})
			if len(p.events) > 2*8+1 {
				t.Fatalf("%d events are kept for 8 keys", len(p.events))
			}
			if r.IntN(10) == 0 {
				for _, e := range p.batch().Events {
					if _, has := merged[e.Key]; e.Op == Delete && !has {
						t.Fatalf("deletion of %s, which was never told", e.Key)
					}
					fold(merged, e)
				}
				p = p.next()
				if !maps.Equal(single, merged) {
					t.Fatalf("merged %v, single %v", merged, single)
				}
			}
		}
	}
}

func fold(m map[string]string, e Event[string]) {
	if e.Op == Put {
		m[e.Key] = e.Value
	} else {
		delete(m, e.Key)
	}
}

func TestFeedNeverWaitsForTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := make(chan update[string]), make(chan Batch[string])
		go feed(t.Context(), in, nil, out)
		stale := time.Now()
		for i := range 1000 {
			in <- update[string]{events: []Event[string]{{Op: Put, Key: fmt.Sprint(i % 10), Value: fmt.Sprint(i)}}, revision: int64(i)}
		}
		in <- update[string]{revision: 1000, stale: stale}
		b := <-out
		want := slices.Collect(func(yield func(string) bool) {
			for i := range 10 {
				yield(fmt.Sprintf("+%d=%d", i, 990+i))
			}
		})
		if got := notation(b.Events); got != strings.Join(want, " ") || b.Revision != 1000 || !b.Stale.Equal(stale) {
			t.Errorf("got %s at %d, stale since %v", got, b.Revision, b.Stale)
		}
		// A state that did not change is no batch; one that did is.
		in <- update[string]{revision: 1001, stale: stale}
		synctest.Wait()
		select {
		case b := <-out:
			t.Errorf("a batch without news: %+v", b)
		default:
		}
		in <- update[string]{revision: 1002}
		if b := <-out; !b.Stale.IsZero() || b.Revision != 1002 {
			t.Errorf("back in reach: %+v", b)
		}
	})
}

// TestFeedTellsWhyTheStoreIsAway holds that a diagnosis is told when it comes, stays while
// attempts go on to fail, and is not told of another time than its own.
func TestFeedTellsWhyTheStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, found, out := make(chan update[string]), make(chan diagnosis), make(chan Batch[string])
		go feed(t.Context(), in, found, out)
		broken, refused := errors.New("it broke"), errors.New("refused")
		away := time.Now()
		tells := func(what string, want error) {
			t.Helper()
			if b := <-out; b.Err != want {
				t.Errorf("%s: got %v, want %v", what, b.Err, want)
			}
		}
		silent := func(what string) {
			t.Helper()
			synctest.Wait()
			select {
			case b := <-out:
				t.Errorf("%s: a batch without news: %+v", what, b)
			default:
			}
		}
		in <- update[string]{stale: away, err: broken}
		tells("at first", broken)
		found <- diagnosis{away, refused}
		tells("the diagnosis", refused)
		in <- update[string]{stale: away, err: broken}
		silent("the next attempt")
		in <- update[string]{stale: away, err: broken, events: []Event[string]{{Op: Put, Key: "k"}}}
		tells("an event meanwhile", refused)
		in <- update[string]{}
		tells("back in reach", nil)
		found <- diagnosis{away, refused}
		silent("a diagnosis that comes late")
		in <- update[string]{stale: away.Add(1), err: broken}
		tells("away again", broken)
		found <- diagnosis{away, refused}
		silent("a diagnosis of the time before")
	})
}
