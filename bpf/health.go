package bpf

// Health bits, of both families: NodeDown & V6 is about IPv6 alone. Zero is "not
// known to be down". What a version before these bits stored is about IPv4; it took
// both families for down when it was.
const (
	V4 = uint8(mapsHealthBitsHEALTH_V4)
	V6 = uint8(mapsHealthBitsHEALTH_V6)
	// ClusterDown is a cluster of which no node answers.
	ClusterDown = uint8(mapsHealthBitsHEALTH_DOWN) * everyFamily
	// NodeDown is a node whose own addresses do not answer, PodsDown one whose
	// pods' prefix does not.
	NodeDown = uint8(mapsHealthBitsHEALTH_NODE_DOWN) * everyFamily
	PodsDown = uint8(mapsHealthBitsHEALTH_PODS_DOWN) * everyFamily
	// ThisNode is no verdict: the number stands for the node itself, to whose pods
	// packets go without a detour.
	ThisNode = uint8(mapsHealthBitsHEALTH_SELF)
)

// everyFamily repeats a bit in the place of each family.
const everyFamily = 1 + V6/V4

// Down reports whether a verdict is about a backend: that its cluster is down, or
// of its node what it depends on, in its family.
func (d *Datapath) Down(b Backend) bool {
	family := V6
	if b.Address.Addr().Is4() {
		family = V4
	}
	kind := PodsDown
	if b.Kind == Host {
		kind = NodeDown
	}
	return d.Clusters.Get(uint32(b.Cluster))&ClusterDown&family != 0 || b.Node != 0 && d.Nodes.Get(b.Node)&kind&family != 0
}

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
		h.Set(n, h.Get(n)&ThisNode)
	}
}

// Set stores the bits of n.
func (h *Health) Set(n uint32, bits uint8) { h.mem.store(n, uint64(bits)) }
