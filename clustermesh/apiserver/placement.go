package apiserver

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
)

// area says where the objects of a service lie: shared with the mesh, or not.
// Slices of a service that there is not are nobody else's business.
func area(s *clustermesh.Service) clustermesh.Area {
	if s != nil && s.Global && s.Shared {
		return clustermesh.Export
	}
	return clustermesh.Private
}

// placed is an object and the key under which it lies.
type placed struct {
	key    clustermesh.Key
	object clustermesh.Object
}

// place returns what a unit is in the store, given the size of the tables of
// a service, and who writes its load-balancer addresses into it. Pods and
// namespaces are nothing by themselves: see identities.
func (c *catalog) place(k source.Key, tableSize func(*clustermesh.Service) uint32, grant func(*clustermesh.Service)) []placed {
	var out []placed
	for _, o := range c.objects[k] {
		switch o := o.(type) {
		case *clustermesh.Service:
			s := *o
			s.TableSize = tableSize(o)
			grant(&s)
			out = append(out, at(area(o), &s))
		case *source.Export:
			if e := c.offered(o.Service); e != nil {
				out = append(out, at(clustermesh.Export, e))
			}
		case *clustermesh.EndpointSlice:
			home := area(c.service(o.Service))
			if c.offered(o.Service) != nil {
				home = clustermesh.Export
			}
			out = append(out, at(home, o))
		case *clustermesh.Node:
			n := *o
			n.Draining = o.Draining && c.cordonDrains
			out = append(out, at(clustermesh.Export, &n))
		case *clustermesh.Peer, *clustermesh.BGPPeer, *clustermesh.BGPAdvertisement, *clustermesh.Pool:
			out = append(out, at(clustermesh.Private, o.(clustermesh.Object)))
		}
	}
	return out
}

func at(a clustermesh.Area, o clustermesh.Object) placed {
	return placed{clustermesh.KeyOf(a, o), o}
}

// place returns what a unit is in the store.
func (t *term) place(unit source.Key) []placed {
	out := t.catalog.place(unit, t.tableSize, t.addresses.grant)
	for i, p := range out {
		if s, ok := p.object.(*clustermesh.EndpointSlice); ok {
			out[i] = at(t.home(s.Service), s)
		}
	}
	return out
}

// home says where the slices of a service lie: with it, or where others see them if
// it is offered. One that the source has not, while its stored key is not believed to
// be stale, is still seen by others as it is stored: without its slices they would go
// on with endpoints of before. So it is with an offer.
func (t *term) home(n clustermesh.ServiceName) clustermesh.Area {
	s := t.catalog.service(n)
	if s == nil && t.lingers(clustermesh.Export, n) || t.catalog.offered(n) != nil || t.offeredStill(n) {
		return clustermesh.Export
	}
	return area(s)
}

// lingers says whether a service is stored in an area, though nobody wants it there,
// because it may be unknown, or because so much would go at once.
func (t *term) lingers(a clustermesh.Area, n clustermesh.ServiceName) bool {
	_, ok := t.sweep.keys[clustermesh.KeyOf(a, &clustermesh.Service{Name: n}).String()]
	return ok
}

// follow moves the slices that do not lie where their service does: it came, other
// than it was stored, or what was stored of it went.
func (t *term) follow(n clustermesh.ServiceName, now time.Time) {
	home, strays := prefix(t.home(n)), units{}
	for unit := range t.catalog.slicesOf[n] {
		if keys := t.placements.keys[unit]; len(keys) > 0 && !strings.HasPrefix(keys[0], home) {
			strays[unit] = struct{}{}
		}
	}
	for _, unit := range t.catalog.ordered(strays) {
		t.settle(unit, false, now)
	}
}

// swept takes in that a key went which nobody wanted.
func (t *term) swept(key string, now time.Time) {
	k, err := clustermesh.ParseKey(key)
	if err != nil || k.Kind != clustermesh.KindServices && k.Kind != clustermesh.KindExports {
		return
	}
	if n, err := clustermesh.ParseServiceName(k.Name); err == nil {
		t.settle(serviceUnit(n), false, now)
	}
}

// rank orders kinds so that a reader sees a service move before its slices do,
// and what others hang on before those.
func rank(k source.Kind) int { return slices.Index(source.Kinds[:], k) }

func compareUnits(a, b source.Key) int {
	return cmp.Or(cmp.Compare(rank(a.Kind), rank(b.Kind)), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// placements know which unit wants which keys of the store.
type placements struct {
	keys map[source.Key][]string
	// claims are the units that want a key, in the order in which they came; the
	// last one has it. It is always one but where a part of a big slice has the
	// name of another slice.
	claims map[string][]source.Key
	census census
}

func newPlacements(c census) *placements {
	return &placements{keys: map[source.Key][]string{}, claims: map[string][]source.Key{}, census: c}
}

// set replaces what a unit wants. It returns the keys that nobody wants any
// more, and the units that have a key now because this one let it go.
func (p *placements) set(unit source.Key, keys []string) (dropped []string, heirs []source.Key) {
	before := p.keys[unit]
	for _, k := range keys {
		if slices.Contains(before, k) {
			continue
		}
		if p.claims[k] = append(p.claims[k], unit); len(p.claims[k]) == 1 {
			p.census.add(k, 1)
		}
	}
	for _, k := range before {
		if slices.Contains(keys, k) {
			continue
		}
		claims := p.claims[k]
		had := claims[len(claims)-1] == unit
		claims = slices.DeleteFunc(claims, func(u source.Key) bool { return u == unit })
		if len(claims) == 0 {
			delete(p.claims, k)
			p.census.add(k, -1)
			dropped = append(dropped, k)
			continue
		}
		p.claims[k] = claims
		if had {
			heirs = append(heirs, claims[len(claims)-1])
		}
	}
	if len(keys) == 0 {
		delete(p.keys, unit)
	} else {
		p.keys[unit] = keys
	}
	return dropped, heirs
}

// holds says whether a unit is the one that has a key.
func (p *placements) holds(unit source.Key, key string) bool {
	c := p.claims[key]
	return len(c) > 0 && c[len(c)-1] == unit
}

// wanted says whether any unit wants a key.
func (p *placements) wanted(key string) bool { return len(p.claims[key]) > 0 }

// census counts the keys that are wanted, by the marker of their table.
type census map[string]int

func (c census) add(key string, n int) {
	if m, ok := clustermesh.MarkerAt(key); ok {
		c[m] += n
	}
}

// total counts them all.
func (c census) total() (n int) {
	for _, m := range c {
		n += m
	}
	return n
}

// kinds counts them by kind, in all areas.
func (c census) kinds() map[clustermesh.Kind]int {
	out := map[clustermesh.Kind]int{}
	for marker, n := range c {
		if k, err := clustermesh.ParseKey(marker); err == nil && n != 0 {
			out[clustermesh.Kind(k.Name)] += n
		}
	}
	return out
}
