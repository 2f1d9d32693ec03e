package loadbalancer

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// puts records to which services a frontend is led.
type puts struct {
	Target
	of  Frontend
	led []uint32
}

func (p *puts) PutFrontend(f Frontend, number uint32) error {
	if f == p.of {
		p.led = append(p.led, number)
	}
	return p.Target.PutFrontend(f, number)
}

// Three services claim an address, and the oldest, for which there is no room, goes: the
// next in age has it then, and the youngest at no moment before.
func TestMiddleBeforeYounger(t *testing.T) {
	for _, c := range []struct {
		name string
		room bool // for the middle one
	}{{"who has room", true}, {"who has none", false}} {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(10) { // whoever is woken first
				h := newHarness(t, seed, newRAM(testLimits))
				h.w.dwindle()
				all := &h.w.services[0]
				young, middle, old := &all[0], &all[1], &all[3]
				young.vips, young.created = []int{1}, 3
				middle.vips, middle.created, middle.defined = []int{1}, 2, c.room
				h.tell(true)
				h.converge()
				h.strict = true
				s := h.l.state.services
				s.limit, s.free = s.next, fifo[uint32]{}
				*old = *middle
				old.created, old.defined, middle.defined = 1, true, true
				h.tell(false)
				h.rest()
				f := Frontend{Address: netip.AddrPortFrom(vip(1, false), 80), Protocol: clustermesh.TCP}
				rec := &puts{Target: h.l.state.target, of: f}
				h.l.state.target = rec
				old.defined = false
				h.tell(false)
				h.l.settle(h.now.Add(-time.Millisecond)) // before anybody tries again by itself
				h.rest()
				youngest := h.l.state.byName[serviceNameOf(0)]
				for _, p := range youngest {
					if slices.Contains(rec.led, p.number) {
						t.Fatalf("%v led to the youngest, then %v", f, rec.led)
					}
				}
				number, err := h.k.frontend(f)
				if err != nil || c.room != (number != 0) {
					t.Fatalf("%v leads to %d, %v; failures %v", f, number, err, h.l.queue.Failures())
				}
				if !c.room { // when the middle one goes too, the youngest has it
					middle.defined = false
					h.tell(false)
					h.rest()
					if number, _ := h.k.frontend(f); number == 0 {
						t.Fatalf("%v leads nowhere, and one service wants it: %v", f, h.l.queue.Failures())
					}
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}
