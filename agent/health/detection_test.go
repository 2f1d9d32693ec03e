package health

import (
	"slices"
	"testing"
	"time"
)

// How soon a node of another cluster that dies is down everywhere in ours, by how many
// clusters of how many nodes there are: who watches more asks more seldom, within the
// budget. docs/failover.md has the table, without which nobody would know.
func TestDetection(t *testing.T) {
	for _, c := range []struct {
		clusters, nodes int
		dual            bool
	}{
		{2, 3, false}, {5, 3, false}, {10, 3, false}, {20, 3, false},
		{2, 20, false}, {10, 20, false}, {20, 20, false},
		{2, 3, true}, {5, 3, true}, {10, 3, true}, {20, 3, true},
		{2, 20, true}, {10, 20, true}, {20, 20, true},
	} {
		if raced && c.clusters*c.nodes > 100 {
			continue
		}
		sizes := slices.Repeat([]int{c.nodes}, c.clusters)
		w := makeWorld(t, DefaultKnobs(), c.dual, 0, sizes...)
		for i := range c.nodes { // only ours judge
			a := w.agents[node1("a", i+1)]
			a.machine = NewMachine(DefaultKnobs(), a.name)
			w.restart(a)
		}
		w.settle()
		var all []time.Duration
		var interval, expected time.Duration
		watched := 0
		for i := 1; i <= 3; i++ {
			dead := node1(string(rune('a'+c.clusters-1)), i)
			if i > 1 && c.clusters > 2 {
				dead = node1(string(rune('a'+i-1)), i)
			}
			began := w.since()
			w.agents[dead].dead = true
			w.run(1500 * time.Millisecond)
			downs := w.downs(dead)
			if len(downs) != c.nodes {
				t.Errorf("%+v: %d know of %v", c, len(downs), dead)
			}
			for _, at := range downs {
				all = append(all, at-began)
			}
			w.run(time.Duration(i*37) * time.Millisecond)
		}
		for i := range c.nodes {
			m := w.agents[node1("a", i+1)].machine
			interval, expected = max(interval, m.interval), max(expected, m.Expected())
			here := 0
			for _, n := range m.nodes {
				if n.watched {
					here++
				}
			}
			watched = max(watched, here)
		}
		slices.Sort(all)
		median, worst := all[len(all)/2], all[len(all)-1]
		t.Logf("%d clusters of %d nodes, both families %v: %d watched, interval %v, expected %v, median %v, worst %v",
			c.clusters, c.nodes, c.dual, watched, interval, expected, median, worst)
		if gossip := 100 * time.Millisecond; worst > expected+gossip {
			t.Errorf("%+v: worst %v, expected %v", c, worst, expected)
		}
	}
}
