package gossip

import (
	"maps"
	"net/netip"
	"slices"
	"time"
)

// State is what is known of a member.
type State string

// The states of a member: its agent gossips; it said that it leaves; it is not
// heard any more; it never was.
const (
	StateAlive   State = "alive"
	StateLeft    State = "left"
	StateLost    State = "lost"
	StateUnknown State = "unknown"
)

// Snapshot is how a pool is. It is immutable.
type Snapshot struct {
	// Running is false while the pool waits for its keys and members, or cannot
	// listen, which Problem says.
	Running bool   `json:"running"`
	Problem string `json:"problem,omitempty"`
	Cluster string `json:"cluster,omitempty"`
	// Address is where this agent gossips.
	Address netip.AddrPort `json:"address,omitzero"`
	// Keys are the names of the cluster's keys, that of the one in use first.
	Keys []string `json:"keys"`
	// Members are all nodes of the cluster, by name, this one included.
	Members []Member `json:"members"`
	// Sent counts the payloads sent by this agent, Received those of others,
	// Refused what was not taken, by reason.
	Sent     uint64            `json:"sent"`
	Received uint64            `json:"received"`
	Refused  map[string]uint64 `json:"refused"`
}

// Member is a node of the cluster, as the pool knows it.
type Member struct {
	Node    string         `json:"node"`
	Address netip.AddrPort `json:"address"`
	State   State          `json:"state"`
	Since   time.Time      `json:"since,omitzero"`
}

// Snapshot returns how the pool is now.
func (p *Pool) Snapshot() *Snapshot {
	s := *p.snapshot.Load()
	s.Sent, s.Received, s.Refused = p.sent.Load(), p.taken.Load(), p.refused.counts()
	return &s
}

// show publishes a snapshot.
func (p *Pool) show() {
	s := &Snapshot{Running: p.list.Load() != nil, Keys: append([]string{}, p.keys.ids()...), Members: []Member{}}
	if p.problem != nil {
		s.Problem = p.problem.Error()
	}
	if r := p.roster.Load(); r != nil {
		s.Cluster, s.Address = r.cluster, r.at()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, name := range slices.Sorted(maps.Keys(r.members)) {
			m := Member{Node: name, Address: r.members[name].at, State: StateUnknown}
			if known, ok := p.states[name]; ok {
				m.State, m.Since = known.State, known.at
			}
			s.Members = append(s.Members, m)
		}
	}
	p.snapshot.Store(s)
}
