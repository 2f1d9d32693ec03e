package loadbalancer

import (
	"errors"
	"fmt"
)

// errNoNumber says that an array map is full.
var errNoNumber = errors.New("no number is free")

// numbers gives out the indices of an array map. Zero is never given out: in
// the maps it means none. Numbers come back into use in the order in which they
// were given back, so that each rests as long as possible.
type numbers struct {
	what  string // the map, for the error: "services"
	limit uint32 // of the map's entries
	next  uint32 // the first number that was never given out
	free  fifo[uint32]
}

// newNumbers returns an allocator for a map of limit entries of which used says
// which are taken.
func newNumbers(what string, limit uint32, used func(uint32) bool) *numbers {
	n := &numbers{what: what, limit: limit, next: 1}
	for last := limit; last > 1; last-- {
		if used(last - 1) {
			n.next = last
			break
		}
	}
	for i := uint32(1); i < n.next; i++ {
		if !used(i) {
			n.free.push(i)
		}
	}
	return n
}

// take returns a number that nobody uses. It prefers those never used to those
// that had another owner.
func (n *numbers) take() (uint32, error) {
	if n.next < n.limit {
		n.next++
		return n.next - 1, nil
	}
	if x, ok := n.free.pop(); ok {
		return x, nil
	}
	return 0, &fullError{n.what, fmt.Errorf("%w: all %d %s are in use", errNoNumber, max(n.limit, 1)-1, n.what)}
}

// put gives a number back. The caller has waited until no reader knows it.
func (n *numbers) put(x uint32) { n.free.push(x) }

// used returns how many numbers are given out.
func (n *numbers) used() int { return int(n.next) - 1 - n.free.len() }

// fifo is a queue whose memory is at most twice what it once held.
type fifo[T any] struct {
	items []T
	head  int
}

func (f *fifo[T]) push(x T) { f.items = append(f.items, x) }

func (f *fifo[T]) pop() (x T, ok bool) {
	if f.head == len(f.items) {
		return x, false
	}
	x = f.items[f.head]
	if f.head++; f.head > len(f.items)/2 {
		f.items = append(f.items[:0], f.items[f.head:]...)
		f.head = 0
	}
	return x, true
}

func (f *fifo[T]) len() int { return len(f.items) - f.head }
