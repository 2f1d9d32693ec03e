package loadbalancer

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// state is what lies in the maps and whose it is. Nothing of it is a wish: it
// changes together with the maps.
type state struct {
	target   Target
	services *numbers
	backends *numbers
	slots    *extents
	nodes    *nodes
	limbo    limbo
	// ranges counts those in the map.
	ranges int

	// byName holds the ports of the services that were reconciled.
	byName map[clustermesh.ServiceName][]*port
	// pinned holds, by service number, the ports that were found in the maps
	// and that no service has claimed yet.
	pinned map[uint32]*port
	// numbered holds the ports of byName by service number.
	numbered map[uint32]*port
	// found holds those of pinned by owner.
	found map[uint64]*port
	// owners says which port each frontend of the hash leads to.
	owners map[Frontend]*port
	// waiting holds, by frontend, the services that want it and do not have it, with
	// their ages; wake those that may try again because it was released.
	waiting map[Frontend]map[clustermesh.ServiceName]clustermesh.Age
	wake    []clustermesh.ServiceName
	// owed are the frontends of services for which there is no room: of several the
	// oldest, and the others wait.
	owed map[Frontend]claimant
	// claims are, by service, the frontends in waiting and owed that name it.
	claims map[clustermesh.ServiceName]map[Frontend]struct{}

	scratch scratch
}

// port is a service port as it lies in the maps. Its frontends are those in
// owners that name it.
type port struct {
	// service is empty while the port is only pinned.
	service clustermesh.ServiceName
	// age is the service's: of two that claim a frontend the older has it.
	age    clustermesh.Age
	id     portID
	number uint32
	owner  uint64
	// frontends are in the hash, in no order; wants are those that should be.
	frontends, wants []Frontend
	tables           [tiers]table
	affinity         time.Duration
	// outliers: failures of its backends are counted.
	outliers bool
	// drops: packets that it has no backend for are dropped.
	drops bool
	// guard says whom it keeps out, ranges from where clients may come then. No number
	// is given back with ranges.
	guard  Guard
	ranges []netip.Prefix
	// backends are all that its tables name, and those that were in a table and
	// keep their connections, in the order of their endpoints.
	backends []placed
	// left are the backends for which there is no room.
	left []LeftOut
	// restored is set while backends found in the maps may be here that no
	// synced table vouches for.
	restored bool
}

// entry returns what the map of services holds of the port.
func (p *port) entry() Service {
	e := Service{Affinity: p.affinity, Outliers: p.outliers, Drops: p.drops, Guard: p.guard, Owner: p.owner}
	for t := range tiers {
		e.Tables[t] = p.tables[t].at
	}
	return e
}

// table is one tier of a port.
type table struct {
	at Extent
	// members have slots in it. A table that was found in the maps has none
	// until it is compared for the first time: weights cannot be read there.
	members []member
}

// member is a backend's part in a table.
type member struct{ number, weight uint32 }

// placed is a backend with its numbers.
type placed struct {
	address netip.AddrPort
	cluster uint16
	onNode  bool
	number  uint32
	node    uint32
	// standing is not Active for one that is in no table.
	standing Standing
	// gone is since when we know that it is gone, zero while it is not.
	gone time.Time
}

// compareWho orders backends by who they are.
func (p placed) compareWho(o placed) int {
	return cmp.Or(cmp.Compare(p.cluster, o.cluster), p.address.Compare(o.address))
}

// find returns the backend of a port that has this cluster and address.
func (p *port) find(cluster uint16, address netip.AddrPort) (placed, bool) {
	i, ok := slices.BinarySearchFunc(p.backends, placed{cluster: cluster, address: address}, placed.compareWho)
	if !ok {
		return placed{}, false
	}
	return p.backends[i], true
}

// leads reports whether a table of the port names a backend.
func (p *port) leads(number uint32) bool {
	return slices.ContainsFunc(p.tables[:], func(t table) bool {
		return slices.ContainsFunc(t.members, func(m member) bool { return m.number == number })
	})
}

// portOf returns the port of a service with this id, or nil.
func (s *state) portOf(name clustermesh.ServiceName, id portID) *port {
	for _, p := range s.byName[name] {
		if p.id == id {
			return p
		}
	}
	return nil
}

// claim makes the port that was found in the maps as this service's its own;
// nil when there is none.
func (s *state) claim(name clustermesh.ServiceName, id portID) *port {
	p := s.found[owner(name, id)]
	if p == nil {
		return nil
	}
	delete(s.found, p.owner)
	delete(s.pinned, p.number)
	p.service, p.id = name, id
	s.enter(p)
	return p
}

// enter takes a port into the books of a service.
func (s *state) enter(p *port) {
	s.byName[p.service] = append(s.byName[p.service], p)
	s.numbered[p.number] = p
}

// owner returns the digest by which a port is known again in the maps.
func owner(name clustermesh.ServiceName, id portID) uint64 {
	text := fmt.Appendf(nil, "%s/%s/%d/%d/%t/%t", name.Namespace, name.Name, id.protocol, id.port, id.ipv6, id.outside)
	// Those who were there before these keep their digests.
	if id.here {
		text = append(text, "/here"...)
	}
	if id.guarded {
		text = append(text, "/guarded"...)
	}
	sum := sha256.Sum256(text)
	return max(1, binary.BigEndian.Uint64(sum[:]))
}

// forget takes a port that lies in the maps no more out of the books.
func (s *state) forget(p *port) {
	delete(s.found, p.owner)
	delete(s.pinned, p.number)
	delete(s.numbered, p.number)
	rest := slices.DeleteFunc(s.byName[p.service], func(o *port) bool { return o == p })
	if len(rest) == 0 {
		delete(s.byName, p.service)
	} else {
		s.byName[p.service] = rest
	}
}

// free gives back what a grace period has freed.
func (s *state) free(r remains) {
	for _, n := range r.services {
		s.target.PutService(n, Service{})
		s.services.put(n)
	}
	for _, n := range r.backends {
		s.backends.put(n)
	}
	for _, n := range r.nodes {
		s.nodes.numbers.put(n)
	}
	for _, e := range r.extents {
		s.slots.put(e)
	}
}
