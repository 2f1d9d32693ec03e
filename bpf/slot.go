package bpf

import "sync/atomic"

// Slots is the room for the tables of all services: numbers of backends, one
// after the other. Whoever gives out extents owns which part is whose; what no
// service's word leads to, and a grace period ago none did, may be written; the rest may
// only be replaced.
type Slots struct{ slots []uint32 }

// Len returns the number of slots.
func (s *Slots) Len() uint32 { return uint32(len(s.slots)) }

// Write writes a table to an extent that no program reads.
func (s *Slots) Write(offset uint32, table []uint32) {
	copy(s.slots[offset:][:len(table)], table)
}

// Replace writes a table over another that programs read: of each slot they see the
// old number or the new one.
func (s *Slots) Replace(offset uint32, table []uint32) {
	for i, number := range table {
		if at := &s.slots[offset+uint32(i)]; *at != number {
			atomic.StoreUint32(at, number)
		}
	}
}

// Read returns the table of an extent, in memory that the next Write to it
// changes.
func (s *Slots) Read(e Extent) []uint32 {
	return s.slots[e.Offset:][:e.Size:e.Size]
}
