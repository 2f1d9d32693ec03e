package health

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// What it costs: packets that a node sends a second, by the size of its cluster,
// beside which is another as large. One agent of each size is run, and hears of
// others what they would say; docs/failover.md has the table. Nodes with both families
// cost twice as much, within the budget.
func TestCost(t *testing.T) {
	for _, c := range []struct {
		dual              bool
		nodes, calm, loss int
	}{
		{false, 20, 300, 800}, {false, 200, 300, 2400}, {false, 2000, 700, 3400},
		{true, 20, 600, 1600}, {true, 200, 600, 3400}, {true, 2000, 1400, 4200},
	} {
		if raced && c.nodes > 200 {
			continue
		}
		w := makeWorld(t, DefaultKnobs(), c.dual, 1, c.nodes, c.nodes)
		a := w.agents[node1("a", 1)]
		w.run(40 * time.Second) // past the first round
		a.sent = 0
		w.run(10 * time.Second)
		calm := a.sent / 10

		w.lost = func(from, to Name, _ Kind) bool { return from.Cluster != to.Cluster && w.random.Float64() < 0.3 }
		// Each node of the other cluster is suspected by each of its watchers now and
		// then; an eighth of triples of probes is silent.
		stop := w.since() + 4*time.Second
		for i := 1; i <= c.nodes; i++ {
			report := Report{Name: node1("b", i), State: Suspected}.Append(nil)
			var say func()
			say = func() {
				a.inbox.Gossip = append(a.inbox.Gossip, Message{"a-2", report})
				w.step(a)
				if w.since() < stop {
					w.at(time.Duration(500+w.random.IntN(500))*time.Millisecond, say)
				}
			}
			w.at(time.Duration(w.random.IntN(1000))*time.Millisecond, say)
		}
		a.sent = 0
		w.run(4 * time.Second)
		loss := a.sent / 4
		t.Logf("%d nodes, both families %v: sends %d packets a second calm, %d while 30 %% are lost each way", c.nodes, c.dual, calm, loss)
		if calm > c.calm || loss > c.loss {
			t.Errorf("%d nodes: %d calm, want %d; %d under loss, want %d", c.nodes, calm, c.calm, loss, c.loss)
		}
		w.noDowns()
	}
}

// What the machine itself costs: an agent that judges 2,000 nodes, a second of
// virtual time an operation.
func BenchmarkMachine(b *testing.B) {
	for _, nodes := range []int{20, 200, 2000} {
		b.Run(fmt.Sprint(nodes), func(b *testing.B) {
			var targets []Target
			w := newWorld(&testing.T{}, 1, nodes, nodes)
			for _, n := range w.agents[node1("a", 1)].machine.nodes {
				targets = append(targets, n.Target)
			}
			m := NewMachine(DefaultKnobs(), node1("a", 1))
			m.SetMembers(w.membersOf("a"))
			m.SetTargets(epoch, targets)
			now, end := epoch, epoch
			var in Input
			for b.Loop() {
				for end = end.Add(time.Second); now.Before(end); {
					in.Now = now
					out := m.Step(in)
					in.Replies = slices.Grow(in.Replies[:0], len(out.Probes))
					for _, p := range out.Probes {
						in.Replies = append(in.Replies, Reply{ID: p.ID, Arrived: now})
					}
					now = out.Wake
				}
			}
		})
	}
}
