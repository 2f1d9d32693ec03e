package check

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"

	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
)

// Kinds are what of the store Look needs in a view.
var Kinds = []clustermesh.Kind{
	clustermesh.KindCluster, clustermesh.KindNodes, clustermesh.KindPeers, clustermesh.KindState,
}

// maxPeers bounds how many nodes of a cluster one node asks. Each asks others, so
// that together they ask all.
const maxPeers = 32

// Mesh is whom a node asks.
type Mesh struct {
	// Addresses and Pods are the node's, as in Config.
	Addresses, Pods []netip.Addr
	Peers           []Peer
	Clusters        []Cluster
	// known counts the nodes of a cluster by family.
	known map[[2]string]int
}

// Look says whom a node asks: nodes of its own cluster and of all others; false
// while the store does not say who the node is.
func Look(v *view.View, node string) (Mesh, bool) {
	self, me := v.Self(), v.Node(view.Ours, node)
	if self == nil || me == nil {
		return Mesh{}, false
	}
	m := Mesh{known: map[[2]string]int{}}
	for _, p := range peersOf("", me) {
		m.Addresses = append(m.Addresses, p.Address)
		if p.Pods.IsValid() {
			m.Pods = append(m.Pods, p.Pods)
		}
	}
	m.add(v, view.Ours, self.Name, node)
	names := maps.Clone(v.Peers())
	for name := range v.Mirrors() {
		if _, ok := names[name]; !ok {
			names[name] = nil
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		c := Cluster{Name: name}
		if state := v.Mirror(name); state != nil {
			c.Phase, c.Reason = state.Phase, state.Reason
		}
		for range v.Nodes(name) {
			c.Nodes++
		}
		if cl := v.Cluster(name); cl != nil {
			c.Deaf = !cl.PeersWith(self.Name)
		}
		m.Clusters = append(m.Clusters, c)
		if !c.Deaf {
			m.add(v, name, name, node)
		}
	}
	return m, true
}

// add adds the nodes of a cluster that this node asks.
func (m *Mesh) add(v *view.View, cluster, name, self string) {
	var all []*clustermesh.Node
	for n := range v.Nodes(cluster) {
		if cluster != view.Ours || n.Name != self {
			all = append(all, n)
		}
	}
	weigh := func(n *clustermesh.Node) uint64 {
		sum := sha256.Sum256([]byte(self + " " + name + "/" + n.Name))
		return binary.BigEndian.Uint64(sum[:])
	}
	slices.SortFunc(all, func(a, b *clustermesh.Node) int { return cmp.Compare(weigh(a), weigh(b)) })
	for i, n := range all {
		for _, p := range peersOf(name, n) {
			m.known[[2]string{name, (&Path{Peer: p}).Family()}]++
			if i < maxPeers {
				m.Peers = append(m.Peers, p)
			}
		}
	}
}

// peersOf returns by which addresses a node is asked, of each family one: the first
// of its own, and the first of its pods' first prefix, whether a pod has it or not.
func peersOf(cluster string, n *clustermesh.Node) (out []Peer) {
	boot, _ := bpf.ParseBootID(n.BootID) // the zero value where there is none
	for _, is4 := range []bool{true, false} {
		i := slices.IndexFunc(n.Addresses, func(a netip.Addr) bool { return a.Is4() == is4 })
		if i < 0 {
			continue
		}
		p := Peer{Cluster: cluster, Node: n.Name, Address: n.Addresses[i], BootID: boot}
		for _, prefix := range n.PodCIDRs {
			if a := prefix.Masked().Addr(); a.Is4() == is4 {
				if p.Pods = a; prefix.Contains(a.Next()) {
					p.Pods = a.Next()
				}
				break
			}
		}
		out = append(out, p)
	}
	return out
}
