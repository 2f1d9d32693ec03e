package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tombolo.io/tombolo/deploy/lab/plan"
)

// held is who holds whom for down: by node, the clusters and nodes by their names.
type held map[string]map[string]bool

func (h held) add(by, whom string) {
	if h[by] == nil {
		h[by] = map[string]bool{}
	}
	h[by][whom] = true
}

// wish is who should hold whom for down in the course of a trial.
type wish struct {
	held
	// free may think what they like: they have no power.
	free map[string]bool
}

// readWish reads a wish: "*: west-2; west-2: ?" is every node holding west-2 for
// down but west-2 itself, about which nothing is said. On the left a cluster is
// all of its nodes and a later clause replaces an earlier one; on the right it is
// the cluster itself. An empty wish is nobody by nobody.
func readWish(p plan.Plan, text string) (wish, error) {
	w := wish{held{}, map[string]bool{}}
	for clause := range strings.SplitSeq(text, ";") {
		by, whom, ok := strings.Cut(clause, ":")
		if !ok && strings.TrimSpace(clause) == "" {
			continue
		}
		nodes, err := nodesOf(p, strings.Fields(by))
		if err != nil || !ok {
			return w, fmt.Errorf("reading who is down for whom, %q: %w", clause, cmp.Or(err, fmt.Errorf("it has no colon")))
		}
		for _, n := range nodes {
			delete(w.held, n)
			delete(w.free, n)
			for _, other := range strings.Fields(whom) {
				if other == "?" {
					w.free[n] = true
					continue
				}
				if _, err := nodesOf(p, []string{other}); err != nil {
					return w, err
				}
				w.add(n, other)
			}
		}
	}
	return w, nil
}

// nodesOf returns the nodes that names stand for: *, a cluster, a node.
func nodesOf(p plan.Plan, names []string) (out []string, err error) {
	for _, name := range names {
		before := len(out)
		for _, c := range p.Clusters {
			for _, n := range c.Nodes {
				if name == "*" || name == c.Name || name == n.Name {
					out = append(out, n.Name)
				}
			}
		}
		if len(out) == before {
			return nil, fmt.Errorf("the lab has no %s", name)
		}
	}
	return out, nil
}

// wrong says how what was seen differs from the wish, sorted: every verdict about
// a bystander, and every one that is missing.
func (w wish) wrong(got held) []string {
	var out []string
	compare := func(a, b held, format string) {
		for by, all := range a {
			for whom := range all {
				if !w.free[by] && !b[by][whom] {
					out = append(out, fmt.Sprintf(format, by, whom))
				}
			}
		}
	}
	compare(got, w.held, "%s held %s for down")
	compare(w.held, got, "%s never held %s for down")
	slices.Sort(out)
	return out
}

// String is the notation of a wish.
func (h held) String() string {
	var out []string
	for _, by := range slices.Sorted(maps.Keys(h)) {
		out = append(out, by+": "+strings.Join(slices.Sorted(maps.Keys(h[by])), " "))
	}
	return strings.Join(out, "; ")
}
