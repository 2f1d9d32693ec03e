package loadbalancer

import (
	"errors"
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// ram is a Target in this process's memory, laid out as the kernel's maps are:
// what programs load at once is one word here too.
type ram struct {
	limits   Limits
	services []ramService
	slots    []uint32
	backends []ramBackend
	clusters [512]atomic.Uint64
	nodes    []atomic.Uint64

	// The hash has a lock of its own in the kernel, too.
	hash      sync.RWMutex
	frontends map[Frontend]uint32
	ranges    map[Range]struct{}
	// programs is held for reading by those that run; a grace period waits
	// until all of them have let go of it.
	programs sync.RWMutex
	// forgiven are the backends whose failures were forgotten.
	forgiven []uint32
}

type ramService struct {
	tables          [tiers]atomic.Uint64
	affinity, owner atomic.Uint64
	outliers        atomic.Bool
	guard           atomic.Uint64 // a bit each
}

// ramBackend has generation and state in its head: the upper half counts the
// owners, the lowest bit says that it is usable, and its standing is above it.
type ramBackend struct {
	head atomic.Uint64
	b    Backend
}

func newRAM(l Limits) *ram {
	return &ram{
		limits:    l,
		services:  make([]ramService, l.Services),
		slots:     make([]uint32, l.Slots),
		backends:  make([]ramBackend, l.Backends),
		nodes:     make([]atomic.Uint64, l.Nodes),
		frontends: map[Frontend]uint32{},
		ranges:    map[Range]struct{}{},
	}
}

func (r *ram) Limits() Limits { return r.limits }

func (r *ram) EachFrontend(yield func(Frontend, uint32)) error {
	for f, n := range maps.Clone(r.frontends) {
		yield(f, n)
	}
	return nil
}

func (r *ram) PutFrontend(f Frontend, service uint32) error {
	r.hash.Lock()
	defer r.hash.Unlock()
	if _, there := r.frontends[f]; !there && r.limits.Frontends > 0 && len(r.frontends) == int(r.limits.Frontends) {
		return &fullError{"frontends", errors.New("the hash is full")}
	}
	r.frontends[f] = service
	return nil
}

func (r *ram) DeleteFrontend(f Frontend) error {
	r.hash.Lock()
	defer r.hash.Unlock()
	delete(r.frontends, f)
	return nil
}

func (r *ram) frontend(f Frontend) (uint32, error) {
	r.hash.RLock()
	defer r.hash.RUnlock()
	return r.frontends[f], nil
}

func (r *ram) EachRange(yield func(Range)) error {
	for one := range maps.Clone(r.ranges) {
		yield(one)
	}
	return nil
}

func (r *ram) PutRange(one Range) error {
	r.hash.Lock()
	defer r.hash.Unlock()
	if _, there := r.ranges[one]; !there && r.limits.Ranges > 0 && len(r.ranges) == int(r.limits.Ranges) {
		return &fullError{"ranges", errors.New("the map is full")}
	}
	r.ranges[one] = struct{}{}
	return nil
}

func (r *ram) DeleteRange(one Range) error {
	r.hash.Lock()
	defer r.hash.Unlock()
	delete(r.ranges, one)
	return nil
}

// letsIn looks for ranges of a service that an address is in, as programs do.
func (r *ram) letsIn(service uint32, a netip.Addr) (bool, error) {
	r.hash.RLock()
	defer r.hash.RUnlock()
	for one := range r.ranges {
		if one.Service == service && one.Prefix.Contains(a) {
			return true, nil
		}
	}
	return false, nil
}

func (r *ram) Service(n uint32) (s Service) {
	for t := range tiers {
		w := r.services[n].tables[t].Load()
		s.Tables[t] = Extent{uint32(w), uint32(w >> 32)}
	}
	s.Affinity, s.Owner = time.Duration(r.services[n].affinity.Load()), r.services[n].owner.Load()
	s.Outliers = r.services[n].outliers.Load()
	g := r.services[n].guard.Load()
	s.Guard = Guard{Packets: g&1 != 0, Pods: g&2 != 0, Node: g&4 != 0}
	return s
}

func (r *ram) PutService(n uint32, s Service) {
	e := &r.services[n]
	e.affinity.Store(uint64(s.Affinity))
	e.owner.Store(s.Owner)
	e.outliers.Store(s.Outliers)
	var g uint64
	for i, is := range []bool{s.Guard.Packets, s.Guard.Pods, s.Guard.Node} {
		if is {
			g |= 1 << i
		}
	}
	e.guard.Store(g)
	for t := range tiers {
		e.tables[t].Store(uint64(s.Tables[t].Offset) | uint64(s.Tables[t].Size)<<32)
	}
}

func (r *ram) PutSlots(offset uint32, table []uint32) { copy(r.slots[offset:], table) }

func (r *ram) ReplaceSlots(offset uint32, table []uint32) {
	for i, n := range table {
		atomic.StoreUint32(&r.slots[offset+uint32(i)], n)
	}
}

func (r *ram) Slots(at Extent) []uint32 { return r.slots[at.Offset:at.end():at.end()] }

func (r *ram) Backend(n uint32) Backend {
	b := r.backends[n].b
	b.Standing = Standing(r.backends[n].head.Load() >> 8)
	return b
}

func (r *ram) Usable(n uint32) bool { return r.backends[n].head.Load()&1 == 1 }

func (r *ram) PutBackend(n uint32, b Backend) {
	e := &r.backends[n]
	e.b = b
	e.head.Store((e.head.Load()>>32+1)<<32 | uint64(Active)<<8 | 1)
}

func (r *ram) SetStanding(n uint32, s Standing) {
	e := &r.backends[n]
	e.head.Store(e.head.Load()&^0xff00 | uint64(s)<<8)
}

func (r *ram) Forgive(n uint32) { r.forgiven = append(r.forgiven, n) }

func (r *ram) DropBackend(n uint32) {
	e := &r.backends[n]
	e.head.Store(e.head.Load() &^ 1)
}

func (r *ram) SetClusterHealth(cluster uint16, h Health) { r.clusters[cluster].Store(uint64(h)) }

func (r *ram) SetNodeHealth(node uint32, h Health) { r.nodes[node].Store(uint64(h)) }

func (r *ram) ClusterHealth(cluster uint16) Health { return Health(r.clusters[cluster].Load()) }

func (r *ram) NodeHealth(node uint32) Health { return Health(r.nodes[node].Load()) }

func (r *ram) Grace() error {
	r.programs.Lock()
	defer r.programs.Unlock()
	return nil
}

func (r *ram) run(program func()) {
	r.programs.RLock()
	defer r.programs.RUnlock()
	program()
}

func (r *ram) head(n uint32) uint64 { return r.backends[n].head.Load() }
