package inspect

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
)

// Identity is a set of labels with its number and how many addresses have it.
type Identity struct {
	ID        clustermesh.IdentityID `json:"id"`
	Cluster   string                 `json:"cluster"`
	Labels    map[string]string      `json:"labels"`
	Addresses int                    `json:"addresses"`
}

// Holder is an address with its identity. Labels are missing when the store
// does not say what the number means.
type Holder struct {
	Address  netip.Addr             `json:"address"`
	Cluster  string                 `json:"cluster"`
	Identity clustermesh.IdentityID `json:"identity"`
	Labels   map[string]string      `json:"labels,omitempty"`
	Pod      string                 `json:"pod,omitempty"`
	PodUID   string                 `json:"podUID,omitempty"`
	Node     string                 `json:"node,omitempty"`
}

// Identities returns the identities of all clusters that a store knows, by number.
func Identities(ctx context.Context, c *etcd.Client) ([]Identity, error) {
	found, err := readIdentities(ctx, c)
	if err != nil {
		return nil, err
	}
	for _, h := range found.holders {
		if i := found.byID[h.Identity]; i != nil {
			i.Addresses++
		}
	}
	var out []Identity
	for _, id := range slices.Sorted(maps.Keys(found.byID)) {
		out = append(out, *found.byID[id])
	}
	return out, nil
}

// IdentityOf returns the identity of an address in each cluster that knows it,
// which is one unless two claim it; ErrNotFound when none does.
func IdentityOf(ctx context.Context, c *etcd.Client, a netip.Addr) ([]Holder, error) {
	a = a.Unmap()
	found, err := readIdentities(ctx, c)
	if err != nil {
		return nil, err
	}
	var out []Holder
	for _, h := range found.holders {
		if h.Address != a {
			continue
		}
		if i := found.byID[h.Identity]; i != nil {
			h.Labels = i.Labels
		}
		out = append(out, h)
	}
	if out == nil {
		return nil, fmt.Errorf("looking for %s: no pod of the mesh has this address: %w", a, ErrNotFound)
	}
	return out, nil
}

// identities are those of a store, as they are stored.
type identities struct {
	byID    map[clustermesh.IdentityID]*Identity
	holders []Holder
}

func readIdentities(ctx context.Context, c *etcd.Client) (identities, error) {
	out := identities{byID: map[clustermesh.IdentityID]*Identity{}}
	ours := ""
	for _, area := range []clustermesh.Area{clustermesh.Export, clustermesh.Mirror} {
		_, err := c.List(ctx, clustermesh.Root+string(area)+"/", func(kv etcd.KV) error {
			k, err := clustermesh.ParseKey(kv.Key)
			if err != nil {
				return nil
			}
			o, err := clustermesh.Decode(k, kv.Value)
			if err != nil {
				return nil // tombolo clusters counts it
			}
			cluster := cmp.Or(k.Cluster, ours)
			switch o := o.(type) {
			case *clustermesh.Cluster: // the first key of export/
				if k.Area == clustermesh.Export {
					ours = o.Name
				}
			case *clustermesh.Identity:
				out.byID[o.ID] = &Identity{ID: o.ID, Cluster: cluster, Labels: o.Labels}
			case *clustermesh.EndpointIdentity:
				out.holders = append(out.holders, Holder{
					Address: o.Address, Cluster: cluster, Identity: o.Identity, Pod: o.Pod, PodUID: o.PodUID, Node: o.Node,
				})
			}
			return nil
		})
		if err != nil {
			return identities{}, err
		}
	}
	return out, nil
}
