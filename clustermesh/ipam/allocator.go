package ipam

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// Allocator decides which service has which address. It is owned by one
// goroutine.
type Allocator struct {
	// delay is how long an address rests.
	delay time.Duration
	// now is the time of the call under way that has one, or of the last such.
	now time.Time
	// lost: what was stored is gone, so that statuses count, and services are
	// taken to have had what those say since they were created. Until the first
	// Settle.
	lost bool
	// others: the claims of other clusters are known.
	others bool

	pools map[string]*pool
	// order is that in which they are tried.
	order      []*pool
	services   map[clustermesh.ServiceName]*service
	namespaces map[string]map[string]string
	addresses  map[netip.Addr]*address
	// keys are the addresses that services with a sharing key claim, and how many.
	keys map[string]map[*address]int
	// used counts the addresses that are not free, by pool.
	used map[string]int
	// resting are in the order in which they were given back, unless unsorted.
	resting  []rest
	unsorted bool

	// due are to be decided anew, waiting lack something, troubled have problems,
	// fresh were told of for the first time; freed: there is something new for
	// those who wait.
	due, waiting, troubled map[*service]struct{}
	fresh                  []*service
	freed                  bool
	// touched and stale are what Changes returns.
	touched map[clustermesh.ServiceName]struct{}
	stale   map[netip.Addr]struct{}
}

// New returns an allocator whose addresses rest for a while after they were
// given back, before another service gets them.
func New(delay time.Duration) *Allocator {
	return &Allocator{
		delay: delay, pools: map[string]*pool{}, services: map[clustermesh.ServiceName]*service{},
		namespaces: map[string]map[string]string{}, addresses: map[netip.Addr]*address{},
		keys: map[string]map[*address]int{}, used: map[string]int{},
		due: map[*service]struct{}{}, waiting: map[*service]struct{}{}, troubled: map[*service]struct{}{},
		touched: map[clustermesh.ServiceName]struct{}{}, stale: map[netip.Addr]struct{}{},
	}
}

// Lost tells, before the first Settle, that what was stored is gone.
func (al *Allocator) Lost() { al.lost = true }

// Learn takes in what is stored of an address of ours; one of a pool with scope
// mesh lies in another place. What is known already of ours stays; that others claim it
// is no knowledge of ours, and may come first.
func (al *Allocator) Learn(stored *clustermesh.Address, mesh bool) {
	a := al.at(stored.Address)
	if a.learned || slices.ContainsFunc(a.claims, func(c *claim) bool { return c.cluster == "" }) {
		return
	}
	a.learned, a.pool, a.mesh = true, stored.Pool, mesh
	al.count(a.pool, 1)
	if a.released, a.last = stored.Released, stored.Last; !a.released.IsZero() {
		al.resting, al.unsorted = append(al.resting, rest{a.addr, a.released}), true
	}
	for _, c := range stored.Claims {
		s := al.service(c.Service)
		a.claims = append(a.claims, &claim{AddressClaim: c})
		s.claims = append(s.claims, a)
		if !s.known {
			s.Created, s.Ports, s.Exclusive = c.Created, c.Ports, c.Exclusive
			s.Request.SharingKey, s.Request.SharingNamespaces = c.SharingKey, c.SharingNamespaces
		}
		al.share(a, s.Request.SharingKey)
		if c.Holds {
			s.outcome.Grants = append(s.outcome.Grants, Grant{Address: a.addr, Pool: a.pool})
		}
	}
	if len(a.claims) > len(stored.Claims) {
		a.sort()
		al.judge(a)
	}
}

// SetNamespace tells the labels of a namespace; nil when it is gone.
func (al *Allocator) SetNamespace(name string, labels map[string]string) {
	if maps.Equal(al.namespaces[name], labels) && (al.namespaces[name] == nil) == (labels == nil) {
		return
	}
	if labels == nil {
		delete(al.namespaces, name)
	} else {
		al.namespaces[name] = labels
	}
	for _, s := range al.services {
		if s.known && s.Name.Namespace == name {
			al.due[s] = struct{}{}
		}
	}
}

// nameLabel is the label that Kubernetes gives every namespace.
const nameLabel = "kubernetes.io/metadata.name"

// namespace returns the labels of a namespace.
func (al *Allocator) namespace(name string) map[string]string {
	labels := maps.Clone(al.namespaces[name])
	if labels == nil {
		labels = map[string]string{}
	}
	if _, ok := labels[nameLabel]; !ok {
		labels[nameLabel] = name
	}
	return labels
}

// SetOther tells what another cluster claims of an address; nil when it claims
// nothing any more.
func (al *Allocator) SetOther(cluster string, addr netip.Addr, theirs *clustermesh.Address) {
	a := al.addresses[addr]
	if a == nil && (theirs == nil || len(theirs.Claims) == 0) {
		return
	}
	a = al.at(addr)
	had := len(a.claims)
	a.claims = slices.DeleteFunc(a.claims, func(c *claim) bool { return c.cluster == cluster })
	gone := len(a.claims) < had
	if theirs != nil {
		for _, c := range theirs.Claims {
			a.claims = append(a.claims, &claim{AddressClaim: c, cluster: cluster})
		}
	}
	a.sort()
	al.judge(a)
	if gone {
		al.wake(a)
	}
	al.forget(a)
}

// OthersKnown tells that SetOther was called for all that other clusters claim, or
// that no more is waited for.
// Until then nothing new of a pool with scope mesh is given out.
func (al *Allocator) OthersKnown() {
	if !al.others {
		al.others, al.freed = true, true
	}
}

// Settle decides what is due. It is to be called only when all services are
// known: what is free is found out by what others have.
func (al *Allocator) Settle(now time.Time) {
	al.now = now
	if al.unsorted {
		slices.SortFunc(al.resting, func(x, y rest) int { return cmp.Or(x.at.Compare(y.at), x.addr.Compare(y.addr)) })
		al.unsorted = false
	}
	al.expire()
	for _, s := range al.fresh {
		al.readBack(s)
	}
	al.fresh = nil
	for {
		if al.freed {
			maps.Copy(al.due, al.waiting)
			al.freed = false
		}
		if len(al.due) == 0 {
			break
		}
		due := slices.SortedFunc(maps.Keys(al.due), func(a, b *service) int {
			return clustermesh.Age{Created: a.Created, Name: a.Name}.Compare(clustermesh.Age{Created: b.Created, Name: b.Name})
		})
		clear(al.due)
		for _, s := range due {
			al.decide(s)
		}
	}
	al.lost = false
}

// readBack claims what the status of a service says that it has. What is left of a
// store that is gone may say that another gave it back: it does not rest for that.
func (al *Allocator) readBack(s *service) {
	for _, addr := range s.Has {
		a := al.at(addr)
		if p := al.poolOf(addr); p != nil {
			al.setPool(a, p)
		}
		if al.lost && !a.released.IsZero() {
			a.released, a.last = time.Time{}, clustermesh.ServiceName{}
			al.judge(a)
		}
		if s.claimOn(a) == nil {
			al.claim(s, a, al.had(s))
		}
	}
}

// had returns since when a claim counts of a service that is said to have the
// address already: where the store is lost, since it was created. To name an
// address is no such evidence.
func (al *Allocator) had(s *service) time.Time {
	if al.lost && !s.Created.IsZero() && s.Created.Before(al.now) {
		return s.Created
	}
	return al.now
}

// since returns since when a claim counts that is made now: later than those
// that have the address, even if the clock is behind that of whoever gave it.
func (al *Allocator) since(a *address) time.Time {
	since := al.now
	for _, c := range a.claims {
		if c.Holds && !c.Since.Before(since) {
			since = c.Since.Add(1)
		}
	}
	return since
}

// Next returns when something changes by time alone.
func (al *Allocator) Next() (time.Time, bool) {
	if len(al.resting) == 0 {
		return time.Time{}, false
	}
	return al.resting[0].at.Add(al.delay), true
}

// Changes returns the services whose outcome is another one since the last
// call, and the addresses of which something else is to be stored, in order.
func (al *Allocator) Changes() (services []clustermesh.ServiceName, addresses []netip.Addr) {
	services = slices.SortedFunc(maps.Keys(al.touched), compareNames)
	addresses = slices.SortedFunc(maps.Keys(al.stale), netip.Addr.Compare)
	clear(al.touched)
	clear(al.stale)
	return services, addresses
}

func (al *Allocator) changed(a *address) { al.stale[a.addr] = struct{}{} }

// Stored returns what is to be stored of an address, and whether it is of a
// pool with scope mesh; nil when nothing is.
func (al *Allocator) Stored(addr netip.Addr) (stored *clustermesh.Address, mesh bool) {
	a := al.addresses[addr]
	if a == nil {
		return nil, false
	}
	out := &clustermesh.Address{Address: addr, Pool: a.pool, Released: a.released, Last: a.last}
	for _, c := range a.claims {
		if c.cluster == "" && !c.hand {
			out.Claims = append(out.Claims, c.AddressClaim)
		}
	}
	if len(out.Claims) == 0 && out.Released.IsZero() {
		return nil, false
	}
	return out, a.mesh
}

// All returns what is to be stored of all addresses, those of pools with scope
// mesh apart.
func (al *Allocator) All() (ours, mesh []*clustermesh.Address) {
	for _, addr := range slices.SortedFunc(maps.Keys(al.addresses), netip.Addr.Compare) {
		switch stored, isMesh := al.Stored(addr); {
		case stored == nil:
		case isMesh:
			mesh = append(mesh, stored)
		default:
			ours = append(ours, stored)
		}
	}
	return ours, mesh
}

// PoolState is how a pool stands.
type PoolState struct {
	Name string `json:"name"`
	// Conflict names an older pool with which it overlaps: then it gives nothing out.
	Conflict string `json:"conflict,omitempty"`
	// IPv4 and IPv6 are how many addresses it can give out, at most MaxUint64.
	IPv4 uint64 `json:"ipv4"`
	IPv6 uint64 `json:"ipv6"`
	// Used is how many of its addresses are not free, those that rest included.
	Used int `json:"used"`
}

// Pools returns how all pools stand, by name.
func (al *Allocator) Pools() []PoolState {
	var out []PoolState
	for _, name := range slices.Sorted(maps.Keys(al.pools)) {
		p := al.pools[name]
		out = append(out, PoolState{name, p.conflict, p.sizes[0], p.sizes[1], al.used[name]})
	}
	return out
}

// Troubled returns the services that have problems, by name.
func (al *Allocator) Troubled() []clustermesh.ServiceName {
	var out []clustermesh.ServiceName
	for s := range al.troubled {
		out = append(out, s.Name)
	}
	slices.SortFunc(out, compareNames)
	return out
}
