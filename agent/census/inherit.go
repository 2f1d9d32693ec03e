package census

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/clustermesh/global"
	"tombolo.io/tombolo/internal/kept"
)

// legacy is what is withdrawn, on disk: a store whose mirror is stale still lists it, and
// an agent that starts would lead to it until its node has answered again.
type legacy struct {
	Version int        `json:"version"`
	Node    string     `json:"node"` // this one
	Nodes   []deceased `json:"nodes"`
}

// deceased are the pods of a node that ended, by its word.
type deceased struct {
	Cluster string `json:"cluster"`
	Node    string `json:"node"`
	Pods    []gone `json:"pods"`
}

type gone struct {
	Address netip.Addr `json:"address"`
	UID     string     `json:"uid"`
	Reason  string     `json:"reason"`
}

// legacyFile has it, below the run directory.
const (
	legacyFile    = "census-withdrawn.json"
	legacyVersion = 1
)

func (c *Census) legacyPath() string { return filepath.Join(c.config.RunDir, legacyFile) }

// Inherit takes in what an earlier process withdrew, and returns it for the balancer. It
// stays withdrawn until its node says another thing, or the mirror is fresh. It is to be
// called before Run.
func (c *Census) Inherit() map[global.Pod]string {
	l, err := c.readLegacy()
	if err != nil {
		c.deps.Log.Warn("which pods of other clusters ended is not known until their nodes say so again", "error", err)
	}
	all := map[global.Pod]string{}
	for _, n := range l.Nodes {
		pods := map[global.Pod]string{}
		for _, p := range n.Pods {
			pods[global.Pod{Cluster: n.Cluster, Address: p.Address, UID: p.UID}] = p.Reason
		}
		c.desk.node(health.Name{Cluster: n.Cluster, Node: n.Node}).gone = pods
		maps.Copy(all, pods)
	}
	if len(all) > 0 {
		c.deps.Log.Info("pods stay withdrawn that were so before", "count", len(all))
	}
	c.bequeathed = l.Nodes
	return all
}

func (c *Census) readLegacy() (legacy, error) {
	if c.config.Observe {
		if err := os.Remove(c.legacyPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
			return legacy{}, fmt.Errorf("forgetting what was withdrawn: %w", err)
		}
		return legacy{}, nil
	}
	l, ok, err := kept.Read[legacy](c.legacyPath())
	if err == nil && ok && (l.Version != legacyVersion || l.Node != c.config.Node) {
		err = fmt.Errorf("reading %s: it is of version %d and node %q, want %d and %q", c.legacyPath(), l.Version, l.Node, legacyVersion, c.config.Node)
	}
	if err != nil {
		return legacy{}, err
	}
	return l, nil
}

// bequeath keeps on disk what is withdrawn, if it is time and something is new. What
// cannot be kept is removed: an older one would name pods that live after all.
func (c *Census) bequeath(now time.Time) {
	if !c.willChanged || now.Before(c.bequeathAt) {
		return
	}
	c.willChanged = false
	nodes := c.desk.deceased()
	if slices.EqualFunc(nodes, c.bequeathed, deceased.equal) {
		return
	}
	c.bequeathed = nodes
	if err := kept.Write(c.legacyPath(), legacy{legacyVersion, c.config.Node, nodes}); err != nil {
		c.deps.Log.Warn("which pods of other clusters ended is not kept for a restart", "error", errors.Join(err, os.Remove(c.legacyPath())))
	}
	c.bequeathAt = now.Add(memoryShare * time.Since(now))
}

func (d deceased) equal(o deceased) bool {
	return d.Cluster == o.Cluster && d.Node == o.Node && slices.Equal(d.Pods, o.Pods)
}

// deceased returns the pods that ended, by their nodes, in order.
func (d *desk) deceased() (all []deceased) {
	for cluster, c := range d.clusters {
		for node, n := range c.nodes {
			if len(n.gone) == 0 {
				continue
			}
			pods := make([]gone, 0, len(n.gone))
			for p, reason := range n.gone {
				pods = append(pods, gone{p.Address, p.UID, reason})
			}
			slices.SortFunc(pods, func(a, b gone) int { return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.UID, b.UID)) })
			all = append(all, deceased{cluster, node, pods})
		}
	}
	slices.SortFunc(all, func(a, b deceased) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Node, b.Node))
	})
	return all
}
