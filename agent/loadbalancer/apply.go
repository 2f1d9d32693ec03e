package loadbalancer

import (
	"errors"
	"fmt"
	"slices"

	"tombolo.io/tombolo/clustermesh"
)

// errTaken says that another service has a frontend: the older one, on every
// node alike.
var errTaken = errors.New("an older service has the address and port")

// errSettling says that a frontend must not be added now: the memory of one that
// was taken out would be used for it, while a program may still read that.
var errSettling = errors.New("removed frontends wait for a grace period")

// apply makes a service's port in the maps what d says, as far as there is room: an
// error says what is missing. It may be called again. Whatever fails, nobody is led on
// to what d does not name. Backends that were found in the maps stay while their
// cluster is missing.
func (s *state) apply(name clustermesh.ServiceName, d *desired, missing func(cluster uint16) bool) error {
	p := s.portOf(name, d.id)
	if p == nil {
		p = s.claim(name, d.id)
	}
	if p == nil {
		return s.begin(name, d)
	}
	s.retain(p, d, missing)
	return s.become(p, d, s.plan(p, d))
}

// begin makes a port that lies nowhere yet. One for none of whose backends there is
// room is not begun, and its frontends are left to who is no load balancer of ours.
func (s *state) begin(name clustermesh.ServiceName, d *desired) error {
	number, err := s.services.take()
	if err != nil {
		return errors.Join(err, s.owe(name, d))
	}
	p := &port{service: name, id: d.id, number: number, owner: owner(name, d.id)}
	pl := s.plan(p, d)
	if len(pl.short) > 0 && len(pl.fresh) == 0 {
		s.undo(pl)
		s.services.put(number)
		return errors.Join(append(pl.short, s.owe(name, d))...)
	}
	s.enter(p)
	return s.become(p, d, pl)
}

// become makes a port what was planned of d.
func (s *state) become(p *port, d *desired, pl *plan) error {
	p.guard = d.guard
	in := s.letIn(p, d.ranges)
	s.write(p, d, pl)
	out := s.keepOut(p, d.ranges)
	s.date(p, d.age)
	return errors.Join(append(pl.short, in, out, s.lead(p, d.frontends))...)
}

// write stores what was planned: backends, slots, words, and only then lets go
// what the words led to before.
func (s *state) write(p *port, d *desired, pl *plan) {
	for _, b := range pl.fresh {
		s.target.PutBackend(b.number, Backend{
			Address: b.address, Protocol: p.id.protocol, Cluster: b.cluster,
			Node: b.node, OnNode: b.onNode, Service: p.number,
		})
	}
	s.stand(pl, true)
	before := p.tables
	for t := range tiers {
		at := pl.tables[t].at
		switch {
		case !pl.write[t] || at.Size == 0:
		case at.over(before[t].at):
			s.target.ReplaceSlots(at.Offset, s.table(d, t, pl.tables[t]))
		default:
			s.target.PutSlots(at.Offset, s.table(d, t, pl.tables[t]))
		}
	}
	p.left = pl.left
	p.tables, p.affinity, p.outliers, p.drops = pl.tables, d.affinity, d.outliers, d.drops
	if s.target.Service(p.number) != p.entry() {
		s.target.PutService(p.number, p.entry())
	}
	for t := range tiers {
		old, at := before[t].at, pl.tables[t].at
		if at.over(old) {
			old = Extent{at.end(), old.Size - at.Size}
		}
		if pl.write[t] {
			s.letSlotsGo(old)
		}
	}
	s.stand(pl, false)
	old := p.backends
	p.backends = pl.backends
	if len(old)+len(pl.fresh) == len(pl.backends) {
		return // all stay
	}
	for _, b := range old {
		if now, ok := p.find(b.cluster, b.address); !ok || now.number != b.number {
			s.letBackendGo(b)
		}
	}
}

// stand writes the standings that change: of those that are to be active before
// a table names them, of the others after none does.
func (s *state) stand(pl *plan, active bool) {
	for _, b := range pl.turned {
		if active == (b.standing == Active) {
			s.target.SetStanding(b.number, b.standing)
		}
	}
}

// evict lets go of the backends that only keep connections: those who serve go
// before them. Connections of sockets stay; what is lost is that they are ended when
// the backend's node dies. Flows of packets are reset. Those that are gone stay: their connections must be ended,
// for an address may be another's next, and they go by themselves within seconds.
func (s *state) evict() {
	for _, ports := range s.byName {
		for _, p := range ports {
			p.backends = slices.DeleteFunc(p.backends, func(b placed) bool {
				// One that was ejected just now may be in a table still.
				kept := b.standing != Active && b.standing != Ended && b.gone.IsZero() && !p.leads(b.number)
				if kept {
					s.letBackendGo(b)
				}
				return kept
			})
		}
	}
}

// lead makes the hash lead exactly these frontends to the port.
func (s *state) lead(p *port, want []Frontend) error {
	var errs []error
	p.wants = want
	for _, f := range want {
		if err := s.leadOne(p, f); err != nil {
			errs = append(errs, err)
		}
	}
	for _, f := range slices.Clone(p.frontends) {
		if slices.Contains(want, f) {
			continue
		}
		if err := s.unlead(p, f); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// leadOne makes the hash lead a frontend to the port, unless an older service
// has it, or waits for it. A younger one loses it by one store, and so does one that is to
// have it no more: clients see the one or the other. Who does not get it waits.
func (s *state) leadOne(p *port, f Frontend) error {
	owner := s.owners[f]
	if owner == p {
		err := s.promised(f, p.service, p.age)
		if err != nil { // since before it was claimed, or the kernel did not let it go
			err = errors.Join(err, s.unlead(p, f))
			s.await(f, claimant{p.service, p.age})
		}
		return err
	}
	if err := s.take(p, f, owner); err != nil {
		s.await(f, claimant{p.service, p.age})
		return err
	}
	s.owners[f] = p
	p.frontends = append(p.frontends, f)
	return nil
}

// take makes the hash lead a frontend to the port that led to its owner, if to any.
func (s *state) take(p *port, f Frontend, owner *port) error {
	if err := s.promised(f, p.service, p.age); err != nil {
		return err
	}
	contested := owner != nil && s.pinned[owner.number] != owner && owner.service != p.service
	switch {
	case contested && owner.age.Compare(p.age) < 0 && slices.Contains(owner.wants, f):
		return fmt.Errorf("%w: %v has %v", errTaken, owner.service, f)
	case (owner == nil || contested) && s.limbo.hasElements():
		return fmt.Errorf("leading %v to service %d: %w", f, p.number, errSettling)
	}
	if elder, ok := s.elder(f, p); ok && (owner == nil || contested) {
		return fmt.Errorf("%w: %v waits for %v", errTaken, elder, f)
	}
	if err := s.target.PutFrontend(f, p.number); err != nil {
		return fmt.Errorf("leading %v to service %d: %w", f, p.number, err)
	}
	if owner != nil {
		owner.frontends = without(owner.frontends, f)
		s.limbo.fresh.elements++
	}
	if contested && slices.Contains(owner.wants, f) {
		s.wake = append(s.wake, owner.service) // to wait for it
	}
	return nil
}

// unlead takes a frontend out of the hash. While the kernel does not let it, whoever
// else wants the frontend may have it all the same.
func (s *state) unlead(p *port, f Frontend) error {
	if err := s.target.DeleteFrontend(f); err != nil {
		s.rouse(f)
		return fmt.Errorf("removing %v: %w", f, err)
	}
	s.limbo.fresh.elements++
	delete(s.owners, f)
	s.rouse(f)
	p.frontends = without(p.frontends, f)
	return nil
}

// remove takes a port out of the maps: its frontends, then the rest. A frontend that
// the kernel does not let go leads to no backend: it refuses.
func (s *state) remove(p *port) error {
	err := s.lead(p, nil)
	if err == nil {
		err = s.keepOut(p, nil)
	}
	before := p.tables
	if p.tables = [tiers]table{}; err != nil {
		s.target.PutService(p.number, p.entry())
	}
	for t := range tiers {
		s.letSlotsGo(before[t].at)
	}
	for _, b := range p.backends {
		s.letBackendGo(b)
	}
	if p.backends = nil; err != nil {
		return err
	}
	s.limbo.fresh.services = append(s.limbo.fresh.services, p.number)
	s.forget(p)
	return nil
}

func (s *state) letSlotsGo(e Extent) {
	if e.Size > 0 {
		s.limbo.fresh.extents = append(s.limbo.fresh.extents, e)
	}
}

func (s *state) letBackendGo(b placed) {
	s.target.DropBackend(b.number)
	s.limbo.fresh.backends = append(s.limbo.fresh.backends, b.number)
	s.nodes.drop(b.node, &s.limbo.fresh)
}

func without(fs []Frontend, f Frontend) []Frontend {
	return slices.DeleteFunc(fs, func(o Frontend) bool { return o == f })
}

// date notes how old the service of a port is. One that was made anew is younger
// than it was, and may have to give way.
func (s *state) date(p *port, age clustermesh.Age) {
	if p.age.Compare(age) < 0 {
		for _, f := range p.frontends {
			s.rouse(f)
		}
	}
	p.age = age
}
