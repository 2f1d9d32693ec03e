package apiserver

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
)

// catalog is what the source has said so far, with the relations between
// objects that decide where they lie.
type catalog struct {
	objects map[source.Key][]source.Object
	// slicesOf names the units whose placement hangs on a service.
	slicesOf map[clustermesh.ServiceName]units
	// exports are the names of the ServiceExports, by namespace.
	exports map[string]map[string]struct{}
	// unsynced are the kinds whose complete set has not come yet.
	unsynced map[source.Kind]struct{}
	// unknown are the objects that may exist and are not here, kinds as a whole
	// included.
	unknown map[source.Key]struct{}
	// origin names the store of which the objects are, see source.Update.
	origin string
	// cordonDrains: a node that is cordoned is drained.
	cordonDrains bool
	// local counts the endpoints of each service in this cluster, remote those
	// in others.
	local, remote *tally
	// claims are what other clusters claim of the addresses of the mesh.
	claims map[string]map[netip.Addr]*clustermesh.Address
	others others
	// offers are what other clusters offer, reach under which addresses that is reached.
	offers *offers
	reach  *reach
}

// units are objects of the source, each the unit of what is placed together.
type units map[source.Key]struct{}

func newCatalog() *catalog {
	c := &catalog{
		objects: map[source.Key][]source.Object{}, slicesOf: map[clustermesh.ServiceName]units{}, exports: map[string]map[string]struct{}{},
		unsynced: map[source.Kind]struct{}{}, local: newTally(), remote: newTally(),
		claims: map[string]map[netip.Addr]*clustermesh.Address{}, others: others{told: map[string]bool{}, refused: map[string]bool{}},
		offers: newOffers(), reach: newReach(),
	}
	for _, k := range source.Kinds {
		c.unsynced[k] = struct{}{}
	}
	return c
}

// apply takes an update in and returns the units to place anew, those that a
// reader should see first before the others.
func (c *catalog) apply(u source.Update) []source.Key {
	touched := units{}
	for _, change := range u.Changes {
		c.replace(change, u.Full, touched)
	}
	for _, k := range u.Synced {
		delete(c.unsynced, k)
	}
	c.origin = u.Origin
	c.unknown = make(map[source.Key]struct{}, len(u.Unknown))
	for _, k := range u.Unknown {
		c.unknown[k] = struct{}{}
	}
	return c.ordered(touched)
}

// synced says whether the complete set of every kind is here.
func (c *catalog) synced() bool { return len(c.unsynced) == 0 }

// all returns every unit.
func (c *catalog) all() []source.Key {
	return slices.SortedFunc(maps.Keys(c.objects), compareUnits)
}

// ordered sorts units. A namespace that is gone comes last, after its pods:
// without its labels they would be something else for a moment.
func (c *catalog) ordered(u units) []source.Key {
	last := func(k source.Key) int {
		if k.Kind == source.Namespace && len(c.objects[k]) == 0 {
			return 1
		}
		return 0
	}
	return slices.SortedFunc(maps.Keys(u), func(a, b source.Key) int {
		return cmp.Or(cmp.Compare(last(a), last(b)), compareUnits(a, b))
	})
}

// replace takes one change in and adds to touched what it touches. full: it was found
// by comparing everything.
func (c *catalog) replace(change source.Change, full bool, touched units) {
	k, before := change.Key, c.objects[change.Key]
	touched[k] = struct{}{}
	if len(change.Objects) == 0 {
		delete(c.objects, k)
	} else {
		c.objects[k] = change.Objects
	}
	switch k.Kind {
	case source.Service:
		name := clustermesh.ServiceName{Namespace: k.Namespace, Name: k.Name}
		if shared(before) != shared(change.Objects) {
			maps.Copy(touched, c.slicesOf[name])
		}
		if c.export(name) != nil {
			touched[exportUnit(name)] = struct{}{} // which says what the service is
			maps.Copy(touched, c.slicesOf[name])
		}
		c.reach.replace(k, before, change.Objects, full, c.offers.touched)
	case source.ServiceImport:
		c.reach.replace(k, before, change.Objects, full, c.offers.touched)
	case source.ServiceExport:
		keepIn(c.exports, k.Namespace, k.Name, struct{}{}, len(change.Objects) > 0)
		maps.Copy(touched, c.slicesOf[clustermesh.ServiceName{Namespace: k.Namespace, Name: k.Name}])
	case source.EndpointSlice:
		for _, o := range before {
			c.unslice(k, o.(*clustermesh.EndpointSlice), touched)
		}
		for _, o := range change.Objects {
			c.slice(k, o.(*clustermesh.EndpointSlice), touched)
		}
	}
}

// slice and unslice take note of a slice of a service, whose table may have to
// grow or shrink.
func (c *catalog) slice(k source.Key, s *clustermesh.EndpointSlice, touched units) {
	c.link(s.Service, k, true)
	c.local.set(s.Service.String()+"/"+s.Name, s)
	touched[serviceUnit(s.Service)] = struct{}{}
}

func (c *catalog) unslice(k source.Key, s *clustermesh.EndpointSlice, touched units) {
	c.link(s.Service, k, false)
	c.local.set(s.Service.String()+"/"+s.Name, nil)
	touched[serviceUnit(s.Service)] = struct{}{}
}

func serviceUnit(n clustermesh.ServiceName) source.Key {
	return source.Key{Kind: source.Service, Namespace: n.Namespace, Name: n.Name}
}

// link makes k one of those that hang on a service, or no longer.
func (c *catalog) link(name clustermesh.ServiceName, k source.Key, on bool) {
	m := c.slicesOf
	switch {
	case !on:
		if delete(m[name], k); len(m[name]) == 0 {
			delete(m, name)
		}
	case m[name] == nil:
		m[name] = units{k: {}}
	default:
		m[name][k] = struct{}{}
	}
}

// service returns a service as the source has it, or nil.
func (c *catalog) service(n clustermesh.ServiceName) *clustermesh.Service {
	if o := c.objects[serviceUnit(n)]; len(o) > 0 {
		s, _ := o[0].(*clustermesh.Service) // or it is derived
		return s
	}
	return nil
}

// sliceWish returns the wish of a global service to show the endpoints of others, or nil.
func (c *catalog) sliceWish(n clustermesh.ServiceName) *source.SliceWish {
	o := c.objects[serviceUnit(n)]
	if len(o) < 2 || c.service(n) == nil {
		return nil
	}
	w, _ := o[1].(*source.SliceWish)
	return w
}

// setClaims keeps what another cluster claims of an address; nil for nothing.
func (c *catalog) setClaims(cluster string, addr netip.Addr, theirs *clustermesh.Address) {
	m := c.claims[cluster]
	switch {
	case theirs == nil:
		if delete(m, addr); len(m) == 0 {
			delete(c.claims, cluster)
		}
	case m == nil:
		c.claims[cluster] = map[netip.Addr]*clustermesh.Address{addr: theirs}
	default:
		m[addr] = theirs
	}
}

// need returns how many endpoints the bigger family of a service has, in all
// clusters if they are merged.
func (c *catalog) need(s *clustermesh.Service) int {
	n := c.local.of(s.Name)
	if s.Global {
		r := c.remote.of(s.Name)
		n[0], n[1] = n[0]+r[0], n[1]+r[1]
	}
	return max(n[0], n[1])
}

// shared says whether a service, if it is one, is shared with the mesh.
func shared(objects []source.Object) bool {
	if len(objects) == 0 {
		return false
	}
	s, ok := objects[0].(*clustermesh.Service)
	return ok && s.Global && s.Shared
}
