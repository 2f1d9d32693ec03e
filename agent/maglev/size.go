package maglev

import "slices"

// SlotsPerBackend is how many slots a table has at least for each backend, up
// to the largest size. At 100, shares are even to within 1 %, and a backend that
// goes moves 1 to 3 % of the slots of the others.
const SlotsPerBackend = 100

// sizes are the sizes that a table may have: the largest primes below the
// powers of two. A prime size makes every stride a full permutation.
var sizes = []uint32{251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071}

// Bounds of the size of a table.
const (
	MinSize = 251
	MaxSize = 131071
)

// Sizes returns the sizes that a table may have, the smallest first.
func Sizes() []uint32 { return slices.Clone(sizes) }

// Fit returns the smallest size that has at least this many slots, or MaxSize.
func Fit(slots uint32) uint32 {
	i, _ := slices.BinarySearch(sizes, slots)
	return sizes[min(i, len(sizes)-1)]
}

// SizeFor returns the size of a table for this many backends.
func SizeFor(backends int) uint32 {
	return Fit(uint32(min(backends, MaxSize) * SlotsPerBackend))
}
