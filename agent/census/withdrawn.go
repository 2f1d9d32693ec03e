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

// keptWithdrawn is what is withdrawn, on disk: a store whose mirror is stale still lists
// it, and an agent that starts would lead to it until its node has answered again.
type keptWithdrawn struct {
	Version int           `json:"version"`
	Node    string        `json:"node"` // this one
	Nodes   []withdrawnOf `json:"nodes"`
}

// withdrawnOf are the pods of a node that ended, by its word.
type withdrawnOf struct {
	Cluster string         `json:"cluster"`
	Node    string         `json:"node"`
	Pods    []withdrawnPod `json:"pods"`
}

type withdrawnPod struct {
	Address netip.Addr `json:"address"`
	UID     string     `json:"uid"`
	Reason  string     `json:"reason"`
}

// withdrawnFile has it, below the run directory.
const (
	withdrawnFile    = "census-withdrawn.json"
	withdrawnVersion = 1
)

func (c *Census) withdrawnPath() string { return filepath.Join(c.config.RunDir, withdrawnFile) }

// Inherit takes in what an earlier process withdrew, and returns it for the balancer. It
// stays withdrawn until its node says another thing, or the mirror is fresh. It is to be
// called before Run.
func (c *Census) Inherit() map[global.Pod]string {
	l, err := c.readWithdrawn()
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
	c.withdrawnKept = l.Nodes
	return all
}

func (c *Census) readWithdrawn() (keptWithdrawn, error) {
	if c.config.Observe {
		if err := os.Remove(c.withdrawnPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
			return keptWithdrawn{}, fmt.Errorf("forgetting what was withdrawn: %w", err)
		}
		return keptWithdrawn{}, nil
	}
	l, ok, err := kept.Read[keptWithdrawn](c.withdrawnPath())
	if err == nil && ok && (l.Version != withdrawnVersion || l.Node != c.config.Node) {
		err = fmt.Errorf("reading %s: it is of version %d and node %q, want %d and %q", c.withdrawnPath(), l.Version, l.Node, withdrawnVersion, c.config.Node)
	}
	if err != nil {
		return keptWithdrawn{}, err
	}
	return l, nil
}

// keepWithdrawn keeps on disk what is withdrawn, if it is time and something is new. What
// cannot be kept is removed: an older one would name pods that live after all.
func (c *Census) keepWithdrawn(now time.Time) {
	if !c.withdrawnMoved || now.Before(c.withdrawnAt) {
		return
	}
	c.withdrawnMoved = false
	nodes := c.desk.withdrawnOf()
	if slices.EqualFunc(nodes, c.withdrawnKept, withdrawnOf.equal) {
		return
	}
	c.withdrawnKept = nodes
	if err := kept.Write(c.withdrawnPath(), keptWithdrawn{withdrawnVersion, c.config.Node, nodes}); err != nil {
		c.deps.Log.Warn("which pods of other clusters ended is not kept for a restart", "error", errors.Join(err, os.Remove(c.withdrawnPath())))
	}
	c.withdrawnAt = now.Add(memoryShare * time.Since(now))
}

func (d withdrawnOf) equal(o withdrawnOf) bool {
	return d.Cluster == o.Cluster && d.Node == o.Node && slices.Equal(d.Pods, o.Pods)
}

// withdrawnOf returns the pods that ended, by their nodes, in order.
func (d *desk) withdrawnOf() (all []withdrawnOf) {
	for cluster, c := range d.clusters {
		for node, n := range c.nodes {
			if len(n.gone) == 0 {
				continue
			}
			pods := make([]withdrawnPod, 0, len(n.gone))
			for p, reason := range n.gone {
				pods = append(pods, withdrawnPod{p.Address, p.UID, reason})
			}
			slices.SortFunc(pods, func(a, b withdrawnPod) int { return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.UID, b.UID)) })
			all = append(all, withdrawnOf{cluster, node, pods})
		}
	}
	slices.SortFunc(all, func(a, b withdrawnOf) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Node, b.Node))
	})
	return all
}
