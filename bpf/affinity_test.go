package bpf

import (
	"testing"
	"time"
)

// A client, which is a network namespace, stays with its backend while it comes
// back in time; others have their own. Then it is given one anew.
func TestAffinity(t *testing.T) {
	w := newWorld(t)
	f := tcp("10.96.0.1:80")
	numbers := w.put(t, 1, f, active(w.Serve(t, local[false], "one")), active(w.Serve(t, local[false], "two")))
	service := w.Services.Read(1)
	service.Affinity = time.Hour
	w.Services.Write(1, service)

	first := w.ask(t, w.Place, f)
	if seen := w.asks(t, w.Place, f, 20); seen[first] != 20 {
		t.Fatalf("%q answered first, then: %v", first, seen)
	}
	if c := w.counters(t); c.Affinity != 20 || c.Selected != 1 {
		t.Errorf("counters: %+v", c)
	}
	kept := map[string]uint32{"one": numbers[0], "two": numbers[1]}[first]

	w.Backends.SetState(kept, Down)
	other := w.ask(t, w.Place, f)
	if other == first {
		t.Errorf("%q answered, which is down", other)
	}
	w.Backends.SetState(kept, Active)
	if got := w.ask(t, w.Place, f); got != other {
		t.Errorf("%q answered: the client went back, from %q", got, other)
	}
}

// The entry's stamp decides, so it is set back instead of waiting; and a
// reference to a generation that is gone is not followed.
func TestAffinityEnds(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*mapsAffinity)
	}{
		{"too late", func(a *mapsAffinity) { a.LastUse -= uint64(11 * time.Second) }},
		{"another generation", func(a *mapsAffinity) { a.Reference += 1 << 32 }},
		{"no such backend", func(a *mapsAffinity) { a.Reference |= 1<<32 - 1 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			f := tcp("10.96.0.1:80")
			w.put(t, 1, f, active(w.Serve(t, local[false], "one")))
			service := w.Services.Read(1)
			service.Affinity = 10 * time.Second
			w.Services.Write(1, service)
			w.asks(t, w.Place, f, 2)
			if c := w.counters(t); c.Selected != 1 || c.Affinity != 1 {
				t.Fatalf("counters before: %+v", c)
			}
			key, entry := w.onlyAffinity(t)
			if key.Service != 1 || mapsAffinityClient(key.Kind) != mapsAffinityClientAFFINITY_NETNS {
				t.Errorf("the entry's key is %+v", key)
			}
			c.spoil(&entry)
			if err := w.maps[mapsMapAffinity].Put(&key, &entry); err != nil {
				t.Fatal(err)
			}
			w.asks(t, w.Place, f, 2)
			if c := w.counters(t); c.Selected != 2 || c.Affinity != 2 {
				t.Errorf("counters after: %+v", c)
			}
		})
	}
}

// Every namespace is a client of its own.
func TestAffinityPerNamespace(t *testing.T) {
	w := newWorld(t)
	f := tcp("10.96.0.1:80")
	backend := w.Serve(t, local[false], "here")
	w.put(t, 1, f, active(backend))
	service := w.Services.Read(1)
	service.Affinity = time.Hour
	w.Services.Write(1, service)
	other := w.NewPlace(t)
	other.Serve(t, backend, "there")
	for range 2 {
		if got := w.ask(t, w.Place, f); got != "here" {
			t.Errorf("%q answered here", got)
		}
		if got := w.ask(t, other, f); got != "there" {
			t.Errorf("%q answered there", got)
		}
	}
	if c := w.counters(t); c.Selected != 2 || c.Affinity != 2 {
		t.Errorf("counters: %+v", c)
	}
}

func (w *world) onlyAffinity(t *testing.T) (key mapsAffinityKey, entry mapsAffinity) {
	t.Helper()
	entries := w.maps[mapsMapAffinity].Iterate()
	if !entries.Next(&key, &entry) {
		t.Fatalf("no client is remembered: %v", entries.Err())
	}
	var another mapsAffinityKey
	var value mapsAffinity
	if entries.Next(&another, &value) {
		t.Fatalf("more than one client is remembered: %+v, %+v", key, another)
	}
	return key, entry
}
