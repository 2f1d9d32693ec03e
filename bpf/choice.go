package bpf

// The selection of include/select.h, to explain it.
const (
	selectHashes = 8
	selectWalk   = 64
)

// mix is that of include/select.h.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// clientHash is that of packet.c: of the flow, or under session affinity of the client
// and the frontend.
func clientHash(t Trace) uint64 {
	source, to := words(t.From.Addr()), words(t.To.Addr())
	port := networkOrder(t.From.Port())
	if t.Entry.Affinity > 0 {
		port = 0
	}
	h := mix(uint64(source[0])<<32 | uint64(source[1]))
	h = mix(h ^ (uint64(source[2])<<32 | uint64(source[3])))
	h = mix(h ^ (uint64(to[0])<<32 | uint64(to[1])))
	h = mix(h ^ (uint64(to[2])<<32 | uint64(to[3])))
	return mix(h ^ (uint64(port)<<32 | uint64(networkOrder(t.To.Port()))<<16 | uint64(t.Protocol)))
}

// choices returns what a hash leads to in the tables of a service, up to the first
// backend that is ready: each slot once.
func (d *Datapath) choices(number uint32, s Service, hash uint64, v4 bool) (out []Choice) {
	for i, table := range []Extent{s.Primary, s.Backup} {
		if table.Size == 0 {
			continue
		}
		slots, seen := d.Slots.Read(table), map[uint32]bool{}
		for slot := range probes(hash, table.Size) {
			if seen[slot] {
				continue
			}
			seen[slot] = true
			c := Choice{Backup: i > 0, Slot: slot, Number: slots[slot]}
			if c.Number > 0 && c.Number < d.Backends.Len() {
				c.Backend = d.Backends.Read(c.Number)
			}
			c.Standing = d.standing(c.Backend, number, v4)
			out = append(out, c)
			if c.Standing == "ready" {
				return out
			}
		}
	}
	return out
}

// probes yields the slots of a table that a hash leads to, in their order.
func probes(hash uint64, size uint32) func(yield func(uint32) bool) {
	return func(yield func(uint32) bool) {
		slot := uint32(0)
		for range selectHashes {
			slot = uint32((hash >> 32) * uint64(size) >> 32)
			if !yield(slot) {
				return
			}
			hash = mix(hash)
		}
		for i := uint32(1); i <= selectWalk; i++ {
			if !yield((slot + i) % size) {
				return
			}
		}
	}
}

// standing says what a backend is good for, for a service and a family: "ready", or why
// it is not.
func (d *Datapath) standing(b Backend, service uint32, v4 bool) string {
	switch {
	case b.State == Free || b.Service != service || b.Address.Addr().Is4() != v4:
		return "gone"
	case b.State == Ended:
		return "ended"
	case b.State == Down:
		return "does not answer, says its cluster"
	case d.Down(b):
		return "down by verdict"
	case b.State == Draining:
		return "draining"
	}
	return "ready"
}
