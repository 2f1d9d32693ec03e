package loadbalancer

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

// bits is the slow obvious allocator: one bool a slot.
type bits []bool

func (b bits) take(size uint32) (Extent, bool) {
	run := uint32(0)
	for i, used := range b {
		if run++; used {
			run = 0
		}
		if run == size {
			e := Extent{uint32(i) + 1 - size, size}
			b.set(e, true)
			return e, true
		}
	}
	return Extent{}, false
}

func (b bits) set(e Extent, used bool) {
	for i := e.Offset; i < e.end(); i++ {
		b[i] = used
	}
}

func TestExtentsTakeTheFirstThatFits(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		total := uint32(20 + r.IntN(200))
		x, err := newExtents(total, nil)
		if err != nil {
			t.Fatal(err)
		}
		slow := make(bits, total)
		var taken []Extent
		for range 400 {
			if len(taken) > 0 && r.IntN(2) == 0 {
				i := r.IntN(len(taken))
				x.put(taken[i])
				slow.set(taken[i], false)
				taken = slices.Delete(taken, i, i+1)
				continue
			}
			size := uint32(1 + r.IntN(30))
			got, err := x.take(size)
			want, ok := slow.take(size)
			if got != want || (err == nil) != ok {
				t.Fatalf("taking %d of %d: got %v, %v; want %v, %v", size, total, got, err, want, ok)
			}
			if err != nil && !errors.Is(err, errNoExtent) {
				t.Fatal(err)
			}
			if ok {
				taken = append(taken, got)
			}
		}
		checkHoles(t, x, slow)
	}
}

// checkHoles compares the holes with the bits, and with one rebuilt.
func checkHoles(t *testing.T, x *extents, slow bits) {
	t.Helper()
	free := slices.Clone(slow)
	count := uint32(0)
	for i, h := range x.holes {
		count += h.Size
		bits(free).set(h, true)
		if i > 0 && x.holes[i-1].end() >= h.Offset {
			t.Fatalf("holes %v and %v touch", x.holes[i-1], h)
		}
	}
	if slices.Contains(free, false) || count != x.free {
		t.Fatalf("holes %v of %d slots, %d counted, do not fill what is free", x.holes, x.free, count)
	}
}

func TestReserveRefusesOverlaps(t *testing.T) {
	for _, c := range []struct {
		used []Extent
		ok   bool
	}{
		{[]Extent{{0, 10}, {10, 10}, {90, 10}}, true},
		{[]Extent{{5, 0}, {5, 10}}, true},
		{[]Extent{{0, 10}, {9, 1}}, false},
		{[]Extent{{91, 10}}, false},
		{[]Extent{{100, 1}}, false},
		{[]Extent{{^uint32(0), ^uint32(0)}}, false},
	} {
		if _, err := newExtents(100, c.used); (err == nil) != c.ok {
			t.Errorf("%v in 100 slots: %v", c.used, err)
		}
	}
}

func TestLowerFindsWhatCompactionMoves(t *testing.T) {
	x, err := newExtents(100, []Extent{{0, 10}, {30, 10}, {50, 50}})
	if err != nil {
		t.Fatal(err)
	}
	for e, want := range map[Extent]bool{{0, 10}: false, {30, 10}: true, {30, 21}: false, {50, 20}: true, {50, 50}: false} {
		if got := x.lower(e); got != want {
			t.Errorf("%v with holes %v: %v", e, x.holes, got)
		}
	}
}
