package loadbalancer

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"tombolo.io/tombolo/clustermesh"
)

// fullWorlds are limits below what the world wants at most times, each of one map.
var fullWorlds = map[string]Limits{
	"backends":  {Services: 72, Slots: 1 << 18, Backends: 80, Nodes: 20},
	"slots":     {Services: 72, Slots: 6000, Backends: 2500, Nodes: 20},
	"nodes":     {Services: 72, Slots: 1 << 18, Backends: 2500, Nodes: 8},
	"services":  {Services: 10, Slots: 1 << 18, Backends: 2500, Nodes: 20},
	"frontends": {Services: 72, Slots: 1 << 18, Backends: 2500, Nodes: 20, Frontends: 14},
}

func TestFullMapsInMemory(t *testing.T) {
	for which, limits := range fullWorlds {
		t.Run(which, func(t *testing.T) { fullSteps(t, which, 1, 100, newRAM(limits)) })
	}
}

// fullSteps changes a world for which the maps have no room, and holds after each
// step of the agent that no frontend leads to who is not listed as ready. Now and then
// the world is small enough, and then the maps must be as if they had never been full.
func fullSteps(t *testing.T, which string, seed uint64, steps int, k kernel) {
	h := newHarness(t, seed, k)
	h.strict = true
	h.tell(true)
	stop := h.read(2)
	defer stop()
	full := 0
	for i := 0; i < steps && !h.Failed(); i++ {
		h.perturb()
		h.target.failing, h.target.crashIn = 0, 0
		h.target.failGrace.Store(false)
		h.rest()
		full += h.shortOf(which)
		if i%25 == 24 {
			h.w.dwindle()
			h.tell(false)
			h.converge()
			h.w.populate()
			h.tell(false)
		}
	}
	t.Logf("the map of %s was full after %d of %d steps", which, full, steps)
	if full < steps/4 {
		t.Errorf("only after %d of %d steps was the map of %s full: this shows little", full, steps, which)
	}
}

// rest lets the agent work until nothing changes any more, though it may not have what
// it wants, and compares its books with the maps.
func (h *harness) rest() {
	h.Helper()
	for range 300 {
		h.drain(1)
		s := h.l.state
		if h.l.queue.Len() == 0 && !s.limbo.running && s.limbo.fresh.empty() && len(h.l.leaving) == 0 && len(s.wake) == 0 && !h.failing(errFlaky) {
			h.leaks()
			h.onlyOwners()
			return
		}
	}
	h.Fatalf("the agent finds no rest: %d due, failures %v", h.l.queue.Len(), h.l.queue.Failures())
}

// onlyOwners holds that a frontend that leads somewhere leads to the service that is
// to have it.
func (h *harness) onlyOwners() {
	h.Helper()
	for s := range h.selects() {
		if wants := h.w.wants(s.frontend); len(wants) == 0 || wants[0] != serviceOf(s.address.Addr()) {
			h.Fatalf("%v leads to %v, and is wanted by %v", s.frontend, s.address, wants)
		}
	}
}

// failing reports whether some service fails for a reason.
func (h *harness) failing(reason error) bool {
	for _, f := range h.l.queue.Failures() {
		if errors.Is(f.Err, reason) {
			return true
		}
	}
	return false
}

// shortOf returns 1 if some service fails for want of room in a map, which is the only
// one that is full.
func (h *harness) shortOf(which string) (short int) {
	for _, f := range h.l.queue.Failures() {
		full := fullMaps(f.Err)
		if len(full) == 0 && !errors.Is(f.Err, errTaken) || len(full) > 0 && !slices.Equal(full, []string{which}) {
			h.Errorf("%v fails, with full maps %v: %v", f.Key.service, full, f.Err)
		}
		short = max(short, len(full))
	}
	return short
}

// onlyUsable holds that no frontend leads to an endpoint that is not ready, or to one
// of a service that does not have the frontend. Where the kernel refused to change
// a frontend, it may lead to the service that had it, and to its ready endpoints.
func (h *harness) onlyUsable() {
	h.Helper()
	for s := range h.selects() {
		if h.unsynced[clusterNames[s.cluster-1]] || h.told[s] {
			continue
		}
		if refused := h.target.refused[s.frontend]; refused && h.toldAt[s.cluster][s.address.Addr()] {
			continue
		}
		h.Fatalf("%v leads to %v of cluster %d, which is not listed as ready for it; failures %v", s.frontend, s.address, s.cluster, h.l.queue.Failures())
	}
}

// TestWhoIsGoneLeavesFullMaps replaces an endpoint, or takes it away, at the moment when
// a map has no room at all, and looks at once.
func TestWhoIsGoneLeavesFullMaps(t *testing.T) {
	for _, c := range []struct {
		full  string
		fill  func(*state)
		whole bool // the service is all that it should be, at once
	}{
		{"backends", func(s *state) { s.backends.limit, s.backends.free = s.backends.next, fifo[uint32]{} }, false},
		{"nodes", func(s *state) { s.nodes.numbers.limit, s.nodes.numbers.free = s.nodes.numbers.next, fifo[uint32]{} }, true}, // its node has a number
		{"slots", func(s *state) { s.slots.total, s.slots.free, s.slots.holes = s.slots.total-s.slots.free, 0, nil }, true},
	} {
		t.Run(c.full, func(t *testing.T) {
			h := newHarness(t, 1, newRAM(Limits{Services: 64, Slots: 1 << 17, Backends: 4096, Nodes: 64}))
			h.w.half(false, -1) // the even ones are ready
			h.tell(true)
			h.converge()
			h.strict = true
			c.fill(h.l.state)
			ready := &h.w.services[0][2].ready
			ready[0], ready[1] = false, true
			h.tell(false)
			h.drain(1)
			if whole := !h.failing(errNoNumber) && !h.failing(errNoExtent); whole != c.whole {
				t.Errorf("the service is whole: %v, want %v; failures %v", whole, c.whole, h.l.queue.Failures())
			}
			h.rest()
			if !h.leadsTo(endpointAddr(0, 2, 2, false)) {
				t.Error("who is still ready has left too")
			}
			if !h.leadsTo(endpointAddr(0, 2, 1, false)) { // for who left has made room
				t.Errorf("the new one is not led to after a grace period: %v", h.l.queue.Failures())
			}
		})
	}
}

// leadsTo reports whether some frontend leads to an address.
func (h *harness) leadsTo(a netip.Addr) bool {
	for s := range h.selects() {
		if s.address.Addr() == a {
			return true
		}
	}
	return false
}

// TestRemovedServiceRefuses holds that the frontend of a service that is gone leads
// nowhere, though the kernel does not let it go, and that it goes to whoever is to have
// it.
func TestRemovedServiceRefuses(t *testing.T) {
	h := newHarness(t, 1, newRAM(testLimits))
	h.w.dwindle()
	h.tell(true)
	h.converge()
	h.strict = true
	f := Frontend{netip.AddrPortFrom(vip(2, false), 80), clustermesh.TCP, Sockets}
	h.target.failing = 100
	h.w.services[0][2].defined = false
	h.tell(false)
	h.l.settle(h.now)
	number, err := h.k.frontend(f)
	if err != nil || number == 0 || !h.failing(errFlaky) {
		t.Fatalf("%v leads to service %d, %v, failures %v: this shows nothing", f, number, err, h.l.queue.Failures())
	}
	if s := h.k.Service(number); s.Tables != [tiers]Extent{} {
		t.Errorf("it leads to %+v", s)
	}
	h.converge()
}

// TestGivenUpFrontendChangesHands holds that a frontend that its service gave up goes to
// a younger one that wants it, though the kernel did not let it go.
func TestGivenUpFrontendChangesHands(t *testing.T) {
	h := newHarness(t, 1, newRAM(testLimits))
	h.w.dwindle()
	h.w.services[0][1].created = 1
	h.tell(true)
	h.converge()
	h.w.services[0][0].vips, h.w.services[0][1].vips = []int{3}, []int{1, 0}
	h.target.stuck = true
	h.tell(false)
	h.drain(50)
	f := Frontend{netip.AddrPortFrom(vip(0, false), 80), clustermesh.TCP, Sockets}
	number, err := h.k.frontend(f)
	if p := h.l.state.numbered[number]; err != nil || p == nil || p.service != serviceNameOf(1) {
		t.Errorf("%v leads to service %d, %v, %+v; failures %v", f, number, err, p, h.l.queue.Failures())
	}
	h.target.stuck = false
	h.converge()
}

// TestOldestGoesWithoutRatherThanAnother holds that a younger service loses the frontend
// that it shares with an older one for which there is no room, and gets it back when that
// one is gone: also where the older one came while there was no agent.
func TestOldestGoesWithoutRatherThanAnother(t *testing.T) {
	for name, restarts := range map[string]bool{"while the agent runs": false, "while it does not": true} {
		t.Run(name, func(t *testing.T) { oldestGoesWithout(t, restarts) })
	}
}

func oldestGoesWithout(t *testing.T, restarts bool) {
	h := newHarness(t, 1, newRAM(testLimits))
	h.w.dwindle()
	h.w.services[0][1].created = 1
	h.tell(true)
	h.converge()
	h.strict = true
	old := &h.w.services[0][3]
	*old = h.w.services[0][0]
	old.vips = []int{1}
	if restarts {
		h.start()
	}
	s := h.l.state.services
	s.limit, s.free = s.next, fifo[uint32]{}
	h.tell(restarts)
	h.rest()
	f := Frontend{netip.AddrPortFrom(vip(1, false), 80), clustermesh.TCP, Sockets}
	if number, err := h.k.frontend(f); err != nil || number != 0 || !h.failing(errNoNumber) {
		t.Errorf("%v leads to service %d, %v; failures %v", f, number, err, h.l.queue.Failures())
	}
	old.defined = false
	h.tell(false)
	h.converge()
}
