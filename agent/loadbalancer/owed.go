package loadbalancer

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"tombolo.io/tombolo/clustermesh"
)

// claimant is a service that is to have a frontend, or wants it.
type claimant struct {
	service clustermesh.ServiceName
	age     clustermesh.Age
}

// owe keeps the frontends of a port that could not begin for its service: a younger
// one that has or wants them goes without, here as on the nodes that have room.
func (s *state) owe(name clustermesh.ServiceName, d *desired) error {
	var errs []error
	c := claimant{name, d.age}
	for _, f := range d.frontends {
		owner := s.owners[f]
		unclaimed := owner != nil && s.pinned[owner.number] == owner
		switch {
		case owner != nil && !unclaimed && owner.service == name:
			continue
		case owner != nil && !unclaimed && owner.age.Compare(d.age) < 0 && slices.Contains(owner.wants, f),
			s.promised(f, name, d.age) != nil:
			s.await(f, c) // its turn comes before that of younger ones
			continue
		}
		if younger, ok := s.owed[f]; ok && younger.service != name {
			s.await(f, younger)
		}
		s.owed[f] = c
		s.note(f, name)
		if owner == nil || unclaimed { // whoever claims that port gives it up
			continue
		}
		if err := s.unlead(owner, f); err != nil {
			errs = append(errs, err)
		}
		s.wake = append(s.wake, owner.service) // to wait for it
	}
	return errors.Join(errs...)
}

// promised returns why a service must not have a frontend: it is kept for an older
// one. Nil when it is not.
func (s *state) promised(f Frontend, to clustermesh.ServiceName, age clustermesh.Age) error {
	c, ok := s.owed[f]
	if !ok || c.service == to || age.Compare(c.age) < 0 {
		return nil
	}
	return fmt.Errorf("%w: %v is to have %v, and there is no room for it", errTaken, c.service, f)
}

// await notes that a service wants a frontend that it does not get now.
func (s *state) await(f Frontend, c claimant) {
	if s.waiting[f] == nil {
		s.waiting[f] = map[clustermesh.ServiceName]clustermesh.Age{}
	}
	s.waiting[f][c.service] = c.age
	s.note(f, c.service)
}

func (s *state) note(f Frontend, name clustermesh.ServiceName) {
	if s.claims[name] == nil {
		s.claims[name] = map[Frontend]struct{}{}
	}
	s.claims[name][f] = struct{}{}
}

// elder returns a service that waits for a frontend and is older than that of a port:
// it was woken when the frontend was released, and may come to its turn only now.
func (s *state) elder(f Frontend, p *port) (clustermesh.ServiceName, bool) {
	for name, age := range s.waiting[f] {
		if name != p.service && age.Compare(p.age) < 0 {
			return name, true
		}
	}
	return clustermesh.ServiceName{}, false
}

// rouse wakes those who wait for a frontend, the oldest first.
func (s *state) rouse(f Frontend) {
	all := s.waiting[f]
	s.wake = append(s.wake, slices.SortedFunc(maps.Keys(all), func(a, b clustermesh.ServiceName) int {
		return cmp.Or(all[a].Compare(all[b]), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})...)
}

// quit forgets what a service waits for and what is kept for it, while it tries anew or
// because it is gone, and returns the frontends. Whoever calls it owes a call of released.
func (s *state) quit(name clustermesh.ServiceName) map[Frontend]struct{} {
	all := s.claims[name]
	delete(s.claims, name)
	for f := range all {
		if s.owed[f].service == name {
			delete(s.owed, f)
		}
		if delete(s.waiting[f], name); len(s.waiting[f]) == 0 {
			delete(s.waiting, f)
		}
	}
	return all
}

// released wakes who waits for frontends to which a service had a claim, and now has
// none, and does not have them either.
func (s *state) released(name clustermesh.ServiceName, before map[Frontend]struct{}) {
	for f := range before {
		owner := s.owners[f]
		if _, still := s.claims[name][f]; !still && (owner == nil || owner.service != name) {
			s.rouse(f)
		}
	}
}
