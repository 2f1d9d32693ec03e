package agent

import (
	"fmt"
	"slices"
	"strings"

	"tombolo.io/tombolo/agent/census"
	"tombolo.io/tombolo/internal/control"
)

// Census is what other nodes said of their pods while mirrors were stale.
type Census = census.Snapshot

// absences say what of a census people should know, a line each.
func absences(s *Census) []string {
	if s == nil {
		return nil
	}
	out := slices.Clone(s.Problems)
	clusters, some := countWithdrawn(s)
	for _, name := range clusters {
		n := some[name]
		text := "1 endpoint of cluster " + name + " is withdrawn"
		switch {
		case s.Observed:
			text = fmt.Sprintf("only observed: %d of the endpoints of cluster %s would be withdrawn", len(n), name)
		case len(n) > 1:
			text = fmt.Sprintf("%d endpoints of cluster %s are withdrawn", len(n), name)
		}
		said := listed(len(n), func(i int) string { return fmt.Sprintf("%v, for %s", n[i].Address, n[i].Reason) })
		out = append(out, text+" until its mirror is fresh again: "+strings.Join(said, "; "))
	}
	return out
}

// countWithdrawn groups what is withdrawn by clusters, in their order.
func countWithdrawn(s *Census) (clusters []string, by map[string][]census.Withdrawn) {
	by = map[string][]census.Withdrawn{}
	for _, w := range s.Withdrawn {
		if by[w.Cluster] == nil {
			clusters = append(clusters, w.Cluster)
		}
		by[w.Cluster] = append(by[w.Cluster], w)
	}
	return clusters, by
}

// censusSamples are the metrics of asking and answering.
func censusSamples(s *Census) []control.Sample {
	if s == nil {
		return nil
	}
	var out []control.Sample
	clusters, by := countWithdrawn(s)
	if s.Observed {
		clusters = nil // nothing left
	}
	for _, name := range clusters {
		out = append(out, control.Sample{Name: "tombolo_census_withdrawn", Help: "Endpoints of a cluster that left the tables on the word of their nodes.",
			Value: float64(len(by[name])), Labels: []string{"cluster", name}})
	}
	for _, n := range []struct {
		outcome string
		value   uint64
	}{{"answered", s.Asked.Answered}, {"failed", s.Asked.Failed}} {
		out = append(out, control.Sample{Name: "tombolo_census_asked_total", Help: "What became of questions to other nodes.",
			Counter: true, Value: float64(n.value), Labels: []string{"outcome", n.outcome}})
	}
	for _, n := range []struct {
		outcome string
		value   uint64
	}{{"answered", s.Answered}, {"refused", s.Refused}} {
		out = append(out, control.Sample{Name: "tombolo_census_questions_total", Help: "What became of questions of other nodes.",
			Counter: true, Value: float64(n.value), Labels: []string{"outcome", n.outcome}})
	}
	return out
}
