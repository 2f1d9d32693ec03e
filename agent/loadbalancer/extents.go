package loadbalancer

import (
	"errors"
	"fmt"
	"slices"
)

// errNoExtent says that no hole is long enough for a table. The slots that are
// free, or will be after the next grace period, may do when they lie together.
var errNoExtent = errors.New("no run of free slots is long enough")

// extents knows which slots are free. Holes are in the order of their offsets,
// and never touch one another.
type extents struct {
	holes []Extent
	total uint32
	free  uint32
}

// newExtents returns an allocator of slots 0 to total-1 in which those of used
// are taken. Overlaps are a mistake of whoever wrote them and are refused.
func newExtents(total uint32, used []Extent) (*extents, error) {
	x := &extents{holes: []Extent{{0, total}}, total: total, free: total}
	if total == 0 {
		x.holes = nil
	}
	for _, e := range used {
		if err := x.reserve(e); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// reserve takes an extent out of the hole in which it lies.
func (x *extents) reserve(e Extent) error {
	if e.Size == 0 {
		return nil
	}
	i := x.after(e.Offset) - 1
	if i < 0 || uint64(e.Offset)+uint64(e.Size) > uint64(x.holes[i].end()) {
		return fmt.Errorf("slots %d to %d overlap another table or the end at %d", e.Offset, uint64(e.Offset)+uint64(e.Size)-1, x.total)
	}
	x.carve(i, e)
	return nil
}

// after returns the index of the first hole that begins behind the offset.
func (x *extents) after(offset uint32) int {
	i, found := slices.BinarySearchFunc(x.holes, offset, func(h Extent, o uint32) int {
		return int(int64(h.Offset) - int64(o))
	})
	if found {
		i++
	}
	return i
}

// carve takes e out of the hole i, which contains it.
func (x *extents) carve(i int, e Extent) {
	h := x.holes[i]
	var rest []Extent
	if h.Offset < e.Offset {
		rest = append(rest, Extent{h.Offset, e.Offset - h.Offset})
	}
	if e.end() < h.end() {
		rest = append(rest, Extent{e.end(), h.end() - e.end()})
	}
	x.holes = slices.Replace(x.holes, i, i+1, rest...)
	x.free -= e.Size
}

// take returns the first run of free slots that is long enough.
func (x *extents) take(size uint32) (Extent, error) {
	if size == 0 {
		return Extent{}, nil
	}
	longest := uint32(0)
	for i, h := range x.holes {
		if h.Size >= size {
			e := Extent{h.Offset, size}
			if h.Size == size {
				x.holes = slices.Delete(x.holes, i, i+1)
			} else {
				x.holes[i] = Extent{e.end(), h.Size - size}
			}
			x.free -= size
			return e, nil
		}
		longest = max(longest, h.Size)
	}
	return Extent{}, &fullError{"slots", fmt.Errorf("%w: want %d, have %d of %d free in %d holes of at most %d",
		errNoExtent, size, x.free, x.total, len(x.holes), longest)}
}

// put gives slots back. The caller has waited until nobody reads them.
func (x *extents) put(e Extent) {
	if e.Size == 0 {
		return
	}
	x.free += e.Size
	i := x.after(e.Offset)
	joinsLeft := i > 0 && x.holes[i-1].end() == e.Offset
	joinsRight := i < len(x.holes) && e.end() == x.holes[i].Offset
	switch {
	case joinsLeft && joinsRight:
		x.holes[i-1].Size += e.Size + x.holes[i].Size
		x.holes = slices.Delete(x.holes, i, i+1)
	case joinsLeft:
		x.holes[i-1].Size += e.Size
	case joinsRight:
		x.holes[i] = Extent{e.Offset, e.Size + x.holes[i].Size}
	default:
		x.holes = slices.Insert(x.holes, i, e)
	}
}

// lower says whether a table at e would move towards the start if it were
// written anew: what compaction looks for.
func (x *extents) lower(e Extent) bool {
	for _, h := range x.holes {
		if h.Offset >= e.Offset {
			return false
		}
		if h.Size >= e.Size {
			return true
		}
	}
	return false
}
