package apiserver

import "tombolo.io/tombolo/clustermesh"

// tableSizes are those that are given out: primes, each about twice the one
// before.
var tableSizes = [...]uint32{clustermesh.MinTableSize, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, clustermesh.MaxTableSize}

// slotsPerBackend keeps the shares of backends even, and the change small when
// one goes (see the design).
const slotsPerBackend = 100

// A table shrinks only when it would do for spare times the backends there
// are, and then keeps room for twice as many: no size is given out back and
// forth.
const spare, room = 4, 2

// tableSize returns the size of the tables of a service with so many backends
// that has the size current, zero for none yet. It grows at once; it shrinks
// only when may is set and the need has become much less, because a table of
// another size moves clients that nothing else ties to their backend.
func tableSize(current uint32, backends int, may bool) uint32 {
	switch {
	case current < fitting(backends):
		return fitting(backends)
	case may && current > fitting(spare*backends):
		return fitting(room * backends)
	}
	return current
}

// fitting returns the smallest size with enough slots.
func fitting(backends int) uint32 {
	for _, size := range tableSizes {
		if uint64(size) >= uint64(backends)*slotsPerBackend {
			return size
		}
	}
	return clustermesh.MaxTableSize
}
