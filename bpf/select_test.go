package bpf

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
	"tombolo.io/tombolo/bpf/bpftest"
)

// Which backends serve, when some of them are down by one of the four verdicts.
func TestHealth(t *testing.T) {
	type pair struct{ one, two Backend }
	for _, c := range []struct {
		name string
		down func(w *world, p *pair)
	}{
		{"the backend itself", func(w *world, p *pair) { p.one.State = Down }},
		{"its cluster", func(w *world, p *pair) { p.one.Cluster = 3; w.Clusters.Set(3, ClusterDown) }},
		{"its node's pods", func(w *world, p *pair) { p.one.Node = 5; w.Nodes.Set(5, PodsDown) }},
		{"its node, on which it is a host's", func(w *world, p *pair) {
			p.one.Node, p.one.Kind = 5, Host
			p.two.Node = 5
			w.Nodes.Set(5, NodeDown)
		}},
		{"draining", func(w *world, p *pair) { p.one.State = Draining }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			f := tcp("10.96.0.1:80")
			p := &pair{active(w.Serve(t, local[false], "one")), active(w.Serve(t, local[false], "two"))}
			c.down(w, p)
			w.put(t, 1, f, p.one, p.two)
			if seen := w.asks(t, w.Place, f, 50); seen["two"] != 50 {
				t.Errorf("who answered: %v", seen)
			}
			if c := w.counters(t); c.Panic+c.Backup+c.Stale != 0 {
				t.Errorf("counters: %+v", c)
			}
		})
	}
}

// A verdict of one family is about backends of that family alone, and all of them.
func TestHealthOfAFamily(t *testing.T) {
	for v6, address := range map[bool]string{false: "10.96.0.1:80", true: "[fd00:96::1]:80"} {
		own, other := V4, V6
		if v6 {
			own, other = V6, V4
		}
		w := newWorld(t)
		f := tcp(address)
		one, two := active(w.Serve(t, local[v6], "one")), active(w.Serve(t, local[v6], "two"))
		one.Cluster, one.Node, two.Cluster = 3, 5, 4
		w.put(t, 1, f, one, two)
		for _, c := range []struct {
			what string
			of   *Health
			n    uint32
			bits uint8
		}{{"its cluster", w.Clusters, 3, ClusterDown}, {"its node's pods", w.Nodes, 5, PodsDown}} {
			c.of.Set(c.n, c.bits&other)
			if seen := w.asks(t, w.Place, f, 60); seen["one"] == 0 || seen["two"] == 0 || w.Down(one) {
				t.Errorf("%s: %s is down in the other family: who answered: %v, and down is said to be %v", address, c.what, seen, w.Down(one))
			}
			c.of.Set(c.n, c.bits&own)
			if seen := w.asks(t, w.Place, f, 60); seen["two"] != 60 || !w.Down(one) {
				t.Errorf("%s: %s is down: who answered: %v, and down is said to be %v", address, c.what, seen, w.Down(one))
			}
			c.of.Set(c.n, 0)
		}
	}
}

// The backup table serves when the primary has nobody, by the same rules; the
// first choice is tried when both have nobody, and only our verdict says so.
func TestBackupAndPanic(t *testing.T) {
	for _, c := range []struct {
		primary, backup State
		want            string // who answers; "" is a refusal
		count           func(Counters) uint64
	}{
		{Active, Active, "primary", func(c Counters) uint64 { return c.Selected }},
		{Down, Active, "backup", func(c Counters) uint64 { return c.Backup }},
		{Free, Active, "backup", func(c Counters) uint64 { return c.Backup }},
		{Draining, Active, "backup", func(c Counters) uint64 { return c.Backup }},
		{Down, Down, "primary", func(c Counters) uint64 { return c.Panic }},
		{Free, Down, "backup", func(c Counters) uint64 { return c.Panic }},
		{Free, Free, "", func(c Counters) uint64 { return c.Refused }},
		{Draining, Free, "", func(c Counters) uint64 { return c.Refused }},
	} {
		t.Run(fmt.Sprintf("%d %d", c.primary, c.backup), func(t *testing.T) {
			w := newWorld(t)
			f := tcp("10.96.0.1:80")
			numbers := w.put(t, 1, f, active(w.Serve(t, local[false], "primary")))
			more, extent := w.table(1, unix.IPPROTO_TCP, active(w.Serve(t, local[false], "backup")))
			service := w.Services.Read(1)
			service.Backup = extent
			w.Services.Write(1, service)
			w.Backends.SetState(numbers[0], c.primary)
			w.Backends.SetState(more[0], c.backup)
			fd, err := w.Connect(t, f.Address)
			switch {
			case c.want == "" && err != unix.ECONNREFUSED:
				t.Errorf("connecting: %v", err)
			case c.want != "" && err != nil:
				t.Errorf("connecting: %v", err)
			case c.want != "":
				if got := bpftest.Read(t, fd); got != c.want {
					t.Errorf("%q answered, want %q", got, c.want)
				}
			}
			if got := c.count(w.counters(t)); got != 1 {
				t.Errorf("counters: %+v", w.counters(t))
			}
		})
	}
}

// One live backend among many is found by the walk, where hashing again may miss.
func TestWalk(t *testing.T) {
	w := newWorld(t)
	f := tcp("10.96.0.1:80")
	dead := active(w.Serve(t, local[false], "dead"))
	dead.State = Down
	all := []Backend{active(w.Serve(t, local[false], "alive"))}
	for range 40 {
		all = append(all, dead)
	}
	w.put(t, 1, f, all...)
	if seen := w.asks(t, w.Place, f, 50); seen["alive"] != 50 {
		t.Errorf("who answered: %v", seen)
	}
}

// Whatever a slot holds, nobody but a backend of the service and of the
// frontend's family serves: the last bolt, should the writer err.
func TestNeverAnotherService(t *testing.T) {
	for _, c := range []struct {
		name string
		slot func(w *world, t *testing.T, own uint32) uint32
	}{
		{"a backend of another service", func(w *world, t *testing.T, own uint32) uint32 {
			return w.put(t, 2, tcp("10.96.0.2:80"), active(w.Serve(t, local[false], "other")))[0]
		}},
		{"a backend of another family", func(w *world, t *testing.T, own uint32) uint32 {
			n, _ := w.table(1, unix.IPPROTO_TCP, active(w.Serve(t, local[true], "other")))
			return n[0]
		}},
		{"a number never used", func(w *world, t *testing.T, own uint32) uint32 { return own + 100 }},
		{"number 0", func(w *world, t *testing.T, own uint32) uint32 { return 0 }},
		{"a number out of range", func(w *world, t *testing.T, own uint32) uint32 { return ^uint32(0) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			f := tcp("10.96.0.1:80")
			own := w.put(t, 1, f, active(w.Serve(t, local[false], "own")))[0]
			extent := w.Services.Read(1).Primary
			wrong := c.slot(w, t, own)
			slots := w.Slots.Read(extent)
			for i := range slots {
				if i%2 == 0 {
					slots[i] = wrong
				}
			}
			if seen := w.asks(t, w.Place, f, 50); seen["own"] != 50 {
				t.Errorf("who answered: %v", seen)
			}
			for i := range slots {
				slots[i] = wrong
			}
			if _, err := w.Connect(t, f.Address); err != unix.ECONNREFUSED {
				t.Errorf("with nobody else: %v", err)
			}
		})
	}
}

// A word that leads out of the slots, or a number that is no service, refuses.
func TestNonsenseRefuses(t *testing.T) {
	w := newWorld(t)
	f, g := tcp("10.96.0.1:80"), tcp("10.96.0.2:80")
	w.put(t, 1, f, active(w.Serve(t, local[false], "own")))
	w.Services.Write(1, Service{Primary: Extent{Offset: ^uint32(0) - 5, Size: ^uint32(0)}})
	if err := w.Frontends.Put(map[Frontend]uint32{g: w.Services.Len()}); err != nil {
		t.Fatal(err)
	}
	for _, f := range []Frontend{f, g} {
		if _, err := w.Connect(t, f.Address); err != unix.ECONNREFUSED {
			t.Errorf("connecting to %s: %v", f, err)
		}
	}
}
