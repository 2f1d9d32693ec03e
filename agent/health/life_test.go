package health

import (
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// What was down and runs something else comes back when its own node said what.
func TestReturnIsConfirmed(t *testing.T) {
	w := newWorld(t, 3, 3, 3)
	w.settle()
	b, a := w.agents[node1("b", 1)], w.agents[node1("a", 1)]
	w.follow(a, 0, "a")
	b.dead = true
	w.run(1500 * time.Millisecond)
	b.dead, b.life = false, Life{Epoch: 2}
	a.machine.Confirm(b.name, Life{Epoch: 1})
	w.run(5 * time.Second)
	if got := w.state(a.name, b.name); got != clustermesh.VerdictDown {
		t.Errorf("an older life is confirmed, and it is %v", got)
	}
	a.machine.Confirm(b.name, Life{Epoch: 2})
	w.run(time.Second)
	if got := w.state(a.name, b.name); got != clustermesh.VerdictUp {
		t.Errorf("confirmed, it is %v", got)
	}
}

// A life that moves while a mirror is stale is seen within moments by all, also by
// those who ask the node twice a minute; while it is fresh nobody hurries.
func TestMovedLifeIsGossiped(t *testing.T) {
	for name, fresh := range map[string]bool{"stale": false, "fresh": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 20, 20, 20)
			moved := w.agents[node1("b", 1)]
			moved.life = Life{Epoch: 1}
			w.settle()
			unwatched := 0
			for _, name := range w.membersOf("a") {
				a := w.agents[Name{"a", name}]
				m := a.machine
				if w.follow(a, 0, "a"); fresh {
					w.follow(a, 0, "a", "b")
				}
				if !m.nodes[moved.name].watched {
					unwatched++
				}
			}
			if unwatched == 0 {
				t.Fatal("everybody watches it: this shows nothing")
			}
			moved.life = Life{Epoch: 7}
			count := func() (n int) {
				for _, name := range w.membersOf("a") {
					if w.agents[Name{"a", name}].machine.nodes[moved.name].life == moved.life {
						n++
					}
				}
				return n
			}
			w.run(500 * time.Millisecond)
			if got := count(); fresh == (got == 20) {
				t.Errorf("after 0.5 s %d of 20 have seen it", got)
			}
			moved.life.Epoch = 8
			w.run(100 * time.Millisecond)
			moved.life.Epoch = 9
			w.run(600 * time.Millisecond)
			if got := count(); fresh == (got == 20) {
				t.Errorf("after two in a row %d of 20 have seen the last", got)
			}
		})
	}
}
