package loadbalancer

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
)

// read starts readers that select as programs do, and also hold on to what they
// selected, as sockets do. None may ever see a backend of another service. stop
// ends them; some must have read.
func (h *harness) read(readers int) (stop func()) {
	var done atomic.Bool
	var reads atomic.Int64
	var running sync.WaitGroup
	for i := range readers {
		rd := &mapReader{h: h, r: rand.New(rand.NewPCG(uint64(i), 9)), all: worldReaches(), held: map[Frontend]reference{}}
		running.Go(func() {
			for !done.Load() && !h.Failed() {
				h.pass()
				f := rd.reach()
				var got uint64
				allowed := h.claims[f].during(func() {
					h.k.run(func() { got = rd.selects(f) })
				})
				reads.Add(1)
				runtime.Gosched()
				if got&^allowed != 0 {
					h.Errorf("%v led to a backend of the services %b; wanted by %b", f, got, allowed)
				}
			}
		})
	}
	return func() {
		done.Store(true)
		running.Wait()
		if reads.Load() == 0 {
			h.Error("the readers have read nothing")
		}
	}
}

// still stops the readers, in the midst of what they read, until goOn: they would see
// nothing new while the harness looks and nothing changes, and take the core from it and
// from other tests. Nobody waits until they go on: it is those who are late that notice
// what is used again too early.
func (h *harness) still() (goOn func()) {
	h.gate.Lock()
	return h.gate.Unlock
}

// pass is called by readers between any two looks.
func (h *harness) pass() {
	h.gate.RLock()
	defer h.gate.RUnlock()
}

// reference is what outlives a program: a backend's number and head.
type reference struct {
	number uint32
	head   uint64
	owner  int
}

// mapReader reads the maps as a program does.
type mapReader struct {
	h    *harness
	r    *rand.Rand
	all  []reach
	held map[Frontend]reference
}

func (rd *mapReader) reach() reach {
	return rd.all[rd.r.IntN(len(rd.all))]
}

// selects returns the set of services to whose backends a client is led just now: by
// each of the tables that its frontend leads to.
func (rd *mapReader) selects(r reach) (owners uint64) {
	f := r.frontend
	rd.checkHeld(f)
	number, err := rd.h.k.frontend(f)
	if err != nil {
		rd.h.Error(err)
	}
	if number == 0 {
		return 0
	}
	rd.pause()
	if !rd.h.lets(number, r.client) {
		return 0
	}
	rd.pause()
	for t, at := range rd.h.k.Service(number).Tables {
		if at.Size == 0 {
			continue
		}
		rd.pause()
		slot := Extent{at.Offset + uint32(rd.r.IntN(int(at.Size))), 1}
		n := atomic.LoadUint32(&rd.h.k.Slots(slot)[0])
		rd.pause()
		head := rd.h.k.head(n)
		if !rd.h.k.Usable(n) {
			continue // a program would look at another slot
		}
		b := rd.h.k.Backend(n)
		owner := serviceOf(b.Address.Addr())
		if b.Service != number {
			rd.h.Errorf("tier %d of service %d names backend %d of service %d", t, number, n, b.Service)
		}
		owners |= 1 << owner
		rd.held[f] = reference{n, head, owner}
	}
	return owners
}

// pause lets the writer run between two looks, as an interrupt would.
func (rd *mapReader) pause() {
	rd.h.pass()
	if rd.r.IntN(8) == 0 {
		for range rd.r.IntN(1000) {
			runtime.Gosched()
		}
	}
}

// checkHeld uses a reference of an earlier run as programs do: when the head is
// still the same.
func (rd *mapReader) checkHeld(f Frontend) {
	held, ok := rd.held[f]
	if !ok || rd.h.k.head(held.number) != held.head {
		return
	}
	if b := rd.h.k.Backend(held.number); serviceOf(b.Address.Addr()) != held.owner {
		rd.h.Errorf("backend %d, which was one of s%d, is one of s%d under the same head", held.number, held.owner, serviceOf(b.Address.Addr()))
	}
}
