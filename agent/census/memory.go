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

// memory is whom there is to ask and about what, on disk: for an agent that starts
// while the store is away. The maps that it finds lead to addresses alone; this says
// which pods those were.
type memory struct {
	Version int `json:"version"`
	// Cluster and Node name this node, Sources are its addresses.
	Cluster string       `json:"cluster"`
	Node    string       `json:"node"`
	Sources []netip.Addr `json:"sources"`
	Nodes   []remembered `json:"nodes"`
}

// remembered is a node and its pods that are balanced here.
type remembered struct {
	Cluster   string       `json:"cluster"`
	Node      string       `json:"node"`
	Addresses []netip.Addr `json:"addresses"`
	Pairs     []Pair       `json:"pods,omitempty"`
}

// memoryFile has it, below the run directory.
const (
	memoryFile    = "census-pods.json"
	memoryVersion = 1
)

// It is written memoryAfter a change at the earliest, and so seldom that it takes at
// most a part in memoryShare of the time: 100,000 pods are 8 MB.
const (
	memoryAfter = time.Second
	memoryShare = 20
)

// memorize returns what is to be kept of what is known now.
func (c *Census) memorize() *memory {
	m := &memory{Version: memoryVersion, Cluster: c.own.Cluster, Node: c.own.Node, Sources: c.sources}
	for name, addresses := range c.addresses {
		m.Nodes = append(m.Nodes, remembered{name.Cluster, name.Node, addresses, c.pairs[name]})
	}
	slices.SortFunc(m.Nodes, func(a, b remembered) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Node, b.Node))
	})
	return m
}

func (m *memory) equal(o *memory) bool {
	return m != nil && o != nil && m.Cluster == o.Cluster && m.Node == o.Node && slices.Equal(m.Sources, o.Sources) &&
		slices.EqualFunc(m.Nodes, o.Nodes, func(a, b remembered) bool {
			return a.Cluster == b.Cluster && a.Node == b.Node && slices.Equal(a.Addresses, b.Addresses) && slices.Equal(a.Pairs, b.Pairs)
		})
}

// remember keeps what is known, if it is time and something is new.
func (c *Census) remember(now time.Time) {
	snap := c.deps.Balanced()
	if now.Before(c.rememberAt) || !snap.Synced || c.own.Node == "" || snap == c.rememberedOf && !c.moved {
		return
	}
	c.index()
	c.rememberedOf, c.moved = snap, false
	c.keep(c.memorize())
	c.rememberAt = now.Add(max(memoryAfter, memoryShare*time.Since(now)))
}

// keep writes what is not on disk yet. What cannot be kept is removed: an older one
// would name pods whose addresses are others' by now.
func (c *Census) keep(m *memory) {
	if m.equal(c.kept) {
		return
	}
	c.kept = m
	if err := kept.Write(c.memoryPath(), m); err != nil {
		c.kept = nil
		c.deps.Log.Warn("which pods other nodes run is not kept for a restart", "error", errors.Join(err, os.Remove(c.memoryPath())))
	}
}

func (c *Census) memoryPath() string { return filepath.Join(c.config.RunDir, memoryFile) }

// recollect takes in what was kept before a restart. It is used until the store has
// named the endpoints.
func (c *Census) recollect() error {
	m, ok, err := kept.Read[memory](c.memoryPath())
	switch {
	case err != nil || !ok:
		return err
	case m.Version != memoryVersion || m.Node != c.config.Node:
		return fmt.Errorf("reading %s: it is of version %d and node %q, want %d and %q", c.memoryPath(), m.Version, m.Node, memoryVersion, c.config.Node)
	}
	c.own, c.sources = health.Name{Cluster: m.Cluster, Node: m.Node}, m.Sources
	c.addresses, c.pairs = map[health.Name][]netip.Addr{}, map[health.Name][]Pair{}
	for _, n := range m.Nodes {
		who := health.Name{Cluster: n.Cluster, Node: n.Node}
		c.addresses[who], c.pairs[who] = n.Addresses, n.Pairs
	}
	c.kept, c.recalled = &m, true
	return nil
}

// spare takes those out of what is to be withdrawn from the maps alone, where nothing
// but addresses is known, who are at a node's own: others of its pods are there too.
func (c *Census) spare(gone map[global.Pod]string) {
	hosts := map[netip.Addr]struct{}{}
	for all := range maps.Values(c.addresses) {
		for _, a := range all {
			hosts[a] = struct{}{}
		}
	}
	maps.DeleteFunc(gone, func(p global.Pod, _ string) bool {
		_, is := hosts[p.Address]
		return is
	})
}
