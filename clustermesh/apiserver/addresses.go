package apiserver

import (
	"net/netip"
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/ipam"
	"tombolo.io/tombolo/clustermesh/source"
)

// AddressConfig says how load-balancer addresses are given out.
type AddressConfig struct {
	// Rest is how long an address that was given back goes to no other service.
	Rest time.Duration
	// Classless: services that name no loadBalancerClass have addresses from us too.
	Classless bool
	// ByHand: the statuses that the source delivers were written by people, so that the
	// addresses in them are kept as they are. Otherwise they are what we wrote, but for
	// services whose LoadBalancerOthers says more.
	ByHand bool
	// Named: while there is no pool, a service has the addresses that it names, and
	// one without a class is ours. Otherwise somebody else may have an opinion.
	Named bool
	// File keeps what was given out, for the case that the store is lost; empty keeps
	// nothing.
	File string
}

// addresses gives services their load-balancer addresses, for one term.
type addresses struct {
	config AddressConfig
	alloc  *ipam.Allocator
	// keys are those that are wanted in the store.
	keys   map[string]struct{}
	census census
	// found is what the store said of addresses, by key, until recall takes it in;
	// lost: it does not know all that was given out, or an older state of it.
	found map[string]*clustermesh.Address
	lost  bool
	// pools: there are some, or may be, for some are not known (doubted).
	pools, doubted bool
	// settled: what services are to have was decided in this term. Before, they
	// have what was stored.
	settled bool
	// looked: holders that are gone were looked for.
	looked bool
	// sure: what other clusters claim is known, or was waited for until othersBy.
	sure     bool
	othersBy time.Time
	// next is when something changes by time alone, zero for never.
	next time.Time
	// unsaved: what was given out differs from what the file has.
	unsaved bool
	notices notices
}

func newAddresses(c AddressConfig, counts census) *addresses {
	return &addresses{config: c, alloc: ipam.New(c.Rest), keys: map[string]struct{}{}, found: map[string]*clustermesh.Address{}, census: counts, notices: newNotices()}
}

// serves says whether a service has its addresses from us. One without a class
// that had some keeps them when the last pool goes.
func (a *addresses) serves(s *clustermesh.Service) bool {
	switch {
	case s.Type != clustermesh.LoadBalancer:
		return false
	case s.LoadBalancerOthers && len(s.LoadBalancerIPs) == 0: // theirs is a host name
		return false
	case s.LoadBalancerClass != "" || !a.config.Classless:
		return s.LoadBalancerClass == clustermesh.LoadBalancerClass
	case a.pools || a.config.Named:
		return true
	}
	o, known := a.alloc.Outcome(s.Name)
	return known && len(o.Grants) > 0
}

// learn takes note of what is stored of an address.
func (a *addresses) learn(key string, o *clustermesh.Address) {
	a.keys[key], a.found[key] = struct{}{}, o
	a.census.add(key, 1)
}

// asks returns what the allocator has to know of a service.
func (a *addresses) asks(s *clustermesh.Service) ipam.Service {
	out := ipam.Service{
		Name: s.Name, Created: s.Created, Labels: s.Labels, Request: s.Request,
		Exclusive: s.ExternalPolicy == clustermesh.TrafficLocal,
	}
	for _, p := range s.Ports {
		out.Ports = append(out.Ports, clustermesh.ClaimedPort{Protocol: p.Protocol, Port: p.Port})
	}
	if s.LoadBalancerOthers { // nobody else gets them, and it gets no more
		out.Hand, out.Request = slices.Clone(s.LoadBalancerIPs), clustermesh.AddressRequest{}
		for _, ip := range out.Hand {
			out.Request.Families |= clustermesh.FamilyOf(ip)
		}
		return out
	}
	if !a.config.ByHand {
		out.Has = s.LoadBalancerIPs
		return out
	}
	out.Hand = slices.Clone(s.LoadBalancerIPs)
	if a.config.Named && !a.pools && len(out.Hand) == 0 {
		out.Hand = slices.Clone(s.Request.Addresses)
	}
	return out
}

// grant writes into a service the addresses that it has.
func (a *addresses) grant(s *clustermesh.Service) {
	if !a.serves(s) {
		return
	}
	given := s.LoadBalancerIPs
	s.LoadBalancerIPs = nil
	if o, ok := a.alloc.Outcome(s.Name); ok {
		s.LoadBalancerIPs = o.Addresses()
	}
	if (a.config.ByHand || s.LoadBalancerOthers) && !a.settled {
		for _, ip := range given {
			if !slices.Contains(s.LoadBalancerIPs, ip) {
				s.LoadBalancerIPs = append(s.LoadBalancerIPs, ip)
			}
		}
	}
}

// address tells the allocator what a unit says; with full, the unit was looked
// at in a full pass, and one that is missing is believed to be gone only when
// its key goes.
func (t *term) address(unit source.Key, full bool, now time.Time) {
	objects, alloc := t.catalog.objects[unit], t.addresses.alloc
	switch unit.Kind {
	case source.Namespace:
		alloc.SetNamespace(unit.Name, namespaceLabels(objects))
	case source.Service:
		name := clustermesh.ServiceName{Namespace: unit.Namespace, Name: unit.Name}
		s := t.catalog.service(name)
		switch {
		case s != nil && t.addresses.serves(s):
			alloc.Set(t.addresses.asks(s))
			t.addresses.notices.look(s)
		case s != nil || !full && !t.lingers(clustermesh.Export, name) && !t.lingers(clustermesh.Private, name):
			alloc.Delete(name, now)
		}
	}
}

// setPools tells the allocator which pools there are. Of those that are not known
// nothing is given out, but none is taken to be gone.
func (t *term) setPools(now time.Time) {
	var all []*clustermesh.Pool
	for unit, objects := range t.catalog.objects {
		if unit.Kind == source.AddressPool && len(objects) > 0 {
			all = append(all, objects[0].(*clustermesh.Pool))
		}
	}
	doubted := t.catalog.anyUnknown(source.AddressPool)
	some := len(all) > 0 || doubted
	other := t.addresses.pools != some
	t.addresses.pools, t.addresses.doubted = some, doubted
	t.addresses.alloc.SetPools(all)
	if !other {
		return
	}
	for unit := range t.catalog.objects { // what services say counts differently now
		if unit.Kind == source.Service {
			t.address(unit, false, now)
		}
	}
}

// allocate decides who has which address, once all services are known, and
// stages what follows.
func (t *term) allocate(now time.Time) {
	a := t.addresses
	if !t.catalog.synced() {
		return
	}
	a.sure = a.sure || t.othersKnown(now)
	if a.sure {
		a.alloc.OthersKnown()
	}
	a.alloc.Settle(now)
	a.next, _ = a.alloc.Next()
	if !a.sure && !a.othersBy.IsZero() && (a.next.IsZero() || a.othersBy.Before(a.next)) {
		a.next = a.othersBy
	}
	services, changed := a.alloc.Changes()
	if !a.settled {
		a.settled = true
		services = t.served()
		ours, mesh := a.alloc.All()
		for _, o := range slices.Concat(ours, mesh) {
			changed = append(changed, o.Address)
		}
		for key := range a.keys {
			if o, err := clustermesh.ParseKey(key); err == nil {
				changed = append(changed, netip.MustParseAddr(o.Name)) // that of an object which was decoded
			}
		}
	}
	for _, addr := range changed {
		t.storeAddress(addr, now)
	}
	for _, name := range services {
		if t.catalog.service(name) != nil {
			t.settle(serviceUnit(name), false, now)
		}
	}
	a.unsaved = a.unsaved || len(changed) > 0
	a.notices.take(t, services, now)
}

// served returns the services that have their addresses from us, in order.
func (t *term) served() []clustermesh.ServiceName {
	var out []clustermesh.ServiceName
	for _, unit := range t.catalog.all() {
		if unit.Kind != source.Service {
			continue
		}
		if s, ok := t.catalog.objects[unit][0].(*clustermesh.Service); ok && t.addresses.serves(s) {
			out = append(out, s.Name)
		}
	}
	return out
}

// storeAddress stages what is to be stored of an address, where it belongs: those
// of the mesh are for other clusters to see.
func (t *term) storeAddress(addr netip.Addr, now time.Time) {
	a := t.addresses
	stored, mesh := a.alloc.Stored(addr)
	for _, area := range areas {
		key := clustermesh.Key{Area: area, Kind: clustermesh.KindAddresses, Name: addr.String()}.String()
		_, had := a.keys[key]
		wants := stored != nil && mesh == (area == clustermesh.Export)
		switch {
		case wants:
			if !had {
				a.keys[key] = struct{}{}
				a.census.add(key, 1)
			}
			delete(t.invalid, key)
			t.put(key, stored, key)
		case had:
			delete(a.keys, key)
			a.census.add(key, -1)
			t.gone(key, false, now)
		}
	}
}

// bereave tells the allocator that the key of a service goes, if the service has
// gone too and was not only moved.
func (t *term) bereave(key string, now time.Time) {
	k, err := clustermesh.ParseKey(key)
	if err != nil || k.Kind != clustermesh.KindServices {
		return
	}
	name, err := clustermesh.ParseServiceName(k.Name)
	if err == nil && t.catalog.service(name) == nil {
		t.addresses.alloc.Delete(name, now)
	}
}

// orphans releases, once in a term, what services had that neither the source
// nor the store has any more.
func (t *term) orphans(now time.Time) {
	if t.addresses.looked || !t.catalog.synced() {
		return
	}
	t.addresses.looked = true
	for _, name := range t.addresses.alloc.Unknown() {
		waits := false
		for _, area := range areas {
			key := clustermesh.Key{Area: area, Kind: clustermesh.KindServices, Name: name.String()}.String()
			_, ok := t.sweep.keys[key]
			waits = waits || ok || t.catalog.doubts(key)
		}
		if !waits && t.catalog.service(name) == nil {
			t.addresses.alloc.Delete(name, now)
		}
	}
}
