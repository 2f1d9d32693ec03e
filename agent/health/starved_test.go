package health

import (
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// An agent whose steps all come late judges nobody, and says so; once it has time it
// judges, and takes that back. One that pauses now and then says nothing.
func TestStarved(t *testing.T) {
	w := newWorld(t, 3, 3, 3)
	w.settle()
	a, b := w.agents[node1("a", 1)], w.agents[node1("b", 1)]
	hold := func(pause, on time.Duration, times int) {
		for range times {
			a.paused = true
			w.run(pause)
			a.paused = false
			w.step(a)
			w.run(on)
		}
	}
	hold(2*time.Second, 1200*time.Millisecond, 10)
	if got := a.machine.Starved(); !got.IsZero() || a.machine.Stalls() != 10 {
		t.Errorf("it pauses now and then and is starved since %v; %d stalls", got, a.machine.Stalls())
	}
	b.dead = true
	since := w.now
	hold(155*time.Millisecond, 0, 400)
	if got := w.state(a.name, b.name); got == clustermesh.VerdictDown {
		t.Errorf("it judges: %v", got)
	}
	if got := a.machine.Starved(); got.IsZero() || got.After(since) || a.machine.Stalls() != 410 {
		t.Errorf("starved since %v, want %v or before; %d stalls", got, since, a.machine.Stalls())
	}
	w.run(2 * time.Second)
	if got := w.state(a.name, b.name); got != clustermesh.VerdictDown {
		t.Errorf("it has time, and the dead node is %v", got)
	}
	if got := a.machine.Starved(); !got.IsZero() {
		t.Errorf("it has time, and is starved since %v", got)
	}
}
