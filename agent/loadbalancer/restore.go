package loadbalancer

import (
	"cmp"
	"fmt"
	"slices"

	"tombolo.io/tombolo/clustermesh"
)

// restore reads the maps as an earlier process left them, which may have been
// killed between any two writes. What a frontend leads to is in use; all else
// is free once a grace period has passed. It returns, beside the state, what in
// the maps contradicts itself and was left out of the books.
func restore(t Target) (s *state, oddities []error, err error) {
	s = &state{
		target:   t,
		byName:   map[clustermesh.ServiceName][]*port{},
		pinned:   map[uint32]*port{},
		numbered: map[uint32]*port{},
		found:    map[uint64]*port{},
		owners:   map[Frontend]*port{},
		waiting:  map[Frontend]map[clustermesh.ServiceName]clustermesh.Age{},
		claims:   map[clustermesh.ServiceName]map[Frontend]struct{}{},
		owed:     map[Frontend]claimant{},
	}
	limits := t.Limits()
	if err := s.readFrontends(limits); err != nil {
		return nil, nil, err
	}
	if err := s.readRanges(limits); err != nil {
		return nil, nil, fmt.Errorf("reading the ranges: %w", err)
	}
	r := reader{state: s, limits: limits, known: make([]bool, limits.Backends), nodes: map[uint32]bool{}}
	if r.slots, err = newExtents(limits.Slots, nil); err != nil {
		return nil, nil, err
	}
	for _, p := range s.pinnedInOrder() {
		r.readPort(p)
	}
	r.readAside()
	s.slots = r.slots
	s.services = newNumbers("services", limits.Services, func(n uint32) bool { return s.pinned[n] != nil })
	s.backends = newNumbers("backends", limits.Backends, func(n uint32) bool { return r.known[n] })
	s.nodes = newNodes(t, newNumbers("nodes", limits.Nodes, func(n uint32) bool { return r.nodes[n] }))
	for _, p := range s.pinned {
		for _, b := range p.backends {
			s.nodes.hold(b.node)
		}
	}
	s.tidy(limits, r.known)
	// Programs may still know what the last process let go, and by reference
	// what it had not dropped yet: so the period begins after both.
	if err := t.Grace(); err != nil {
		return nil, nil, fmt.Errorf("waiting for programs that know what the last process let go: %w", err)
	}
	return s, r.oddities, nil
}

func (s *state) readFrontends(limits Limits) error {
	var beyond []Frontend
	err := s.target.EachFrontend(func(f Frontend, number uint32) {
		if number == 0 || number >= limits.Services {
			beyond = append(beyond, f)
			return
		}
		p := s.pinned[number]
		if p == nil {
			p = &port{number: number, restored: true}
			s.pinned[number] = p
		}
		p.frontends = append(p.frontends, f)
		s.owners[f] = p
	})
	if err != nil {
		return fmt.Errorf("reading the frontends: %w", err)
	}
	for _, f := range beyond {
		if err := s.target.DeleteFrontend(f); err != nil {
			return fmt.Errorf("removing frontend %v of a service that cannot be: %w", f, err)
		}
	}
	return nil
}

func (s *state) pinnedInOrder() []*port {
	out := make([]*port, 0, len(s.pinned))
	for _, p := range s.pinned {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *port) int { return cmp.Compare(a.number, b.number) })
	return out
}

// tidy makes the entries that nobody has what those of free numbers are: zero
// for a service, unusable for a backend.
func (s *state) tidy(limits Limits, known []bool) {
	for n := uint32(1); n < limits.Services; n++ {
		if s.pinned[n] == nil && s.target.Service(n) != (Service{}) {
			s.target.PutService(n, Service{})
		}
	}
	for n := uint32(1); n < limits.Backends; n++ {
		if !known[n] && s.target.Usable(n) {
			s.target.DropBackend(n)
		}
	}
}

// reader reads the tables and backends of pinned ports.
type reader struct {
	*state
	limits   Limits
	known    []bool // backends
	nodes    map[uint32]bool
	oddities []error
}

func (r *reader) readPort(p *port) {
	entry := r.target.Service(p.number)
	p.affinity, p.outliers, p.drops, p.owner = entry.Affinity, entry.Outliers, entry.Drops, entry.Owner
	p.guard = entry.Guard
	if other := r.found[p.owner]; p.owner != 0 && other == nil {
		r.found[p.owner] = p
	} else if other != nil {
		r.oddities = append(r.oddities, fmt.Errorf("reading service %d: service %d has the same owner", p.number, other.number))
	}
	for t := range tiers {
		at := entry.Tables[t]
		if at.Size == 0 {
			continue
		}
		if err := r.slots.reserve(at); err != nil {
			r.oddities = append(r.oddities, fmt.Errorf("reading the table of service %d: %w", p.number, err))
			continue
		}
		p.tables[t].at = at
		r.readBackends(p, at)
	}
	slices.SortFunc(p.backends, placed.compareWho)
}

// readAside takes in the backends that keep their connections and are in no
// table of their service. An active one in none is what a process left that was
// killed between two writes.
func (r *reader) readAside() {
	for number := uint32(1); number < r.limits.Backends; number++ {
		if r.known[number] || !r.target.Usable(number) {
			continue
		}
		b := r.target.Backend(number)
		p := r.pinned[b.Service]
		if p == nil || b.Standing == Active {
			continue
		}
		if _, there := p.find(b.Cluster, b.Address); !there && r.readBackend(p, number) {
			slices.SortFunc(p.backends, placed.compareWho)
		}
	}
}

// readBackends takes in those of a table's backends that are the service's own.
func (r *reader) readBackends(p *port, at Extent) {
	strange := 0
	for _, number := range r.target.Slots(at) {
		switch {
		case number == 0 || number >= r.limits.Backends:
			strange++
		case !r.known[number] && !r.readBackend(p, number):
			strange++
		}
	}
	if strange > 0 {
		r.oddities = append(r.oddities, fmt.Errorf("reading the table of service %d: %d slots name backends that are not its own", p.number, strange))
	}
}

func (r *reader) readBackend(p *port, number uint32) bool {
	e := r.target.Backend(number)
	if e.Service != p.number || !r.target.Usable(number) || e.Node >= r.limits.Nodes {
		return false
	}
	r.known[number] = true
	p.backends = append(p.backends, placed{address: e.Address, cluster: e.Cluster, onNode: e.OnNode, number: number, node: e.Node, standing: e.Standing})
	if e.Node != 0 {
		r.nodes[e.Node] = true
	}
	return true
}
