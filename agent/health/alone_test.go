package health

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// beside are the clusters beside one that hears no other: none, or one that is dead.
var beside = map[string][]int{"alone": nil, "beside a dead cluster": {3}}

// newLoneWorld is a cluster a of so many nodes that hears no other.
func newLoneWorld(t *testing.T, nodes int, others []int) *world {
	w := newWorld(t, nodes, append([]int{nodes}, others...)...)
	w.settle()
	for i := range others {
		for j := range others[i] {
			w.agents[node1(string(rune('b'+i)), j+1)].dead = true
		}
	}
	w.run(3 * time.Second)
	w.changes = nil
	return w
}

// missed reports whether one of those who watch a node of a lives to miss it.
func (w *world) missed(i int) bool {
	return slices.ContainsFunc(obviousWatchers(w.membersOf("a"), node1("a", i), DefaultKnobs().Watchers, true), func(name string) bool {
		return !w.agents[Name{"a", name}].dead
	})
}

// die has nodes of a die at once, and holds that all that live know it within a second,
// of those who are missed.
func (w *world) die(all ...int) (worst time.Duration) {
	w.Helper()
	began, late := w.since(), 0
	for _, i := range all {
		w.agents[node1("a", i)].dead = true
	}
	w.run(1500 * time.Millisecond)
	for _, i := range slices.DeleteFunc(slices.Clone(all), func(i int) bool { return !w.missed(i) }) {
		downs := w.downs(node1("a", i))
		for _, name := range w.membersOf("a") {
			if a := w.agents[Name{"a", name}]; !a.dead {
				at, ok := downs[a.name]
				if !ok || at-began > time.Second {
					late++
				}
				worst = max(worst, at-began)
			}
		}
	}
	if late > 0 {
		w.Errorf("%d verdicts about %v came late or not at all", late, all)
	}
	return worst
}

// from returns the numbers from first to last.
func from(first, last int) (out []int) {
	for i := first; i <= last; i++ {
		out = append(out, i)
	}
	return out
}

// Nodes of a cluster that hears no other die one by one: who fell before says nothing of
// now, and the living whom this node does not watch are asked.
func TestDeathsAlone(t *testing.T) {
	pause := map[bool]time.Duration{false: 15 * time.Second, true: 3 * time.Second}[raced]
	for name, others := range beside {
		t.Run(name, func(t *testing.T) {
			w := newLoneWorld(t, 30, others)
			var worst time.Duration
			for i := range from(1, 12) {
				worst = max(worst, w.die(i+1))
				w.run(pause - 1500*time.Millisecond)
			}
			t.Logf("worst %v", worst)
			w.noDowns(among("a", from(1, 12))...)
		})
	}
}

// among are nodes of a cluster.
func among(cluster string, all []int) (out []Name) {
	for _, i := range all {
		out = append(out, node1(cluster, i))
	}
	return out
}

// Many die at once, and fewer than live: also where not all can be asked.
func TestManyDieAtOnceAlone(t *testing.T) {
	for _, c := range []struct{ dead, of int }{{1, 4}, {3, 9}, {10, 30}, {14, 30}, {22, 66}} {
		for name, others := range beside {
			if raced && c.of > 50 {
				continue
			}
			t.Run(fmt.Sprintf("%d of %d, %s", c.dead, c.of, name), func(t *testing.T) {
				w := newLoneWorld(t, c.of, others)
				t.Logf("worst %v", w.die(from(1, c.dead)...))
				w.run(3 * time.Second)
				w.noDowns(among("a", from(1, c.dead))...)
			})
		}
	}
}

// Many die of a large cluster, and fewer than live, of which more are suspect than others
// can be asked: of those compared they are as many. Then the uplink breaks of who judges, who asks
// no more than the budget allows.
func TestLargeClusterAlone(t *testing.T) {
	nodes, dead := 600, 200
	if raced {
		nodes, dead = 200, 80
	}
	w := newWorld(t, 1, nodes)
	w.settle()
	a := w.agents[node1("a", 1)]
	w.run(40 * time.Second) // past the first round
	for i := range from(1, dead) {
		n := w.agents[node1("a", 2+i)]
		n.dead = true
		report := Report{Name: n.name, State: Suspected}.Append(nil)
		var say func()
		say = func() {
			a.inbox.Gossip = append(a.inbox.Gossip, Message{node1("a", nodes).Node, report})
			w.step(a)
			w.at(time.Second, say)
		}
		w.at(time.Duration(200+w.random.IntN(200))*time.Millisecond, say)
	}
	w.run(10 * time.Second)
	if _, in := a.machine.Blind(); in != 0 {
		t.Error("it takes itself for isolated")
	}
	for i := range from(1, dead) {
		if got := w.state(a.name, node1("a", 2+i)); got != clustermesh.VerdictDown {
			t.Errorf("a-%d is %v", 2+i, got)
		}
	}
	w.noDowns(among("a", from(2, dead+1))...)
	w.changes, a.sent = nil, 0
	w.lost = func(from, to Name, _ Kind) bool { return from == a.name || to == a.name }
	w.run(10 * time.Second)
	w.isBlind(a.name)
	budget := a.machine.knobs.Budget
	t.Logf("cut off it sends %d probes a second", a.sent/10)
	if most := 10 * (budget + budget/2); a.sent > most {
		t.Errorf("cut off it sent %d probes in 10 s, want %d at most", a.sent, most)
	}
}

// More than half are dead for long when one more dies, and then an uplink breaks: all know
// of the death, and who hears nobody judges nobody.
func TestIsolatedAmongTheDead(t *testing.T) {
	for name, others := range beside {
		t.Run(name, func(t *testing.T) {
			w := newLoneWorld(t, 30, others)
			for i := range from(1, 16) {
				w.die(i + 1)
			}
			w.run(5 * time.Second)
			w.die(17)
			w.noDowns(among("a", from(1, 17))...)
			w.run(5 * time.Second)
			w.changes = nil
			broken := node1("a", 30)
			w.lost = func(from, to Name, _ Kind) bool { return from == broken || to == broken }
			w.run(10 * time.Second)
			w.isBlind(broken)
			w.noDowns(broken)
			w.lost = func(Name, Name, Kind) bool { return false }
			w.run(3 * time.Second)
			if _, in := w.agents[broken].machine.Blind(); in != 0 {
				t.Error("it is blind for ever")
			}
			w.die(18)
			w.noDowns(broken, node1("a", 18))
		})
	}
}

// isBlind holds that a node hears nobody, and called nobody down.
func (w *world) isBlind(who Name) {
	w.Helper()
	if _, in := w.agents[who].machine.Blind(); in != clustermesh.IPv4 {
		w.Errorf("%v does not know that it is blind", who)
	}
	for _, c := range w.changes {
		if c.who == who && c.State == clustermesh.VerdictDown {
			w.Errorf("%v says at %v that %v is down", who, c.at, Name{c.Cluster, c.Node})
		}
	}
}

// A cluster that hears no other breaks in two: the larger part judges, the smaller one is
// blind until all is mended.
func TestSplitAlone(t *testing.T) {
	for name, others := range beside {
		t.Run(name, func(t *testing.T) {
			w := newLoneWorld(t, 30, others)
			smaller := among("a", from(1, 12))
			w.lost = func(from, to Name, _ Kind) bool {
				return slices.Contains(smaller, from) != slices.Contains(smaller, to)
			}
			w.run(5 * time.Second)
			for _, who := range smaller {
				w.isBlind(who)
				if got := len(w.downs(who)); got != 18 {
					t.Errorf("%v is down for %d of 18", who, got)
				}
			}
			w.noDowns(smaller...)
			w.lost = func(Name, Name, Kind) bool { return false }
			w.run(time.Second)
			for _, who := range smaller {
				if _, in := w.agents[who].machine.Blind(); in != 0 {
					t.Errorf("%v is blind for ever", who)
				}
			}
		})
	}
}
