package inspect

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
)

// Cluster is a cluster of the mesh as one store knows it.
type Cluster struct {
	Name string `json:"name"`
	// ID is zero while the cluster did not say who it is.
	ID uint16 `json:"id,omitempty"`
	// Phase is that of its mirror; that of the store's own cluster is Ours.
	Phase string `json:"phase"`
	// Reason says why the phase is not better, Since when it began.
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	// Unsynced are the tables that nobody vouches for: readers keep what they
	// had of them.
	Unsynced []clustermesh.Kind `json:"unsynced,omitempty"`

	PodCIDRs     []netip.Prefix `json:"podCIDRs,omitempty"`
	NodeCIDRs    []netip.Prefix `json:"nodeCIDRs,omitempty"`
	ServiceCIDRs []netip.Prefix `json:"serviceCIDRs,omitempty"`

	Nodes      int `json:"nodes"`
	Services   int `json:"services"`
	Endpoints  int `json:"endpoints"`
	Identities int `json:"identities"`
	// Invalid counts values that do not decode.
	Invalid int `json:"invalid,omitempty"`
}

// PhaseOurs is the phase of the cluster that the store belongs to.
const PhaseOurs = "Ours"

// Clusters returns the cluster of a store, first, and its peers by name.
func Clusters(ctx context.Context, c *etcd.Client) ([]Cluster, error) {
	epoch, _, err := c.Get(ctx, clustermesh.EpochKey)
	if err != nil {
		return nil, err
	}
	s := survey{epoch: string(epoch.Value), clusters: map[string]*Cluster{}, marked: map[string]map[clustermesh.Kind]bool{}}
	for _, area := range []clustermesh.Area{clustermesh.Export, clustermesh.Private, clustermesh.Mirror} {
		if _, err := c.List(ctx, clustermesh.Root+string(area)+"/", s.see); err != nil {
			return nil, err
		}
	}
	return s.result(), nil
}

// survey counts what a store holds of each cluster; our own has no name here.
type survey struct {
	epoch    string
	clusters map[string]*Cluster
	// marked are the tables that a marker of this epoch vouches for.
	marked map[string]map[clustermesh.Kind]bool
}

func (s *survey) cluster(name string) *Cluster {
	c := s.clusters[name]
	if c == nil {
		c = &Cluster{Name: name, Phase: string(clustermesh.MirrorConnecting)}
		s.clusters[name], s.marked[name] = c, map[clustermesh.Kind]bool{}
	}
	return c
}

func (s *survey) see(kv etcd.KV) error {
	k, err := clustermesh.ParseKey(kv.Key)
	if err != nil {
		return nil // not of the layout: tombolo store ls shows it
	}
	c := s.cluster(k.Cluster)
	o, err := clustermesh.Decode(k, kv.Value)
	if err != nil {
		c.Invalid++
		return nil
	}
	switch o := o.(type) {
	case *clustermesh.Cluster:
		c.ID, c.PodCIDRs, c.NodeCIDRs, c.ServiceCIDRs = o.ID, o.PodCIDRs, o.NodeCIDRs, o.ServiceCIDRs
		if k.Area == clustermesh.Export {
			c.Name, c.Phase = o.Name, PhaseOurs
		}
	case *clustermesh.MirrorState:
		c.Phase, c.Reason, c.Since = string(o.Phase), o.Reason, o.Since
		if c.ID == 0 {
			c.ID = o.Cluster.ID // of one that was refused
		}
	case *clustermesh.Peer:
		s.cluster(o.Name)
	case *clustermesh.Synced:
		if o.Epoch == s.epoch {
			s.marked[k.Cluster][clustermesh.Kind(string(k.Area)+"/"+k.Name)] = true
		}
	case *clustermesh.Node:
		c.Nodes++
	case *clustermesh.Service:
		c.Services++
	case *clustermesh.EndpointSlice:
		c.Endpoints += len(o.Endpoints)
	case *clustermesh.Identity:
		c.Identities++
	}
	return nil
}

func (s *survey) result() []Cluster {
	var out []Cluster
	for name, c := range s.clusters {
		areas := []clustermesh.Area{clustermesh.Mirror}
		if name == "" {
			areas = []clustermesh.Area{clustermesh.Export, clustermesh.Private}
		}
		for _, area := range areas {
			for _, kind := range clustermesh.Tables(area) {
				if !s.marked[name][clustermesh.Kind(string(area)+"/"+string(kind))] {
					c.Unsynced = append(c.Unsynced, kind)
				}
			}
		}
		slices.Sort(c.Unsynced)
		c.Unsynced = slices.Compact(c.Unsynced)
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b Cluster) int {
		return cmp.Or(cmp.Compare(truth(b.Phase == PhaseOurs), truth(a.Phase == PhaseOurs)), cmp.Compare(a.Name, b.Name))
	})
	return out
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}
