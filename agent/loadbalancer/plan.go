package loadbalancer

import (
	"slices"
	"time"
)

// plan is what a port is to become: everything that can fail has been done, the
// numbers and slots are taken, and nothing is written yet.
type plan struct {
	backends []placed // all, in the order of their endpoints, as they will stand
	fresh    []placed // those of them that have no entry yet
	turned   []placed // those of them whose standing is to change
	tables   [tiers]table
	write    [tiers]bool // this table is to be built
}

// scratch is memory that one table after the other is built in.
type scratch struct {
	builder builder
	slots   []uint32
}

// plan takes what p needs to become d. On an error all of it has been given
// back, and p is as it was.
func (s *state) plan(p *port, d *desired) (*plan, error) {
	pl := &plan{backends: make([]placed, 0, len(d.tiers[Primary])+len(d.tiers[Backup])+len(d.aside))}
	var members [tiers][]member
	for t := range tiers {
		members[t] = make([]member, 0, len(d.tiers[t]))
		for _, sh := range d.tiers[t] {
			b, err := s.place(p, sh.endpoint, pl)
			if err != nil {
				s.undo(pl)
				return nil, err
			}
			members[t] = append(members[t], member{b.number, sh.weight})
		}
	}
	s.keep(p, d.aside, pl)
	slices.SortFunc(pl.backends, placed.compareWho)
	for t := range tiers {
		if err := s.planTable(p, t, d, members[t], pl); err != nil {
			s.undo(pl)
			return nil, err
		}
	}
	return pl, nil
}

// place returns the backend of p that e is, or takes numbers for a new one.
func (s *state) place(p *port, e endpoint, pl *plan) (placed, error) {
	if b, ok := s.same(p, e); ok {
		pl.stay(b, Active, time.Time{})
		return b, nil
	}
	b := placed{address: e.address, cluster: e.cluster, onNode: e.onNode, standing: Active}
	var err error
	if b.number, err = s.backends.take(); err != nil {
		return placed{}, err
	}
	if b.node, err = s.nodes.number(nodeName{e.cluster, e.node}); err != nil {
		s.backends.put(b.number)
		return placed{}, err
	}
	pl.backends = append(pl.backends, b)
	pl.fresh = append(pl.fresh, b)
	return b, nil
}

// keep plans to keep the entries of those who stand aside. Who has none has no
// connection by us, and gets none.
func (s *state) keep(p *port, aside []bystander, pl *plan) {
	for _, by := range aside {
		if b, ok := s.same(p, by.endpoint); ok {
			pl.stay(b, by.standing, by.gone)
		}
	}
}

// stay plans that a backend keeps its entry.
func (pl *plan) stay(b placed, s Standing, gone time.Time) {
	turns := b.standing != s
	b.standing, b.gone = s, gone
	pl.backends = append(pl.backends, b)
	if turns {
		if pl.turned == nil { // seldom one alone: they are of one node or cluster
			pl.turned = make([]placed, 0, cap(pl.backends))
		}
		pl.turned = append(pl.turned, b)
	}
}

// same returns the backend of p that e is already: one that moved to another
// node under the same address is another.
func (s *state) same(p *port, e endpoint) (placed, bool) {
	b, ok := p.find(e.cluster, e.address)
	return b, ok && (e.pinned || b.onNode == e.onNode && s.nodes.is(b.node, nodeName{e.cluster, e.node}))
}

// planTable decides whether a table stays, and takes slots for it if not.
func (s *state) planTable(p *port, t Tier, d *desired, members []member, pl *plan) error {
	old := p.tables[t]
	switch {
	case len(members) == 0:
		pl.write[t] = old.at.Size > 0
		return nil
	case old.at.Size != d.size:
	case slices.Equal(old.members, members):
		pl.tables[t] = old
		return nil
	case old.members == nil && slices.Equal(s.target.Slots(old.at), s.table(d, t, members)):
		pl.tables[t] = table{old.at, members}
		return nil
	}
	at, err := s.slots.take(d.size)
	if err != nil {
		return err
	}
	pl.tables[t], pl.write[t] = table{at, members}, true
	return nil
}

// table returns a tier's table of backend numbers, in memory that the next one
// reuses. The members are those of its shares, one for one.
func (s *state) table(d *desired, t Tier, members []member) []uint32 {
	sc := &s.scratch
	built := d.built[t]
	if built == nil {
		sc.slots = sc.builder.table(sc.slots[:0], d.tiers[t], d.size)
		built = sc.slots
	}
	sc.slots = sc.slots[:0]
	for _, index := range built {
		sc.slots = append(sc.slots, members[index].number)
	}
	return sc.slots
}

// undo gives back what a plan has taken. Nobody has seen any of it.
func (s *state) undo(pl *plan) {
	var gone remains
	for _, b := range pl.fresh {
		s.backends.put(b.number)
		s.nodes.drop(b.node, &gone)
	}
	for t := range tiers {
		if pl.write[t] {
			s.slots.put(pl.tables[t].at)
		}
	}
	for _, n := range gone.nodes {
		s.nodes.numbers.put(n)
	}
}
