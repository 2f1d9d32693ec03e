package bpf

// Health bits. Zero is "not known to be down".
const (
	// ClusterDown is a cluster of which no node answers.
	ClusterDown = uint8(mapsHealthBitsHEALTH_DOWN)
	// NodeDown is a node whose own addresses do not answer, PodsDown one whose
	// pods' prefix does not.
	NodeDown = uint8(mapsHealthBitsHEALTH_NODE_DOWN)
	PodsDown = uint8(mapsHealthBitsHEALTH_PODS_DOWN)
)

// Health is an array of verdicts, of clusters or of nodes: one store takes all
// the backends behind it out of use, whatever their number. An index out of
// range panics.
type Health struct{ mem memory }

// Len returns how many there is room for.
func (h *Health) Len() uint32 { return uint32(len(h.mem.words)) }

// Get returns the bits of n.
func (h *Health) Get(n uint32) uint8 { return uint8(h.mem.load(n)) }

// Clear makes nothing known to be down.
func (h *Health) Clear() {
	for n := range h.Len() {
		h.Set(n, 0)
	}
}

// Set stores the bits of n.
func (h *Health) Set(n uint32, bits uint8) { h.mem.store(n, uint64(bits)) }
