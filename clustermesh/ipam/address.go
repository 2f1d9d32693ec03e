package ipam

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// address is one that somebody claims, or that rests.
type address struct {
	addr netip.Addr
	// pool is the one that it is of, or was when it was given; mesh: of one with
	// scope mesh. learned: that was read from the store.
	pool          string
	mesh, learned bool
	// claims are sorted by age, those of other clusters among ours: they count
	// where mesh is set.
	claims []*claim
	// released is when it was given back, by last; zero while somebody has it.
	released time.Time
	last     clustermesh.ServiceName
}

// claim is that of a service on an address.
type claim struct {
	clustermesh.AddressClaim
	// cluster is empty for ours.
	cluster string
	// hand: it is not to be argued with.
	hand bool
}

// who names a claimant in a sentence.
func (c *claim) who() string {
	if c.cluster == "" {
		return c.Service.String()
	}
	return c.Service.String() + " of cluster " + c.cluster
}

// counts says whether a claim is one on our address: that of another cluster is, if
// the pool is the mesh's.
func (a *address) counts(c *claim) bool { return c.cluster == "" || a.mesh }

func (a *address) sort() {
	slices.SortFunc(a.claims, func(x, y *claim) int {
		return cmp.Or(x.Compare(&y.AddressClaim), cmp.Compare(x.cluster, y.cluster))
	})
}

// blocker returns the oldest claim that keeps one from having the address, and
// why the two cannot share; nil when there is none.
func (a *address) blocker(c *claim) (by *claim, why string) {
	for _, other := range a.claims {
		if other == c {
			return nil, ""
		}
		if !other.Holds || other.Service == c.Service {
			continue
		}
		if why := c.Shares(&other.AddressClaim); why != "" {
			return other, why
		}
	}
	return nil, ""
}

// rests says until when an address is given to nobody but the one that had it.
func (al *Allocator) rests(a *address) (until time.Time, ok bool) {
	if a.released.IsZero() {
		return time.Time{}, false
	}
	until = a.released.Add(al.delay)
	return until, al.now.Before(until)
}

// judge decides which claims have an address, oldest first. Services of which
// something is different are due.
func (al *Allocator) judge(a *address) {
	held, differs := al.pass(a)
	if held && !a.released.IsZero() {
		a.released, a.last = time.Time{}, clustermesh.ServiceName{}
		al.pass(a) // it no longer rests for the others either
		differs = true
	}
	if differs {
		al.changed(a)
	}
	if differs || len(a.claims) > 1 {
		al.wake(a)
	}
}

// pass goes through the claims of an address once. It reports whether somebody
// has it, and whether that is somebody else than before.
func (al *Allocator) pass(a *address) (held, differs bool) {
	_, resting := al.rests(a)
	if resting { // whoever had it may have it again, if nobody else waits for it
		resting = slices.ContainsFunc(a.claims, func(c *claim) bool { return a.counts(c) && c.Service != a.last })
	}
	for _, c := range a.claims {
		by, _ := a.blocker(c)
		holds := c.hand || by == nil && !resting && a.counts(c)
		differs = differs || holds != c.Holds
		c.Holds = holds
		held = held || holds
	}
	return held, differs
}

// wake makes the services that claim an address due.
func (al *Allocator) wake(a *address) {
	for _, c := range a.claims {
		if s := al.services[c.Service]; c.cluster == "" && s != nil && s.known {
			al.due[s] = struct{}{}
		}
	}
}

// at returns the state of an address, made if need be.
func (al *Allocator) at(addr netip.Addr) *address {
	a := al.addresses[addr]
	if a == nil {
		a = &address{addr: addr}
		al.addresses[addr] = a
	}
	return a
}

// claim adds a claim of one of our services.
func (al *Allocator) claim(s *service, a *address, since time.Time) *claim {
	c := &claim{AddressClaim: clustermesh.AddressClaim{Service: s.Name, Since: since}}
	s.describe(c)
	al.add(s, a, c)
	return c
}

func (al *Allocator) add(s *service, a *address, c *claim) {
	a.claims = append(a.claims, c)
	a.sort()
	s.claims = append(s.claims, a)
	al.share(a, s.Request.SharingKey)
	al.changed(a)
	al.judge(a)
}

// drop removes the claim of one of our services. An address that it had, and
// that nobody else has, begins to rest.
func (al *Allocator) drop(s *service, a *address) {
	c := s.claimOn(a)
	al.freed = al.freed || c.Holds // there may be room for one that shares
	a.claims = slices.DeleteFunc(a.claims, func(x *claim) bool { return x == c })
	s.claims = slices.DeleteFunc(s.claims, func(x *address) bool { return x == a })
	al.unshare(a, s.Request.SharingKey)
	if held := slices.ContainsFunc(a.claims, func(x *claim) bool { return x.Holds }); c.Holds && !held && a.pool != "" && al.delay > 0 {
		a.released, a.last = al.now, s.Name
		al.resting = append(al.resting, rest{a.addr, a.released})
	}
	al.changed(a)
	al.judge(a)
	al.wake(a)
	al.forget(a)
}

// forget removes an address that nobody claims and that does not rest.
func (al *Allocator) forget(a *address) {
	if len(a.claims) > 0 {
		return
	}
	if _, ok := al.rests(a); ok {
		return
	}
	delete(al.addresses, a.addr)
	al.changed(a)
	al.freed = true
	for _, p := range al.pools {
		p.giveBack(a.addr)
	}
	al.count(a.pool, -1)
	a.pool = ""
}

// setPool notes which pool an address is of.
func (al *Allocator) setPool(a *address, p *pool) {
	if a.pool == p.Name && a.mesh == (p.Scope == clustermesh.PoolMesh) {
		return
	}
	al.count(a.pool, -1)
	a.pool, a.mesh = p.Name, p.Scope == clustermesh.PoolMesh
	al.count(a.pool, 1)
	al.changed(a)
	al.judge(a)
}

func (al *Allocator) count(pool string, n int) {
	if pool != "" {
		al.used[pool] += n
	}
	if al.used[pool] == 0 {
		delete(al.used, pool)
	}
}

// share and unshare keep the addresses of each sharing key.
func (al *Allocator) share(a *address, key string) {
	if key == "" {
		return
	}
	if al.keys[key] == nil {
		al.keys[key] = map[*address]int{}
	}
	al.keys[key][a]++
}

func (al *Allocator) unshare(a *address, key string) {
	if m := al.keys[key]; m != nil {
		if m[a]--; m[a] <= 0 {
			delete(m, a)
		}
		if len(m) == 0 {
			delete(al.keys, key)
		}
	}
}

// rest is an address that was given back.
type rest struct {
	addr netip.Addr
	at   time.Time
}

// expire ends the rest of addresses.
func (al *Allocator) expire() {
	for len(al.resting) > 0 && !al.now.Before(al.resting[0].at.Add(al.delay)) {
		r := al.resting[0]
		al.resting = al.resting[1:]
		a := al.addresses[r.addr]
		if a == nil || !a.released.Equal(r.at) {
			continue // it was claimed again
		}
		a.released, a.last = time.Time{}, clustermesh.ServiceName{}
		al.changed(a)
		al.judge(a)
		al.forget(a)
	}
}

func compareNames(a, b clustermesh.ServiceName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}
