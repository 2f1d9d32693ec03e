package loadbalancer

import (
	"errors"
	"slices"
	"testing"
)

func TestNumbersAreNeverZeroNorTwice(t *testing.T) {
	n := newNumbers("things", 8, func(x uint32) bool { return x == 2 || x == 4 })
	var got []uint32
	for {
		x, err := n.take()
		if err != nil {
			if !errors.Is(err, errNoNumber) {
				t.Fatal(err)
			}
			break
		}
		got = append(got, x)
	}
	if want := []uint32{5, 6, 7, 1, 3}; !slices.Equal(got, want) {
		t.Errorf("took %v, want %v", got, want)
	}
	n.put(6)
	n.put(2)
	if n.used() != 5 {
		t.Errorf("%d in use, want 5", n.used())
	}
	for _, want := range []uint32{6, 2} {
		if x, err := n.take(); err != nil || x != want {
			t.Errorf("took %d, %v; want %d", x, err, want)
		}
	}
}

func TestNoNumbersAtAll(t *testing.T) {
	for limit := range uint32(2) {
		if x, err := newNumbers("things", limit, func(uint32) bool { return false }).take(); err == nil {
			t.Errorf("a map of %d entries gave %d", limit, x)
		}
	}
}

func TestLimboWaitsForAPeriodThatBeganLater(t *testing.T) {
	var l limbo
	if l.begin() {
		t.Error("a period began for nothing")
	}
	l.fresh.backends = append(l.fresh.backends, 1)
	if !l.begin() {
		t.Fatal("no period began")
	}
	l.fresh.backends = append(l.fresh.backends, 2)
	if l.begin() {
		t.Error("two periods at once")
	}
	if got := l.end(nil); !slices.Equal(got.backends, []uint32{1}) {
		t.Errorf("freed %v, want 1 alone", got.backends)
	}
	l.begin()
	l.fresh.backends = append(l.fresh.backends, 3)
	if got := l.end(errors.New("refused")); !got.empty() {
		t.Errorf("a period that failed freed %v", got)
	}
	l.begin()
	got := l.end(nil).backends
	slices.Sort(got)
	if !slices.Equal(got, []uint32{2, 3}) {
		t.Errorf("freed %v, want 2 and 3", got)
	}
}
