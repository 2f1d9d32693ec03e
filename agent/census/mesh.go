package census

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/agent/pods"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/internal/kept"
)

// take takes a batch in.
func (c *Census) take(ctx context.Context, b view.Batch) {
	changed := c.view.Apply(view.Only(b, kinds...))
	if len(changed.Nodes)+len(changed.Clusters)+len(changed.Peers) == 0 && !changed.Connection {
		return
	}
	self := c.view.Self()
	if self == nil || !c.view.Synced(view.Ours, clustermesh.KindNodes) {
		return // what was known goes on
	}
	c.enroll()
	c.moved = true
	c.own = health.Name{Cluster: self.Name, Node: c.config.Node}
	c.sources = nil
	if me := c.view.Node(view.Ours, c.config.Node); me != nil {
		c.sources = me.Addresses
	}
	c.addresses = map[health.Name][]netip.Addr{}
	stale, _ := c.view.Stale()
	seen := map[string]struct{}{self.Name: {}}
	c.mirrored(ctx, view.Ours, self.Name, stale.IsZero(), stale)
	for name := range c.view.Mirrors() {
		cluster, state := c.view.Cluster(name), c.view.Mirror(name)
		if cluster == nil {
			continue
		}
		seen[cluster.Name] = struct{}{}
		since := stale
		if state != nil && (since.IsZero() || state.Phase != clustermesh.MirrorSynced && state.Since.Before(since)) {
			since = state.Since
		}
		c.mirrored(ctx, name, cluster.Name, c.view.Follows(name), since)
	}
	for name := range c.desk.clusters {
		if _, ok := seen[name]; !ok {
			delete(c.desk.clusters, name)
			c.withdraw(ctx, name)
		}
	}
}

// enroll makes the roster anew.
func (c *Census) enroll() {
	r, err := enroll(c.view)
	c.fault("roster", err)
	if r == nil || r.equal(c.server.roster.Load()) {
		return
	}
	c.server.roster.Store(r)
	if err := kept.Write(c.path(), keptRoster{r.seed, r.keys}); err != nil {
		c.deps.Log.Warn("who may ask about this node's pods is not kept for a restart", "error", err)
	}
}

// mirrored takes in how the mirror of a cluster is, and its nodes; cluster is what
// the view calls it.
func (c *Census) mirrored(ctx context.Context, cluster, name string, fresh bool, since time.Time) {
	nodes := map[string]struct{}{}
	for n := range c.view.Nodes(cluster) {
		nodes[n.Name] = struct{}{}
		c.addresses[health.Name{Cluster: name, Node: n.Name}] = n.Addresses
	}
	count := len(c.desk.withdrawn(name))
	ended := c.desk.mirrored(name, fresh, since, time.Now())
	if c.desk.keep(name, nodes) || ended {
		c.withdraw(ctx, name)
		c.note(health.Event{What: name, From: Withdrew, To: "used",
			Reason: fmt.Sprintf("its mirror is fresh again, and rules: %d endpoints are withdrawn no longer", count-len(c.desk.withdrawn(name)))})
	}
}

// index gathers the endpoints of each node, once for each snapshot.
func (c *Census) index() {
	snap := c.deps.Balanced()
	if snap == c.indexed && c.pairs != nil {
		return
	}
	c.indexed, c.pairs = snap, map[health.Name][]Pair{}
	seen := map[global.Pod]struct{}{}
	for _, s := range snap.Services() {
		for _, e := range s.Input.Exports {
			for _, slice := range e.Slices {
				c.add(e.Cluster, slice, seen)
			}
		}
	}
}

func (c *Census) add(cluster string, s *clustermesh.EndpointSlice, seen map[global.Pod]struct{}) {
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		if e.Node == "" || !pods.ValidUID(e.PodUID) {
			continue // nobody can be asked, or about nobody
		}
		p := global.Pod{Cluster: cluster, Address: e.Address, UID: e.PodUID}
		if _, ok := seen[p]; ok {
			continue
		}
		seen[p] = struct{}{}
		who := health.Name{Cluster: cluster, Node: e.Node}
		c.pairs[who] = append(c.pairs[who], Pair{e.Address, e.PodUID})
	}
}
