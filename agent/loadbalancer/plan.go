package loadbalancer

import (
	"slices"
	"time"
)

// plan is what a port is to become: the numbers and slots are taken, and nothing is
// written yet. Nothing of it can fail: what there is no room for is left out.
type plan struct {
	backends []placed // all, in the order of their endpoints, as they will stand
	fresh    []placed // those of them that have no entry yet
	turned   []placed // those of them whose standing is to change
	tables   [tiers]table
	write    [tiers]bool // this table is to be built
	// short says which maps were full, and what is missing for it; left are the
	// backends that are.
	short []error
	left  []LeftOut
}

// scratch is memory that one table after the other is built in.
type scratch struct {
	builder builder
	slots   []uint32
}

// plan takes what p needs to become d, and cuts d down to what there is room for.
// Whoever is not in d any more leaves the tables all the same: that needs no room.
func (s *state) plan(p *port, d *desired) *plan {
	pl := &plan{backends: make([]placed, 0, len(d.tiers[Primary])+len(d.tiers[Backup])+len(d.aside))}
	var members [tiers][]member
	for t := range tiers {
		members[t] = s.placeAll(p, t, d, pl)
	}
	s.keep(p, d.aside, pl)
	slices.SortFunc(pl.backends, placed.compareWho)
	for t := range tiers {
		s.planTable(p, t, d, members[t], pl)
	}
	return pl
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
func (s *state) planTable(p *port, t Tier, d *desired, members []member, pl *plan) {
	old := p.tables[t]
	switch {
	case len(members) == 0:
		pl.write[t] = old.at.Size > 0
		return
	case old.at.Size != d.size:
	case slices.Equal(old.members, members):
		pl.tables[t] = old
		return
	case old.members == nil && slices.Equal(s.target.Slots(old.at), s.table(d, t, table{old.at, members})):
		pl.tables[t] = table{old.at, members}
		return
	}
	at, err := s.slots.take(d.size)
	if err != nil {
		s.squeeze(p, t, d, members, pl, err)
		return
	}
	pl.tables[t], pl.write[t] = table{at, members}, true
}

// table returns a tier's table of backend numbers, in memory that the next one
// reuses. The members are those of its shares, one for one.
func (s *state) table(d *desired, t Tier, want table) []uint32 {
	sc := &s.scratch
	built := d.built[t]
	if built == nil || want.at.Size != d.size {
		sc.slots = sc.builder.table(sc.slots[:0], d.tiers[t], want.at.Size)
		built = sc.slots
	}
	sc.slots = sc.slots[:0]
	for _, index := range built {
		sc.slots = append(sc.slots, want.members[index].number)
	}
	return sc.slots
}

// undo gives back what a plan for a port that lies nowhere has taken. Nobody has
// seen any of it.
func (s *state) undo(pl *plan) {
	for _, b := range pl.fresh {
		s.unplace(b)
	}
	for t := range tiers {
		s.slots.put(pl.tables[t].at)
	}
}

// unplace gives back the numbers of a backend that was not written.
func (s *state) unplace(b placed) {
	var gone remains
	s.backends.put(b.number)
	s.nodes.drop(b.node, &gone)
	for _, n := range gone.nodes {
		s.nodes.numbers.put(n)
	}
}
