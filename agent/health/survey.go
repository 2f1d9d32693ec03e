package health

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
)

// wanted are the kinds of the store that the shell looks at.
var wanted = []clustermesh.Kind{
	clustermesh.KindCluster, clustermesh.KindNodes, clustermesh.KindPeers, clustermesh.KindState, clustermesh.KindDrains,
}

// survey is what the store says of the clusters and their nodes: whom there is to
// watch. It is kept on disk for a start without the store.
type survey struct {
	Version int `json:"version"`
	// Cluster and Node say whose survey it is.
	Cluster  string     `json:"cluster"`
	Node     string     `json:"node"`
	Clusters []surveyed `json:"clusters"`
}

// surveyed is a cluster: Name is its own, As what the view calls it.
type surveyed struct {
	Name string `json:"name"`
	As   string `json:"as"`
	ID   uint16 `json:"id"`
	// Deaf says why its nodes answer no probes of ours, empty when they do.
	Deaf string `json:"deaf,omitempty"`
	// Draining says why it is drained as a whole, empty when it is not.
	Draining string `json:"draining,omitempty"`
	// Seen is when the store said so last.
	Seen  time.Time      `json:"seen"`
	Nodes []surveyedNode `json:"nodes"`

	mirror     Mirror
	remembered bool
}

type surveyedNode struct {
	Name      string         `json:"name"`
	Addresses []netip.Addr   `json:"addresses"`
	PodCIDRs  []netip.Prefix `json:"podCIDRs"`
	Draining  string         `json:"draining,omitempty"`
}

// me returns the node whose survey it is, or nil.
func (s survey) me() *surveyedNode {
	for i := range s.Clusters {
		if c := &s.Clusters[i]; c.As == view.Ours {
			if j := slices.IndexFunc(c.Nodes, func(n surveyedNode) bool { return n.Name == s.Node }); j >= 0 {
				return &c.Nodes[j]
			}
		}
	}
	return nil
}

// look surveys the mesh for a node; false while the own cluster or node is not known.
func look(v *view.View, node string, now time.Time) (survey, bool) {
	self, me := v.Self(), v.Node(view.Ours, node)
	if self == nil || me == nil || !v.Synced(view.Ours, clustermesh.KindNodes) {
		return survey{}, false
	}
	s := survey{Version: surveyVersion, Cluster: self.Name, Node: node}
	stale, _ := v.Stale()
	add := func(as string, c *clustermesh.Cluster) {
		seen := now
		if !stale.IsZero() {
			seen = stale
		}
		s.Clusters = append(s.Clusters, surveyed{
			Name: c.Name, As: as, ID: c.ID, Deaf: deaf(as, c, self.Name), Draining: drained(v, as, c.Name), Seen: seen.UTC(), Nodes: nodesOf(v, as, c.Name),
			mirror: Mirror{v.Follows(as), v.Listings(as)},
		})
	}
	add(view.Ours, self)
	for as := range v.Mirrors() {
		if c := v.Cluster(as); c != nil {
			add(as, c)
		}
	}
	slices.SortFunc(s.Clusters, func(a, b surveyed) int { return strings.Compare(a.As, b.As) })
	return s, true
}

// drainText says since when something is drained, or how far it has come back.
func drainText(d *clustermesh.Drain) string {
	if !d.Returning.IsZero() {
		return fmt.Sprintf("coming back from a drain: %d.%d %% are moved away", d.Moved/10, d.Moved%10)
	}
	return fmt.Sprintf("drained since %s", d.Since.UTC().Format("2006-01-02T15:04:05Z"))
}

// drained says why a cluster is drained as a whole, empty when it is not.
func drained(v *view.View, as, name string) string {
	for d := range v.Drains(as) {
		if d.What == clustermesh.DrainCluster && d.Name == name {
			return drainText(d)
		}
	}
	return ""
}

// nodesOf returns the nodes of a cluster by name, with what drains them.
func nodesOf(v *view.View, as, name string) []surveyedNode {
	drains := map[string]string{}
	for d := range v.Drains(as) {
		if d.What == clustermesh.DrainNode {
			drains[d.Name] = drainText(d)
		}
	}
	all := drained(v, as, name)
	if all != "" {
		all = "its cluster is " + all
	}
	out := []surveyedNode{}
	for n := range v.Nodes(as) {
		known := surveyedNode{Name: n.Name, Addresses: n.Addresses, PodCIDRs: n.PodCIDRs, Draining: all}
		if text := drains[n.Name]; text != "" {
			known.Draining = text
		} else if n.Draining {
			known.Draining = "cordoned"
		}
		out = append(out, known)
	}
	slices.SortFunc(out, func(a, b surveyedNode) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// deaf says why the nodes of a cluster answer no probes of ours: they do that for
// nodes of their peers.
func deaf(as string, c *clustermesh.Cluster, self string) string {
	if as == view.Ours || c.PeersWith(self) {
		return ""
	}
	return fmt.Sprintf("cluster %s has no ClusterPeer %s, so that its nodes do not answer probes from here: add one there", c.Name, self)
}

// same reports whether two surveys know the same, whenever that was.
func (s survey) same(o survey) bool {
	return s.Cluster == o.Cluster && s.Node == o.Node && slices.EqualFunc(s.Clusters, o.Clusters, func(a, b surveyed) bool {
		return a.Name == b.Name && a.As == b.As && a.ID == b.ID && a.Deaf == b.Deaf && a.Draining == b.Draining && a.remembered == b.remembered &&
			slices.EqualFunc(a.Nodes, b.Nodes, func(a, b surveyedNode) bool {
				return a.Name == b.Name && a.Draining == b.Draining && slices.Equal(a.Addresses, b.Addresses) && slices.Equal(a.PodCIDRs, b.PodCIDRs)
			})
	})
}

// remembering returns the survey with the clusters of an older one which the store has
// not listed yet, nor said to be no peers.
func (s survey) remembering(old survey, v *view.View) survey {
	peersKnown := v.Synced(view.Ours, clustermesh.KindPeers)
	for _, c := range old.Clusters {
		listed := v.Cluster(c.As) != nil && v.Synced(c.As, clustermesh.KindNodes)
		if c.As == view.Ours || listed || peersKnown && v.Peers()[c.As] == nil {
			continue
		}
		if i := slices.IndexFunc(s.Clusters, func(o surveyed) bool { return o.As == c.As || o.Name == c.Name }); i >= 0 {
			s.Clusters = slices.Delete(s.Clusters, i, i+1) // listed in part
		}
		s.Clusters = append(s.Clusters, c)
	}
	slices.SortFunc(s.Clusters, func(a, b surveyed) int { return strings.Compare(a.As, b.As) })
	return s
}
