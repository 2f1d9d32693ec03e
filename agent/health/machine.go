package health

import (
	"container/heap"
	"net/netip"
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// Name is a node of a cluster by the cluster's name in the mesh. Without a node
// it is the cluster.
type Name struct{ Cluster, Node string }

// String writes cluster/node, or the cluster.
func (n Name) String() string {
	if n.Node == "" {
		return n.Cluster
	}
	return n.Cluster + "/" + n.Node
}

// Kind is what of a node is asked.
type Kind uint8

// The kinds: the node's own address and an address of its pods' prefix, of IPv4, and
// the same of IPv6.
const (
	Address Kind = iota
	Pods
	Address6
	Pods6
	kinds
)

// String returns what people call it, whatever its family.
func (k Kind) String() string { return [...]string{"address", "pods' prefix"}[k%2] }

// family is one of two; the kinds of each stand together.
type family uint8

const families family = 2

func (k Kind) family() family { return family(k / 2) }

// other is the same of the other family.
func (k Kind) other() Kind { return (k + 2) % kinds }

// own is the node's own address, pods an address of its pods' prefix.
func (f family) own() Kind  { return Kind(2 * f) }
func (f family) pods() Kind { return Kind(2*f + 1) }

// set returns the family as others write it.
func (f family) set() clustermesh.Families { return clustermesh.IPv4 << f }

// Target is a node to judge.
type Target struct {
	Name
	// Ask are the addresses to ask, by kind; the zero Addr where there is none, of a
	// family or at all.
	Ask [kinds]netip.Addr
	// Deaf says why the node does not answer us, who then do not ask it; empty when
	// nothing speaks against asking.
	Deaf string
	// Draining says why the node is drained, empty when it is not, and ClusterDraining why
	// its cluster is, as a whole.
	Draining, ClusterDraining string
}

// Reply is an answer to the probe that bore the ID.
type Reply struct {
	ID      uint64
	Arrived time.Time
	// Life is what lives on the node: its boot id and endpoint epoch.
	Life Life
}

// Message is what another node of the own cluster gossips.
type Message struct {
	From    string
	Payload []byte
}

// Input is what happened until Now.
type Input struct {
	// Now never goes back. No reply that arrived before it comes later.
	Now     time.Time
	Replies []Reply
	Unsent  []Unsent
	Gossip  []Message
	// Void: replies could not be read, so that silence says nothing.
	Void bool
}

// Probe is to be sent at once.
type Probe struct {
	ID   uint64
	To   netip.Addr
	Kind Kind
}

// Change is a verdict that differs from the one before.
type Change struct {
	clustermesh.Verdict
	// Was is the state before; empty for a node that is new. Of a node or cluster
	// that is gone, State is empty.
	Was clustermesh.VerdictState
	// WasIn are the families in which something of it was down.
	WasIn clustermesh.Families
	// Lasted is for how long it was that.
	Lasted time.Duration
}

// Output is what to do now.
type Output struct {
	Probes  []Probe
	Gossip  [][]byte
	Changes []Change
	// Sightings are nodes that live another life than before, in the order in which
	// they answered.
	Sightings []Sighting
	// Learned: something answered for the first time, which Records has.
	Learned bool
	// Wake is when to step again at the latest.
	Wake time.Time
}

// Machine judges the nodes of the mesh for one of them.
type Machine struct {
	knobs Knobs
	self  Name
	// members share the watching, this node among them: see SetMembers.
	members []member
	// used are the nodes of other clusters that services use: see SetUsed.
	used map[Name]struct{}

	now, wake time.Time
	nodes     map[Name]*node
	clusters  map[string]*cluster
	queue     queue
	flights   map[uint64]*flight
	// sent are the flights in order, to forget the oldest first.
	sent   []*flight
	lastID uint64
	// interval is Knobs.Interval, stretched.
	interval time.Duration
	tokens   float64
	// blind is since when we are isolated, by family; looked when that was last asked.
	blind     [families]time.Time
	looked    time.Time
	mirrors   map[string]standing
	overrides map[Name]clustermesh.VerdictState
	memory    map[Name]Record
	touched   map[Name]struct{}
	pace      pace
	// spread is to be gossiped with the next Output.
	spread [][]byte
	// left are changes about whom is gone, for the next Output.
	left   []Change
	unread int
	out    Output
}

// NewMachine returns a machine for a node, which knows nobody yet.
func NewMachine(k Knobs, self Name) *Machine {
	return &Machine{
		knobs: k, self: self, interval: k.Interval, tokens: float64(k.Budget),
		nodes: map[Name]*node{}, clusters: map[string]*cluster{}, flights: map[uint64]*flight{},
		mirrors: map[string]standing{}, overrides: map[Name]clustermesh.VerdictState{},
		memory: map[Name]Record{}, touched: map[Name]struct{}{},
	}
}

// SetMembers says by name which agents of the own cluster share the watching,
// because they hear of each other's suspicions. Without others this node watches
// everybody itself. Who comes or goes here is nobody's death: its share moves.
func (m *Machine) SetMembers(names []string) {
	if slices.EqualFunc(m.members, names, func(o member, name string) bool { return o.name == name }) {
		return
	}
	m.members = membersOf(names)
	m.assign()
}

// alone reports whether nobody else watches.
func (m *Machine) alone() bool {
	return !slices.ContainsFunc(m.members, func(o member) bool { return o.name != m.self.Node })
}

// SetOverride sets a verdict by hand, up or down, or lifts it when it is empty.
func (m *Machine) SetOverride(who Name, state clustermesh.VerdictState) {
	if state == "" {
		delete(m.overrides, who)
	} else {
		m.overrides[who] = state
	}
	m.touch(who)
	if c := m.clusters[who.Cluster]; c != nil && who.Node == "" {
		for _, n := range c.nodes { // that it is up is said of them, too
			m.touch(n.Name)
		}
	}
}

// Step takes in what happened and returns what to do.
func (m *Machine) Step(in Input) Output {
	m.out = Output{Changes: m.left, Gossip: m.spread}
	m.left, m.spread = nil, nil
	elapsed := in.Now.Sub(m.now)
	if m.now.IsZero() {
		elapsed = 0
	}
	stalled := !m.wake.IsZero() && in.Now.Sub(m.wake) > m.knobs.Stall
	m.now = in.Now
	m.pace.step(m.now, stalled)
	m.refill(elapsed)
	for _, u := range in.Unsent {
		m.unsent(u)
	}
	for _, r := range in.Replies {
		m.answered(r)
	}
	if stalled || in.Void {
		m.void()
	}
	for _, g := range in.Gossip {
		m.hear(g)
	}
	for len(m.queue) > 0 && !m.queue[0].due.After(m.now) {
		n := m.queue[0]
		m.run(n)
		heap.Fix(&m.queue, n.place)
	}
	m.forget()
	m.lookAround()
	m.publish()
	m.wake = m.now.Add(time.Second)
	if len(m.queue) > 0 && m.queue[0].due.Before(m.wake) {
		m.wake = m.queue[0].due
	}
	m.out.Wake = m.wake
	return m.out
}

// touch has the verdict about a node looked at again when the step ends, and
// with it that about its cluster.
func (m *Machine) touch(who Name) {
	m.touched[who] = struct{}{}
	m.touched[Name{Cluster: who.Cluster}] = struct{}{}
}

// queue is a heap of the nodes, by when there is something to do about them.
type queue []*node

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if !q[i].due.Equal(q[j].due) {
		return q[i].due.Before(q[j].due)
	}
	return q[i].String() < q[j].String()
}
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}
func (q *queue) Push(x any) {
	n := x.(*node)
	n.place = len(*q)
	*q = append(*q, n)
}
func (q *queue) Pop() any {
	old := *q
	n := old[len(old)-1]
	*q = slices.Delete(old, len(old)-1, len(old))
	return n
}
