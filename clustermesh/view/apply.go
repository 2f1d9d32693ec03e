package view

import (
	"cmp"
	"net/netip"
	"strings"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
)

// Set is a set of keys.
type Set[K comparable] map[K]struct{}

func (s *Set[K]) add(k K) {
	if *s == nil {
		*s = Set[K]{}
	}
	(*s)[k] = struct{}{}
}

// NodeName names a node of a cluster; Ours is our own.
type NodeName struct{ Cluster, Node string }

// Changes says what one batch touched. What is named may have changed, come, or
// gone; what is not named is as it was.
type Changes struct {
	// Services are those whose Input may differ.
	Services Set[clustermesh.ServiceName]
	// Clusters are those that say something else of themselves, whose mirror
	// does, or of which other tables are synced.
	Clusters Set[string]
	Nodes    Set[NodeName]
	Peers    Set[string]
	BGPPeers Set[string]
	// BGPAdvertisements by name.
	BGPAdvertisements Set[string]
	// Addresses are those whose identity may differ, and Identities those whose
	// labels may.
	Addresses  Set[netip.Addr]
	Identities Set[clustermesh.IdentityID]
	// Drains are the clusters that drain something else than before.
	Drains Set[string]
	// Connection is set when the store became stale, or fresh again.
	Connection bool
}

// Apply takes a batch in. It returns what the batch touched; events that Decode
// could not read touch nothing but Invalid.
func (v *View) Apply(b Batch) Changes {
	var c Changes
	v.taken++
	c.Connection = v.stale.IsZero() != b.Stale.IsZero()
	if v.stale.IsZero() && !b.Stale.IsZero() {
		v.doubtMirrors()
	}
	// What comes with the batch that ends it was said while the store was stale, too.
	v.away = !v.stale.IsZero() || !b.Stale.IsZero()
	v.stale, v.err, v.revision = b.Stale, b.Err, b.Revision
	for _, e := range b.Events {
		key, err := clustermesh.ParseKey(e.Key)
		if err != nil {
			// Decode reported it: it reads the same keys.
			v.note(e.Key, cmp.Or(e.Err, err), e.Op)
			continue
		}
		switch e.Op {
		case etcd.Synced, etcd.Unsynced:
			v.sync(key, e.Op == etcd.Synced, &c)
		case etcd.Invalid:
			v.invalid[e.Key] = e.Err
		case etcd.Put, etcd.Delete:
			delete(v.invalid, e.Key)
			v.set(key, e, &c)
		}
	}
	return c
}

// note keeps what is wrong with a key that is not of the layout.
func (v *View) note(key string, err error, op etcd.Op) {
	if op == etcd.Delete {
		delete(v.invalid, key)
		return
	}
	v.invalid[key] = err
}

// place returns where a key lies, made if need be.
func (v *View) place(k clustermesh.Key) *place {
	o := origin{k.Area, k.Cluster}
	p := v.places[o]
	if p == nil {
		p = &place{
			origin:     o,
			nodes:      map[string]entry[*clustermesh.Node]{},
			identities: map[clustermesh.IdentityID]entry[*clustermesh.Identity]{},
			endpoints:  map[netip.Addr]entry[*clustermesh.EndpointIdentity]{},
			drains:     map[string]*clustermesh.Drain{},
			synced:     map[clustermesh.Kind]bool{},
		}
		v.places[o] = p
	}
	return p
}

// tidy forgets a place that holds nothing.
func (v *View) tidy(p *place) {
	if p.cluster == nil && p.state == nil && p.parts+len(p.nodes)+len(p.identities)+len(p.endpoints)+len(p.drains)+len(p.synced) == 0 {
		delete(v.places, p.origin)
	}
}

func (v *View) sync(marker clustermesh.Key, synced bool, c *Changes) {
	p := v.place(marker)
	if synced {
		p.synced[clustermesh.Kind(marker.Name)] = true
		if marker.Area == clustermesh.Private && marker.Name == string(clustermesh.KindPeers) {
			v.peersSeen(c)
		}
	} else {
		delete(p.synced, clustermesh.Kind(marker.Name))
		v.tidy(p)
	}
	c.Clusters.add(marker.Cluster)
}

// set stores the value of a key, or removes it when the event is a deletion,
// whose value is nil.
func (v *View) set(k clustermesh.Key, e etcd.Event[clustermesh.Object], c *Changes) {
	p := v.place(k)
	defer v.tidy(p)
	switch k.Kind {
	case clustermesh.KindCluster:
		p.cluster, _ = e.Value.(*clustermesh.Cluster)
		v.drained = nil
		v.renamed(p, c)
	case clustermesh.KindState:
		s, _ := e.Value.(*clustermesh.MirrorState)
		v.setState(p, s, e.Revision)
		c.Clusters.add(k.Cluster)
	case clustermesh.KindSeal:
		v.seal, _ = e.Value.(*clustermesh.Seal)
		c.Clusters.add(k.Cluster)
	case clustermesh.KindNodes:
		zone := v.zone()
		store(p.nodes, k.Name, e)
		c.Nodes.add(NodeName{k.Cluster, k.Name})
		if v.zone() != zone {
			v.moved(c)
		}
	case clustermesh.KindServices, clustermesh.KindSlices, clustermesh.KindExports:
		name := serviceName(k.Name)
		v.setPart(p, name, k, e, c)
		v.touch(name, c)
	case clustermesh.KindImports:
		name := serviceName(k.Name)
		i, _ := e.Value.(*clustermesh.ServiceImport)
		v.imports.set(name, i)
		c.Services.add(name.ClusterSet())
	case clustermesh.KindIdentities, clustermesh.KindEndpoints:
		p.setIdentity(k, e, c)
	case clustermesh.KindDrains:
		v.setDrain(p, k, e, c)
	case clustermesh.KindPeers:
		was := v.removed(k.Name)
		keep(v.peers, k.Name, e)
		c.Peers.add(k.Name)
		if v.removed(k.Name) != was {
			v.drained = nil
			v.member(k.Name, c)
		}
	case clustermesh.KindBGPPeers:
		keep(v.bgpPeers, k.Name, e)
		c.BGPPeers.add(k.Name)
	case clustermesh.KindBGPAdverts:
		keep(v.adverts, k.Name, e)
		c.BGPAdvertisements.add(k.Name)
	}
}

// renamed marks what a change of a cluster's own name or id touches: every
// service of which it has a part; every service at all when it is ours, for
// ours is compared with all others.
func (v *View) renamed(p *place, c *Changes) {
	c.Clusters.add(p.origin.cluster)
	if p.origin.cluster == Ours {
		for name := range v.Services() {
			c.Services.add(name)
		}
		return
	}
	for name, parts := range v.services {
		if partOf(parts, p) != nil {
			v.touch(name, c)
		}
	}
}

// moved marks what the zone of the reader's node touches: the services that
// prefer near endpoints.
func (v *View) moved(c *Changes) {
	for name := range v.Services() {
		if d := v.Definition(name); d != nil && d.Distribution != clustermesh.Anywhere {
			c.Services.add(name)
		}
	}
}

func (p *place) setIdentity(k clustermesh.Key, e etcd.Event[clustermesh.Object], c *Changes) {
	if k.Kind == clustermesh.KindEndpoints {
		if a, err := netip.ParseAddr(k.Name); err == nil {
			store(p.endpoints, a, e)
			c.Addresses.add(a)
		}
		return
	}
	if id, err := clustermesh.ParseIdentityID(k.Name); err == nil {
		store(p.identities, id, e)
		c.Identities.add(id)
	}
}

// store keeps the object of a put, and removes that of a deletion.
func store[K comparable, T clustermesh.Object](m map[K]entry[T], k K, e etcd.Event[clustermesh.Object]) {
	if o, ok := e.Value.(T); ok {
		m[k] = entry[T]{o, e.Revision}
	} else {
		delete(m, k)
	}
}

// keep is store for what lies in one place only.
func keep[T clustermesh.Object](m map[string]T, k string, e etcd.Event[clustermesh.Object]) {
	if o, ok := e.Value.(T); ok {
		m[k] = o
	} else {
		delete(m, k)
	}
}

// serviceName returns the service that a key of a service or a slice names.
func serviceName(name string) clustermesh.ServiceName {
	namespace, rest, _ := strings.Cut(name, "/")
	service, _, _ := strings.Cut(rest, "/")
	return clustermesh.ServiceName{Namespace: namespace, Name: service}
}
