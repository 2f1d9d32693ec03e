package loadbalancer

import (
	"testing"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
)

// TestWhoLeavesKeepsItsEntry follows a backend that leaves its table and comes
// back, over a restart: its entry stays the same one, so that what its clients
// hold leads to it still, and whoever ends the connections of a dead node finds
// them.
func TestWhoLeavesKeepsItsEntry(t *testing.T) {
	h := newHarness(t, 1, newRAM(testLimits))
	h.w.half(false, -1) // the even endpoints are ready
	h.tell(true)
	h.converge()
	p := h.l.state.byName[serviceNameOf(2)][0] // no other wants its address
	who, ok := p.find(1, p.backends[0].address)
	if !ok || who.cluster != 1 {
		t.Fatalf("no backend of the own cluster: %+v", p.backends)
	}
	generation := h.k.head(who.number) >> 32
	expect := func(when string, standing Standing) {
		t.Helper()
		h.converge()
		b := h.k.Backend(who.number)
		if !h.k.Usable(who.number) || h.k.head(who.number)>>32 != generation || b.Address != who.address || b.Standing != standing {
			t.Fatalf("%s: entry %d is %+v, generation %d, want %+v, %d with standing %d",
				when, who.number, b, h.k.head(who.number)>>32, who, generation, standing)
		}
	}
	ready := &h.w.services[0][2].ready
	was := *ready
	expect("at first", Active)
	*ready = [worldEndpoints]bool{}
	h.tell(false)
	expect("not ready", Silent)
	h.start()
	h.judgeAll()
	h.drain(3)
	h.tell(true)
	expect("after a restart", Silent)
	*ready = was
	h.tell(false)
	expect("ready again", Active)
	h.w.services[0][2].defined = false
	h.tell(false)
	h.converge()
	if h.k.Usable(who.number) {
		t.Errorf("the service is gone, and its backend %d is not", who.number)
	}
}

// TestRoomForWhoServes holds that who never was in a table has no entry, and
// that where there is no room what only keeps connections goes.
func TestRoomForWhoServes(t *testing.T) {
	h := newHarness(t, 1, newRAM(Limits{Services: 64, Slots: 1 << 17, Backends: 4096, Nodes: 64}))
	h.w.half(false, -1)
	h.tell(true)
	h.converge()
	for n := range h.k.Limits().Backends {
		if h.k.Usable(n) && h.k.Backend(n).Standing != Active {
			t.Errorf("backend %d has an entry and was in no table: %+v", n, h.k.Backend(n))
		}
	}
	h.cramp(40, 4093)
	for odd := range 2 {
		h.w.half(odd == 0, -1) // all others
		h.tell(false)
		if !h.drain(5000) {
			t.Fatalf("not done: %v", h.l.queue.Failures())
		}
		h.compare()
	}
}

func TestStandingOfBystanders(t *testing.T) {
	d := desire(&global.Service{
		Definition: &clustermesh.Service{},
		Ports: []global.Port{{
			Frontends: []global.Frontend{{Address: vip(0, false)}},
			Aside: []global.Backend{
				{Address: vip(1, false), Serving: true, Terminating: true}, {Address: vip(2, false)},
				{Address: vip(3, false), Serving: true, Ended: true},
			},
		}},
	}, wish{outliers: true})
	want := []Standing{Draining, Silent, Ended}
	if len(d) != 1 || len(d[0].aside) != len(want) {
		t.Fatalf("got %+v", d)
	}
	for i, b := range d[0].aside {
		if b.standing != want[i] {
			t.Errorf("bystander %d has standing %d, want %d", i, b.standing, want[i])
		}
	}
}
