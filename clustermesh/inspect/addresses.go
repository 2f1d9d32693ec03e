package inspect

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/ipam"
	"tombolo.io/tombolo/etcd"
)

// Pool is a pool of load-balancer addresses, and how much of it is used.
type Pool struct {
	ipam.PoolState
	Scope string `json:"scope"`
	// AutoAssign: it gives addresses to services that name none.
	AutoAssign bool `json:"autoAssign"`
	AvoidBuggy bool `json:"avoidBuggyIPs,omitempty"`
	// Ranges are the addresses, as first-last.
	Ranges []string `json:"ranges"`
	// Selects says that it is not for all services.
	Selects bool `json:"selects,omitempty"`
}

// Address is a claim of a service on an address of a pool, or of the one that gave
// it back while it rests.
type Address struct {
	Address netip.Addr `json:"address"`
	Pool    string     `json:"pool,omitempty"`
	// Cluster is the service's.
	Cluster string `json:"cluster"`
	Service string `json:"service"`
	// State is Held, Refused (another has it) or Resting (Service gave it back).
	State string `json:"state"`
	// Named: the service asked for this address.
	Named      bool      `json:"named,omitempty"`
	SharingKey string    `json:"sharingKey,omitempty"`
	Since      time.Time `json:"since"`
}

// Pools returns the pools of the store's own cluster, by name.
func Pools(ctx context.Context, c *etcd.Client) ([]Pool, error) {
	out, _, err := readPools(ctx, c)
	return out, err
}

// readPools returns the pools, and by their names what is stored of them.
func readPools(ctx context.Context, c *etcd.Client) (out []Pool, byName map[string]*clustermesh.Pool, err error) {
	found, err := readAddresses(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	alloc := ipam.New(0)
	alloc.SetPools(found.pools)
	byName = map[string]*clustermesh.Pool{}
	for _, p := range found.pools {
		byName[p.Name] = p
	}
	for _, a := range found.addresses {
		if a.key.Area != clustermesh.Mirror {
			alloc.Learn(a.Address, a.key.Area == clustermesh.Export)
		}
	}
	for _, state := range alloc.Pools() {
		p := byName[state.Name]
		one := Pool{PoolState: state, Scope: "cluster", AutoAssign: p.AutoAssign, AvoidBuggy: p.AvoidBuggy,
			Selects: !p.ServiceSelector.Everything() || !p.NamespaceSelector.Everything()}
		if p.Scope == clustermesh.PoolMesh {
			one.Scope = "mesh"
		}
		for _, r := range p.Ranges {
			one.Ranges = append(one.Ranges, r.First.String()+"-"+r.Last.String())
		}
		out = append(out, one)
	}
	return out, byName, nil
}

// Addresses returns who has and who claims the addresses of pools, in their
// order: our own, and those of the mesh in all clusters.
func Addresses(ctx context.Context, c *etcd.Client) ([]Address, error) {
	found, err := readAddresses(ctx, c)
	if err != nil {
		return nil, err
	}
	var out []Address
	for _, a := range found.addresses {
		one := Address{Address: a.Address.Address, Pool: a.Pool, Cluster: cmp.Or(a.key.Cluster, found.ours)}
		for _, claim := range a.Claims {
			one.Service, one.State, one.Named, one.SharingKey, one.Since = claim.Service.String(), "Held", claim.Named, claim.SharingKey, claim.Since
			if !claim.Holds {
				one.State = "Refused"
			}
			out = append(out, one)
		}
		if !a.Released.IsZero() {
			out = append(out, Address{Address: one.Address, Pool: one.Pool, Cluster: one.Cluster, Service: a.Last.String(), State: "Resting", Since: a.Released})
		}
	}
	slices.SortStableFunc(out, func(a, b Address) int {
		return cmp.Or(a.Address.Compare(b.Address), a.Since.Compare(b.Since), cmp.Compare(a.Cluster, b.Cluster))
	})
	return out, nil
}

// placedAddress is an address and where it lies.
type placedAddress struct {
	*clustermesh.Address
	key clustermesh.Key
}

// foundAddresses are those of a store.
type foundAddresses struct {
	ours      string
	pools     []*clustermesh.Pool
	addresses []placedAddress
}

func readAddresses(ctx context.Context, c *etcd.Client) (foundAddresses, error) {
	var out foundAddresses
	for _, area := range []clustermesh.Area{clustermesh.Export, clustermesh.Private, clustermesh.Mirror} {
		_, err := c.List(ctx, clustermesh.Root+string(area)+"/", func(kv etcd.KV) error {
			k, err := clustermesh.ParseKey(kv.Key)
			if err != nil || k.Kind != clustermesh.KindCluster && k.Kind != clustermesh.KindPools && k.Kind != clustermesh.KindAddresses {
				return nil
			}
			o, err := clustermesh.Decode(k, kv.Value)
			if err != nil {
				return nil // tombolo clusters counts it
			}
			switch o := o.(type) {
			case *clustermesh.Cluster:
				if area == clustermesh.Export {
					out.ours = o.Name
				}
			case *clustermesh.Pool:
				out.pools = append(out.pools, o)
			case *clustermesh.Address:
				out.addresses = append(out.addresses, placedAddress{o, k})
			}
			return nil
		})
		if err != nil {
			return out, err
		}
	}
	return out, nil
}
