package loadbalancer

import (
	"cmp"
	"errors"
	"slices"
	"testing"
)

// half makes every second endpoint of each service ready, and all
// services but one defined.
func (w *world) half(odd bool, missing int) {
	for c := range w.services {
		for i := range w.services[c] {
			s := &w.services[c][i]
			*s = worldService{defined: i != missing, global: true, shared: true, weight: 100, ports: 1, vips: []int{i % worldVIPs}}
			for e := range s.ready {
				s.ready[e] = (e%2 == 1) == odd
			}
		}
	}
}

// cramp leaves the allocators only a little more than what is in use.
func (h *harness) cramp(backends, slots uint32) {
	s := h.l.state
	s.services.limit = s.services.next
	s.backends.limit = s.backends.next + backends
	var last Extent
	for len(s.slots.holes) > 0 {
		last, _ = s.slots.take(s.slots.holes[0].Size)
	}
	s.slots.put(Extent{last.Offset, slots})
}

// reachable is what a program may know that runs now: the owner of each
// service, where its tables lie and the backends in them.
type reachable struct {
	number uint32
	entry  Service
	in     map[uint32]Backend
}

func (h *harness) reachable() []reachable {
	var out []reachable
	for _, f := range worldFrontends() {
		number, err := h.k.frontend(f)
		if err != nil {
			h.Fatal(err)
		}
		if number == 0 {
			continue
		}
		r := reachable{number: number, entry: h.k.Service(number), in: map[uint32]Backend{}}
		for _, at := range r.entry.Tables {
			for _, n := range h.k.Slots(at) {
				r.in[n] = h.k.Backend(n)
			}
		}
		out = append(out, r)
	}
	return out
}

// TestNothingIsUsedAgainUnderAProgram holds a program in the middle of its run
// while all backends are replaced and one service gives way to another, with
// hardly a number or slot to spare: what the program may know stays the service's,
// what needs room waits, and all is well once the program has ended.
func TestNothingIsUsedAgainUnderAProgram(t *testing.T) {
	k := newRAM(Limits{Services: 64, Slots: 1 << 17, Backends: 4096, Nodes: 64})
	h := newHarness(t, 1, k)
	h.w.half(false, 7)
	h.tell(true)
	h.converge()
	h.cramp(40, 4093)
	before := h.reachable()

	k.programs.RLock()
	h.w.half(true, 0)
	h.tell(false)
	for range 5 {
		h.now = h.now.Add(DefaultBackoff.Max)
		h.l.settle(h.now)
	}
	for _, r := range before {
		if now := h.k.Service(r.number); now.Owner != r.entry.Owner {
			t.Errorf("service %d has another owner under a program", r.number)
		}
		for _, at := range r.entry.Tables { // which may be written over, by its service
			if slices.ContainsFunc(h.k.Slots(at), func(n uint32) bool { return h.k.Backend(n).Service != r.number }) {
				t.Errorf("slots of service %d are another's under a program", r.number)
			}
		}
		for n, b := range r.in {
			now := h.k.Backend(n)
			now.Standing = b.Standing // it may step aside
			if now != b {
				t.Errorf("backend %d is another under a program", n)
			}
		}
	}
	if len(h.l.starving) == 0 {
		t.Error("nothing waits for room, so that this test shows nothing")
	}
	for _, f := range h.l.queue.Failures() {
		if !slices.ContainsFunc([]error{errNoExtent, errNoNumber, errSettling, errTaken}, func(e error) bool { return errors.Is(f.Err, e) }) {
			t.Errorf("%v: %v", f.Key, f.Err)
		}
	}
	k.programs.RUnlock()

	if !h.drain(5000) {
		t.Fatalf("not done when the program has ended: %v", h.l.queue.Failures())
	}
	h.compare()
}

// TestCompactionGathersRoom fills the slots with small tables, removes every
// second one, and asks for one larger than any hole.
func TestCompactionGathersRoom(t *testing.T) {
	k := newRAM(Limits{Services: 64, Slots: 1 << 16, Backends: 4096, Nodes: 64})
	h := newHarness(t, 1, k)
	h.w.half(false, -1)
	for i := range h.w.services[0] {
		h.w.services[0][i].table = 2039
	}
	h.tell(true)
	h.converge()
	h.cramp(1000, 1)
	order := h.inOrderOfSlots()
	for at, i := range order {
		h.w.services[0][i].defined = at%2 == 1
	}
	h.tell(false)
	h.drain(100)
	if n := len(h.l.state.slots.holes); n < 3 {
		t.Fatalf("%d holes: the slots are in one piece, and this test shows nothing", n)
	}
	h.w.services[0][order[1]].table = 4093
	h.tell(false)
	if !h.drain(1000) {
		t.Fatalf("no room was gathered: %d of %d slots free in %v; %v", h.l.state.slots.free, h.l.state.slots.total, h.l.state.slots.holes, h.l.queue.Failures())
	}
	h.compare()
}

// inOrderOfSlots returns the services as their tables lie.
func (h *harness) inOrderOfSlots() []int {
	var order []int
	for i := range worldServices {
		order = append(order, i)
	}
	offset := func(i int) uint32 { return h.l.state.byName[serviceNameOf(i)][0].tables[Primary].at.Offset }
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(offset(a), offset(b)) })
	return order
}

// graceHook runs a function when a grace period begins.
type graceHook struct {
	Target
	begins func()
}

func (g graceHook) Grace() error {
	g.begins()
	return g.Target.Grace()
}

// TestRestoreDropsBeforeItsPeriod: a process killed between the word and the
// backends that it dropped leaves some usable that no table names. Sockets may
// refer to them, so they are dropped before the period after which their
// numbers are free.
func TestRestoreDropsBeforeItsPeriod(t *testing.T) {
	k := newRAM(testLimits)
	h := newHarness(t, 1, k)
	h.tell(true)
	h.converge()
	orphan := testLimits.Backends - 1
	k.PutBackend(orphan, Backend{Service: 1})
	periods := 0
	s, oddities, err := restore(graceHook{k, func() {
		periods++
		if k.Usable(orphan) {
			t.Error("the period began while a backend that is nobody's could still be used")
		}
	}})
	if err != nil || len(oddities) > 0 || periods == 0 {
		t.Fatalf("restored with %v, %v, after %d periods", err, oddities, periods)
	}
	if len(s.owners) != len(h.l.state.owners) {
		t.Errorf("restored %d frontends of %d", len(s.owners), len(h.l.state.owners))
	}
}
