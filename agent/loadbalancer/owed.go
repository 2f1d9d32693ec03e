package loadbalancer

import (
	"errors"
	"fmt"
	"slices"

	"tombolo.io/tombolo/clustermesh"
)

// claimant is a service for which there is no room, and that is to have a frontend.
type claimant struct {
	service clustermesh.ServiceName
	age     clustermesh.Age
}

// owe keeps the frontends of a port that could not begin for its service: a younger
// one that has or wants them goes without, here as on the nodes that have room.
func (s *state) owe(name clustermesh.ServiceName, d *desired) error {
	var errs []error
	for _, f := range d.frontends {
		owner := s.owners[f]
		switch {
		case owner != nil && (s.pinned[owner.number] == owner || owner.service == name):
			continue
		case owner != nil && owner.age.Compare(d.age) < 0 && slices.Contains(owner.wants, f):
			continue
		case s.promised(f, name, d.age) != nil:
			continue
		}
		s.owed[f] = claimant{name, d.age}
		if owner == nil {
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

// quit forgets what is kept for a service, which tries anew or is gone.
func (s *state) quit(name clustermesh.ServiceName) {
	for f, c := range s.owed {
		if c.service == name {
			delete(s.owed, f)
			s.rouse(f)
		}
	}
}
