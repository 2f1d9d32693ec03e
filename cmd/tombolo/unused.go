package main

import (
	"fmt"
	"slices"

	"tombolo.io/tombolo/agent"
	"tombolo.io/tombolo/clustermesh/global"
)

// unusedGroup is the endpoints of a cluster that are not used for one reason.
type unusedGroup struct {
	cluster, reason string
	count           int
}

// groupsOf counts endpoints by cluster and reason, in the order of the first of each.
func groupsOf(all []global.Outcome) []unusedGroup {
	var out []unusedGroup
	for i := range all {
		o := &all[i]
		at := slices.IndexFunc(out, func(g unusedGroup) bool { return g.cluster == o.Cluster && g.reason == o.Reason })
		if at < 0 {
			at = len(out)
			out = append(out, unusedGroup{cluster: o.Cluster, reason: o.Reason})
		}
		out[at].count++
	}
	return out
}

// unusedOf says which endpoints a service does not use: each once, whatever number of
// its ports it is behind.
func unusedOf(s agent.Service) []string {
	var all []global.Outcome
	for _, p := range s.Ports {
		for _, o := range p.Unused {
			if !slices.ContainsFunc(all, func(x global.Outcome) bool {
				return x.Cluster == o.Cluster && x.Address == o.Address && x.Reason == o.Reason
			}) {
				all = append(all, o)
			}
		}
	}
	var out []string
	for _, g := range groupsOf(all) {
		out = append(out, fmt.Sprintf("%d of %s: %s", g.count, g.cluster, g.reason))
	}
	return out
}
