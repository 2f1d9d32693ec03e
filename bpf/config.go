package bpf

import (
	"errors"
	"fmt"
	"path/filepath"
)

// Config says where the data path lives and how much it can hold.
type Config struct {
	// BPFFS is a directory on a mounted bpffs; everything is pinned below its
	// folder tombolo.
	BPFFS string
	// Cgroup is the cgroup2 directory whose sockets are balanced, with all
	// cgroups below it.
	Cgroup string
	// Sizes bounds the maps; the zero value means DefaultSizes.
	Sizes Sizes
}

// Sizes is how many entries each map has. The arrays are allocated whole when
// they are made, so Memory is what they cost from the start; frontends cost
// what they hold.
type Sizes struct {
	// Frontends is the most frontends, and the most ranges of services.
	Frontends uint32
	// Services, Backends and Nodes bound the numbers; each is one more than the
	// highest, and number 0 is never used.
	Services, Backends, Nodes uint32
	// Slots is the room for all tables together. A table is replaced by one
	// written beside it, so leave a quarter free.
	Slots uint32
	// Clusters is one more than the highest id of a cluster.
	Clusters uint32
	// Affinity is how many clients' session affinities are remembered; of more,
	// those longest unused are forgotten.
	Affinity uint32
	// Sockets is how many connected sockets there are places for, a power of
	// two. More are connected as well, at a higher cost for each.
	Sockets uint32
}

// DefaultSizes has room for 10,000 services of 10 backends and tables of 1021
// slots, several ports each or a few much larger ones. Memory says what they take.
func DefaultSizes() Sizes {
	return Sizes{
		Frontends: 1 << 16,
		Services:  1 << 16,
		Backends:  1 << 18,
		Nodes:     1 << 14,
		Slots:     1 << 24,
		Clusters:  512,
		Affinity:  1 << 16,
		Sockets:   1 << 16,
	}
}

// SmallSizes has room for 1,000 services of 10 backends with tables of 1021
// slots.
func SmallSizes() Sizes {
	return Sizes{
		Frontends: 1 << 13,
		Services:  1 << 12,
		Backends:  1 << 14,
		Nodes:     1 << 12,
		Slots:     5 << 18,
		Clusters:  512,
		Affinity:  1 << 12,
		Sockets:   1 << 12,
	}
}

// LargeSizes has room for 40,000 services and four times as many nodes as DefaultSizes:
// about 347 MiB. It has as many places for sockets, so that what is noted of them
// is handed on from the one to the other.
func LargeSizes() Sizes {
	return Sizes{
		Frontends: 1 << 18,
		Services:  1 << 18,
		Backends:  1 << 20,
		Nodes:     1 << 16,
		Slots:     1 << 26,
		Clusters:  512,
		Affinity:  1 << 18,
		Sockets:   1 << 16,
	}
}

// Named is sizes with the name by which people ask for them.
type Named struct {
	Name string
	Sizes
}

// NamedSizes returns all that have a name, the smallest first.
func NamedSizes() []Named {
	return []Named{{"small", SmallSizes()}, {"default", DefaultSizes()}, {"large", LargeSizes()}}
}

// Memory returns about how many bytes the maps take before they hold anything.
func (s Sizes) Memory() uint64 {
	const bucket, lru = 16, 48 + 24 + 16 // a hash's bucket; an LRU hash's element
	return 4*uint64(s.Slots) +
		8*uint64(backendWords)*uint64(s.Backends) +
		8*uint64(serviceWords)*uint64(s.Services) +
		8*(uint64(s.Nodes)+uint64(s.Clusters)) +
		8*uint64(1+socketWords)*uint64(s.Sockets) +
		bucket*uint64(s.Frontends) +
		(bucket+lru)*uint64(s.Affinity)
}

// Validate reports every mistake of the configuration at once.
func (c Config) Validate() error {
	var errs []error
	for name, path := range map[string]string{"bpffs": c.BPFFS, "cgroup": c.Cgroup} {
		if !filepath.IsAbs(path) {
			errs = append(errs, fmt.Errorf("%s %q: not an absolute path", name, path))
		}
	}
	return errors.Join(append(errs, c.sizes().validate())...)
}

// sizes returns the sizes that hold.
func (c Config) sizes() Sizes {
	if c.Sizes == (Sizes{}) {
		return DefaultSizes()
	}
	return c.Sizes
}

func (s Sizes) validate() error {
	var errs []error
	for _, f := range []struct {
		name             string
		value, low, high uint32
	}{
		{"frontends", s.Frontends, 1, 1 << 24},
		{"services", s.Services, 2, 1 << 24},
		{"backends", s.Backends, 2, 1 << 24},
		{"nodes", s.Nodes, 1, 1 << 20},
		{"slots", s.Slots, 1 << 8, 1 << 28},
		{"clusters", s.Clusters, 1, 1 << 16},
		{"affinity", s.Affinity, 1, 1 << 24},
		{"sockets", s.Sockets, socketWays, 1 << 24},
	} {
		if f.value < f.low || f.value > f.high {
			errs = append(errs, fmt.Errorf("size of %s: %d is not within %d and %d", f.name, f.value, f.low, f.high))
		}
	}
	if s.Slots%2 != 0 {
		errs = append(errs, fmt.Errorf("size of slots: %d is odd, and two share a value", s.Slots))
	}
	if s.Sockets&(s.Sockets-1) != 0 {
		errs = append(errs, fmt.Errorf("size of sockets: %d is no power of two", s.Sockets))
	}
	return errors.Join(errs...)
}

// entries returns the max_entries of each map that the sizes decide.
func (s Sizes) entries() map[string]uint32 {
	return map[string]uint32{
		mapsMapFrontends:     s.Frontends,
		mapsMapRanges:        s.Frontends,
		mapsMapServices:      s.Services,
		mapsMapSlots:         s.Slots / 2,
		mapsMapBackends:      s.Backends,
		mapsMapClusterHealth: s.Clusters,
		mapsMapNodeHealth:    s.Nodes,
		mapsMapAffinity:      s.Affinity,
		mapsMapSockets:       s.Sockets,
		mapsMapSocketSets:    s.Sockets / socketWays,
	}
}
