package inspect

import (
	"context"
	"fmt"
	"math"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/standing"
	"tombolo.io/tombolo/etcd"
)

// Objects returns how the objects stand that users write for the mesh, by kind
// and name. Values that do not decode count for nothing, as for their readers.
func Objects(ctx context.Context, c *etcd.Client) ([]standing.Object, error) {
	m := standing.Mesh{Mirrors: map[string]*clustermesh.MirrorState{}, Clusters: map[string]*clustermesh.Cluster{}}
	s := objectSurvey{ctx: ctx, client: c}
	m.Peers = below[*clustermesh.Peer](&s, clustermesh.Key{Area: clustermesh.Private, Kind: clustermesh.KindPeers}.Prefix())
	m.BGPPeers = below[*clustermesh.BGPPeer](&s, clustermesh.Key{Area: clustermesh.Private, Kind: clustermesh.KindBGPPeers}.Prefix())
	m.Advertisements = below[*clustermesh.BGPAdvertisement](&s, clustermesh.Key{Area: clustermesh.Private, Kind: clustermesh.KindBGPAdverts}.Prefix())
	if len(m.BGPPeers) > 0 {
		m.Nodes = below[*clustermesh.Node](&s, clustermesh.Key{Area: clustermesh.Export, Kind: clustermesh.KindNodes}.Prefix())
		m.Speakers = below[*clustermesh.ProcessStatus](&s, clustermesh.Root+string(clustermesh.Status)+"/"+clustermesh.RoleSpeaker+"/")
	}
	for _, p := range m.Peers {
		at := clustermesh.Key{Area: clustermesh.Mirror, Cluster: p.Name}
		for _, at.Kind = range []clustermesh.Kind{clustermesh.KindState, clustermesh.KindCluster} {
			switch o := s.get(at).(type) {
			case *clustermesh.MirrorState:
				m.Mirrors[p.Name] = o
			case *clustermesh.Cluster:
				m.Clusters[p.Name] = o
			}
		}
	}
	if s.err == nil {
		m.Pools, s.err = pools(ctx, c)
	}
	if s.err != nil {
		return nil, fmt.Errorf("reading how objects stand: %w", s.err)
	}
	return standing.Of(&m), nil
}

// pools returns how the pools of load-balancer addresses stand.
func pools(ctx context.Context, c *etcd.Client) ([]standing.Pool, error) {
	all, stored, err := readPools(ctx, c)
	var out []standing.Pool
	for _, p := range all {
		size := p.IPv4 + p.IPv6
		if size < p.IPv4 {
			size = math.MaxUint64
		}
		out = append(out, standing.Pool{Pool: stored[p.Name], Conflict: p.Conflict, Size: size, Used: uint64(p.Used)})
	}
	return out, err
}

// objectSurvey reads, until something fails.
type objectSurvey struct {
	ctx    context.Context
	client *etcd.Client
	err    error
}

// below returns the objects of a type below a prefix.
func below[O clustermesh.Object](s *objectSurvey, prefix string) (out []O) {
	if s.err != nil {
		return nil
	}
	_, s.err = s.client.List(s.ctx, prefix, func(kv etcd.KV) error {
		o, err := clustermesh.DecodeAt(kv.Key, kv.Value)
		if err != nil {
			return nil // the status of the API server tells it
		}
		if o, ok := o.(O); ok {
			out = append(out, o)
		}
		return nil
	})
	return out
}

// get returns what lies under a key, nil for nothing that can be read.
func (s *objectSurvey) get(k clustermesh.Key) clustermesh.Object {
	if s.err != nil {
		return nil
	}
	kv, ok, err := s.client.Get(s.ctx, k.String())
	if s.err = err; err != nil || !ok {
		return nil
	}
	o, err := clustermesh.Decode(k, kv.Value)
	if err != nil {
		return nil
	}
	return o
}
