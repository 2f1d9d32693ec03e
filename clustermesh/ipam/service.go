package ipam

import (
	"net/netip"
	"reflect"
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// Service is what the allocator has to know of a service that wants addresses.
type Service struct {
	Name    clustermesh.ServiceName
	Created time.Time
	Labels  map[string]string
	Ports   []clustermesh.ClaimedPort
	// Exclusive: it can share an address with nobody.
	Exclusive bool
	Request   clustermesh.AddressRequest
	// Hand are addresses that it has because its manifest says so. They are kept
	// as they are, in a pool or not, and given to nobody else.
	Hand []netip.Addr
	// Has are addresses that its status says it has. They count when nothing is
	// stored of it.
	Has []netip.Addr
}

// service is a service with its claims.
type service struct {
	Service
	// known: Set told of it; else it is known from what was stored alone.
	known bool
	// claims are on these addresses.
	claims  []*address
	outcome Outcome
}

// claimOn returns the claim of a service on an address, nil if there is none.
func (s *service) claimOn(a *address) *claim {
	for _, c := range a.claims {
		if c.cluster == "" && c.Service == s.Name {
			return c
		}
	}
	return nil
}

// describe writes into a claim what the service is.
func (s *service) describe(c *claim) {
	c.Created = s.Created
	c.SharingKey, c.SharingNamespaces = s.Request.SharingKey, s.Request.SharingNamespaces
	c.Exclusive, c.Ports = s.Exclusive, s.Ports
}

// sameService says whether two are equal in all that decides.
func sameService(a, b *Service) bool { return reflect.DeepEqual(a, b) }

// Set tells of a service that wants addresses, as it is now.
func (al *Allocator) Set(in Service) {
	s := al.service(in.Name)
	if s.known && len(s.claims) > 0 && !slices.Contains(al.fresh, s) {
		in.Has = s.Has // it counted once; by now it is what we wrote
	}
	if s.known && sameService(&s.Service, &in) {
		return
	}
	if !s.known && (len(s.claims) == 0 || al.lost) {
		al.fresh = append(al.fresh, s)
	}
	for _, a := range s.claims {
		al.unshare(a, s.Request.SharingKey)
	}
	s.Service, s.known = in, true
	al.freed = al.freed || len(s.claims) > 0 // there may be room for one that shares
	for _, a := range slices.Clone(s.claims) {
		s.describe(s.claimOn(a))
		al.share(a, in.Request.SharingKey)
		a.sort()
		al.judge(a)
		al.changed(a)
	}
	al.due[s] = struct{}{}
}

// Delete tells that a service is gone, or wants no addresses any more.
func (al *Allocator) Delete(name clustermesh.ServiceName, now time.Time) {
	s := al.services[name]
	if s == nil {
		return
	}
	al.now = now
	for len(s.claims) > 0 {
		al.drop(s, s.claims[0])
	}
	delete(al.services, name)
	delete(al.due, s)
	delete(al.waiting, s)
	delete(al.troubled, s)
	al.fresh = slices.DeleteFunc(al.fresh, func(f *service) bool { return f == s })
	al.touched[name] = struct{}{}
}

// service returns a service, made if need be.
func (al *Allocator) service(name clustermesh.ServiceName) *service {
	s := al.services[name]
	if s == nil {
		s = &service{Service: Service{Name: name}}
		al.services[name] = s
	}
	return s
}

// Outcome returns what a service has, as Settle last decided, or as it was
// stored before that; false when nothing is known of it.
func (al *Allocator) Outcome(name clustermesh.ServiceName) (*Outcome, bool) {
	s := al.services[name]
	if s == nil {
		return nil, false
	}
	return &s.outcome, true
}

// Unknown returns the services that have claims and of which Set did not tell.
func (al *Allocator) Unknown() []clustermesh.ServiceName {
	var out []clustermesh.ServiceName
	for name, s := range al.services {
		if !s.known {
			out = append(out, name)
		}
	}
	slices.SortFunc(out, compareNames)
	return out
}
