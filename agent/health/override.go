package health

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/internal/kept"
)

// Override is a verdict that somebody set by hand. It is kept in the run
// directory until it is cleared.
type Override struct {
	Cluster string                   `json:"cluster"`
	Node    string                   `json:"node,omitempty"`
	State   clustermesh.VerdictState `json:"state,omitempty"`
	Since   time.Time                `json:"since"`
}

type hand struct {
	Override
	done chan error
}

// SetByHand sets a verdict about a cluster or a node, up or down, or clears it
// when the state is empty. A node of another cluster is named cluster/node; one
// whose name only one cluster has may go without.
func (h *Health) SetByHand(ctx context.Context, kind, name string, state clustermesh.VerdictState) error {
	if h.config.Mode == Off {
		return fmt.Errorf("failover is off on this node: start its agent with --failover=on or observe")
	}
	o := Override{State: state}
	switch kind {
	case "cluster":
		o.Cluster = name
	case "node":
		cluster, node, found := strings.Cut(name, "/")
		if o.Cluster, o.Node = cluster, node; !found {
			o.Cluster, o.Node = "", name
		}
	default:
		return fmt.Errorf("%q can have no verdict: want cluster or node", kind)
	}
	x := hand{o, make(chan error, 1)}
	select {
	case h.hands <- x:
		return <-x.done
	case <-ctx.Done():
		return ctx.Err()
	}
}

// byHand does it, in the goroutine of Run.
func (h *Health) byHand(o Override) error {
	if h.machine == nil {
		return fmt.Errorf("the mesh's nodes are not known yet: try again when tombolo status shows the agent ready")
	}
	same := func(x Override) bool { return x.Cluster == o.Cluster && x.Node == o.Node }
	known := slices.ContainsFunc(h.overrides, same) && o.State == ""
	var clusters []string
	for _, t := range h.mesh.targets {
		switch {
		case o.Node == "" && t.Cluster == o.Cluster, o.Node == t.Node && o.Cluster == t.Cluster:
			known = true
		case o.Cluster == "" && o.Node == t.Node:
			clusters = append(clusters, t.Cluster)
		}
	}
	switch {
	case len(clusters) == 1:
		o.Cluster = clusters[0]
	case len(clusters) > 1:
		return fmt.Errorf("node %s is in clusters %s: say which, as CLUSTER/NODE", o.Node, strings.Join(clusters, " and "))
	case !known:
		return fmt.Errorf("no cluster or node %s is known here: tombolo verdict lists them", strings.TrimPrefix(Name{o.Cluster, o.Node}.String(), "/"))
	}
	all := slices.DeleteFunc(slices.Clone(h.overrides), same)
	if o.State != "" {
		o.Since = time.Now().UTC()
		all = append(all, o)
	}
	if err := kept.Write(h.path("verdicts.json"), all); err != nil {
		return err
	}
	h.overrides = all
	h.machine.SetOverride(Name{o.Cluster, o.Node}, o.State)
	return nil
}
