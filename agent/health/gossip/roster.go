package gossip

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
)

// roster says who may be in the pool: the nodes of the cluster.
type roster struct {
	cluster string
	self    string
	members map[string]member
	// addresses are those of all members.
	addresses map[netip.Addr]struct{}
}

// member is a node of the cluster: where its agent gossips, and from where it may.
type member struct {
	at        netip.AddrPort
	addresses []netip.Addr
}

// wanted are the kinds of the store that the pool looks at.
var wanted = []clustermesh.Kind{clustermesh.KindCluster, clustermesh.KindNodes, clustermesh.KindGossip}

// survey reads the roster from the store; nil while it does not tell all of it. All
// gossip over the family of this node's first address.
func survey(v *view.View, node string, port uint16) *roster {
	self, me := v.Self(), v.Node(view.Ours, node)
	if self == nil || me == nil || !v.Synced(view.Ours, clustermesh.KindNodes) {
		return nil
	}
	four := where(me, port, nil).Addr().Is4()
	r := newRoster(self.Name, node)
	for n := range v.Nodes(view.Ours) {
		if at := where(n, port, &four); at.IsValid() {
			r.add(n.Name, member{at, n.Addresses})
		}
	}
	if !r.members[node].at.IsValid() {
		return nil
	}
	return r
}

func newRoster(cluster, self string) *roster {
	return &roster{cluster: cluster, self: self, members: map[string]member{}, addresses: map[netip.Addr]struct{}{}}
}

func (r *roster) add(name string, m member) {
	r.members[name] = m
	r.addresses[m.at.Addr()] = struct{}{}
	for _, a := range m.addresses {
		r.addresses[a] = struct{}{}
	}
}

// where returns where a node's agent gossips: where the node says, or the port at
// its first address, of one family if that matters. It is invalid when there is
// none.
func where(n *clustermesh.Node, port uint16, four *bool) netip.AddrPort {
	if n.Gossip.IsValid() && (four == nil || n.Gossip.Addr().Is4() == *four) {
		return n.Gossip
	}
	for _, a := range n.Addresses {
		if four == nil || a.Is4() == *four {
			return netip.AddrPortFrom(a, port)
		}
	}
	return netip.AddrPort{}
}

func (r *roster) at() netip.AddrPort { return r.members[r.self].at }

// others returns the names of all other members, sorted.
func (r *roster) others() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(r.members)), func(n string) bool { return n == r.self })
}

func (r *roster) equal(o *roster) bool {
	return o != nil && r.cluster == o.cluster && r.self == o.self && maps.EqualFunc(r.members, o.members, func(a, b member) bool {
		return a.at == b.at && slices.Equal(a.addresses, b.addresses)
	})
}

// record is what is kept on disk of a roster and its keys.
type record struct {
	Cluster string         `json:"cluster"`
	Node    string         `json:"node"`
	Members []recordMember `json:"members"`
	Keys    []recordKey    `json:"keys"`
	Use     uint8          `json:"use"`
}

type recordMember struct {
	Node      string         `json:"node"`
	At        netip.AddrPort `json:"at"`
	Addresses []netip.Addr   `json:"addresses"`
}

type recordKey struct {
	Secret []byte    `json:"secret"`
	Since  time.Time `json:"since"`
}

func recordOf(r *roster, ring *clustermesh.Keyring) record {
	out := record{Cluster: r.cluster, Node: r.self, Use: ring.Use}
	for _, name := range slices.Sorted(maps.Keys(r.members)) {
		m := r.members[name]
		out.Members = append(out.Members, recordMember{name, m.at, m.addresses})
	}
	for _, g := range ring.Keys {
		out.Keys = append(out.Keys, recordKey{g.Secret[:], g.Since})
	}
	return out
}

// recalled returns what a record says, and false when it is not of this node, or
// not whole.
func (c record) recalled(node string) (*roster, *clustermesh.Keyring, bool) {
	r, ring := newRoster(c.Cluster, c.Node), &clustermesh.Keyring{Use: c.Use}
	for _, m := range c.Members {
		r.add(m.Node, member{m.At, m.Addresses})
	}
	for _, k := range c.Keys {
		g := clustermesh.GossipKey{Since: k.Since}
		if copy(g.Secret[:], k.Secret) != len(g.Secret) {
			return nil, nil, false
		}
		ring.Keys = append(ring.Keys, g)
	}
	whole := c.Node == node && c.Cluster != "" && r.at().IsValid() &&
		clustermesh.Validate(clustermesh.KeyOf(clustermesh.Private, ring), ring) == nil
	return r, ring, whole
}
