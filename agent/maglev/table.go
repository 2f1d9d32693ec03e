package maglev

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// Backend is one choice of a table.
type Backend struct {
	// Cluster and Address say who it is: no two backends of a table agree in both.
	Cluster uint16
	Address netip.AddrPort
	// Weight is its share relative to the others'. Zero gets no slot; any other
	// weight gets at least one, where there are as many slots as backends.
	Weight uint32
}

// Table returns a table of the given size, one of Sizes, whose slots are
// indices into backends; nil when no backend has a weight.
func Table(backends []Backend, size uint32) []uint32 {
	var b Builder
	return b.Table(nil, backends, size)
}

// Builder builds tables one after the other in the same buffers. The zero value
// is ready; it is not safe for concurrent use.
type Builder struct {
	turns []turn
}

// turn is a backend while a table is filled.
type turn struct {
	seed   uint64 // of the permutation; also the order of the turns
	next   uint32 // the slot it looks at next
	step   uint32 // to the slot after that, 1 to size-1
	twice  uint32 // step, two times
	index  uint32 // in the caller's slice
	weight uint64
	due    uint64 // the round × weight above which it takes its next slot
}

// Table is the function Table, which appends the slots to dst and grows it only
// where its capacity does not do.
func (b *Builder) Table(dst []uint32, backends []Backend, size uint32) []uint32 {
	if _, ok := slices.BinarySearch(sizes, size); !ok {
		panic(fmt.Sprintf("maglev: a table of %d slots; only the sizes of Sizes give full permutations", size))
	}
	heaviest, equal := b.begin(backends, size)
	if heaviest == 0 {
		return dst
	}
	start := len(dst)
	dst = slices.Grow(dst, int(size))[:start+int(size)]
	table := dst[start:]
	for i := range table {
		table[i] = free
	}
	if equal {
		fillEqual(table, b.turns)
	} else {
		fillWeighted(table, b.turns, heaviest)
	}
	return dst
}

// free marks a slot that nobody took yet.
const free = ^uint32(0)

// begin puts the backends that have a weight into their order, and returns the
// greatest weight and whether all have it.
func (b *Builder) begin(backends []Backend, size uint32) (heaviest uint64, equal bool) {
	b.turns = b.turns[:0]
	equal = true
	for i, be := range backends {
		if be.Weight == 0 {
			continue
		}
		seed := seedOf(be)
		step := reduce(mix(seed, streamStep), size-1) + 1
		b.turns = append(b.turns, turn{
			seed:   seed,
			next:   reduce(mix(seed, streamNext), size),
			step:   step,
			twice:  after(step, step, size),
			index:  uint32(i),
			weight: uint64(be.Weight),
		})
		equal = equal && (heaviest == 0 || heaviest == uint64(be.Weight))
		heaviest = max(heaviest, uint64(be.Weight))
	}
	slices.SortFunc(b.turns, func(x, y turn) int {
		if x.seed != y.seed {
			return cmp.Compare(x.seed, y.seed)
		}
		return compare(backends[x.index], backends[y.index])
	})
	return heaviest, equal
}

// compare orders backends whose seeds are equal.
func compare(x, y Backend) int {
	return cmp.Or(cmp.Compare(x.Cluster, y.Cluster), x.Address.Compare(y.Address))
}

// fillEqual fills the table in rounds in which everybody takes one slot.
func fillEqual(table []uint32, turns []turn) {
	left := len(table)
	for {
		for i := range turns {
			turns[i].take(table)
			if left--; left == 0 {
				return
			}
		}
	}
}

// fillWeighted fills the table in rounds in which a backend takes a slot with
// the frequency of its weight relative to the heaviest; all do in the first.
func fillWeighted(table []uint32, turns []turn, heaviest uint64) {
	left := len(table)
	for round := uint64(1); ; round++ {
		for i := range turns {
			t := &turns[i]
			if round*t.weight <= t.due {
				continue
			}
			t.due += heaviest
			t.take(table)
			if left--; left == 0 {
				return
			}
		}
	}
}

// take gives the backend the first free slot of the rest of its permutation.
// There must be one: a permutation that began anew meets only slots that are
// taken, so that every free slot is still ahead. It walks on two legs, each
// passing the other: a slot depends on the one two before it, and the processor
// works on both at once.
func (t *turn) take(table []uint32) {
	size := uint32(len(table))
	at, then := t.next, after(t.next, t.step, size)
	for table[at] != free {
		if table[then] == free {
			at, then = then, after(at, t.twice, size)
			break
		}
		at, then = after(at, t.twice, size), after(then, t.twice, size)
	}
	table[at] = t.index
	t.next = then
}

// after returns the slot that is step after at in the round. One of the two sums is
// below the size, and the other above it or, below zero, far above. A branch in
// their place would be guessed wrong as often as not.
func after(at, step, size uint32) uint32 {
	past := int32(at + (step - size))
	return uint32(past) + size&uint32(past>>31)
}
