package health

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// move gives a node other addresses, those of a node that is silent until then, and
// returns that one.
func (w *world) move(who Name, by ...Kind) *agentModel {
	other := &agentModel{name: Name{who.Cluster, who.Node + "-new"}, dead: true}
	w.agents[other.name] = other
	w.targets = slices.Clone(w.targets)
	for i := range w.targets {
		if w.targets[i].Name == who {
			for _, k := range by {
				a := netip.AddrFrom4([4]byte{10, 99, byte(k), 1})
				w.targets[i].Ask[k], w.byAddr[a] = a, place{other.name, k}
			}
		}
	}
	return other
}

// A node that was made anew under its name has other addresses, at which nobody
// answered yet: it is not monitored there, and falls when it was and dies. So it is
// when the agent that watches starts anew meanwhile.
func TestReaddress(t *testing.T) {
	for name, restart := range map[string]bool{"at once": false, "over a restart": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 3, 3, 3)
			w.settle()
			a, b := w.agents[node1("a", 1)], node1("b", 1)
			fresh := w.move(b, Address, Pods)
			if restart {
				w.restart(a)
			} else {
				a.machine.SetTargets(w.now, w.targets)
				w.step(a)
			}
			expect := func(want clustermesh.VerdictState) {
				t.Helper()
				w.run(3 * time.Second)
				if got := w.state(a.name, b); got != want {
					t.Errorf("at %v it is %v, want %v", w.since(), got, want)
				}
			}
			expect(clustermesh.VerdictUnmonitored)
			fresh.dead = false
			expect(clustermesh.VerdictUp)
			fresh.dead = true
			expect(clustermesh.VerdictDown)
		})
	}
}

// Only one kind has another address: the other goes on as before. Replies from the
// address before are none from this one.
func TestReaddressKind(t *testing.T) {
	w := newWorld(t, 3, 3, 3)
	w.settle()
	a, b := w.agents[node1("a", 1)], node1("b", 1)
	w.move(b, Address)
	a.machine.SetTargets(w.now, w.targets)
	w.step(a)
	w.run(3 * time.Second)
	n := a.machine.nodes[b]
	if n.track[Address].monitored || !n.track[Pods].monitored || n.anyDown() {
		t.Errorf("tracks %+v", n.track)
	}
	w.agents[b].dead = true
	w.run(time.Second)
	if n.track[Pods].down.IsZero() || !n.track[Address].down.IsZero() {
		t.Errorf("its pods are silent: tracks %+v", n.track)
	}
}

// What is down stays down until it answers at its new address.
func TestReaddressDown(t *testing.T) {
	w := newWorld(t, 3, 3, 3)
	w.settle()
	a, b := w.agents[node1("a", 1)], node1("b", 1)
	w.agents[b].dead = true
	w.run(time.Second)
	fresh := w.move(b, Address, Pods)
	w.restart(a)
	w.run(3 * time.Second)
	if got := w.state(a.name, b); got != clustermesh.VerdictDown {
		t.Errorf("it is %v", got)
	}
	fresh.dead = false
	w.run(5 * time.Second)
	if got := w.state(a.name, b); got != clustermesh.VerdictUp {
		t.Errorf("it answers and is %v", got)
	}
}

// restart gives an agent a new machine, with what the one before kept.
func (w *world) restart(a *agentModel) {
	kept := a.machine.Records()
	a.machine, a.inbox = NewMachine(DefaultKnobs(), a.name), Input{}
	a.machine.SetMembers(w.membersOf(a.name.Cluster))
	a.machine.Remember(kept)
	var fresh []string
	for _, t := range w.targets {
		fresh = append(fresh, t.Cluster)
	}
	w.follow(a, 0, fresh...)
	a.machine.SetTargets(w.now, w.targets)
	w.step(a)
}

// Who fell often has to stand long also after a restart of the agent.
func TestFallsOverRestart(t *testing.T) {
	w := newWorld(t, 3, 3, 3)
	w.settle()
	b, a := w.agents[node1("b", 1)], w.agents[node1("a", 1)]
	for range 3 {
		b.dead = true
		w.run(1500 * time.Millisecond)
		b.dead = false
		w.run(20 * time.Second)
	}
	stands := func() time.Duration { return a.machine.nodes[b.name].track[Address].stand(DefaultKnobs()) }
	before := stands()
	w.restart(a)
	w.run(3 * time.Second)
	b.dead = true
	w.run(1500 * time.Millisecond)
	if got := stands(); got != 2*before {
		t.Errorf("it stood %v before a restart, and at the next fall %v", before, got)
	}
	b.dead = false
	w.run(DefaultKnobs().Forgive + time.Minute)
	b.dead = true
	w.run(1500 * time.Millisecond)
	if got := stands(); got != DefaultKnobs().MinUp {
		t.Errorf("after %v without a fall it stands %v", DefaultKnobs().Forgive, got)
	}
}

// What is down is not up because it was not asked for a moment: its cluster's object was
// made anew, or one of the addresses was not there. After long it is as new.
func TestDownThatWasNotAskedForAMoment(t *testing.T) {
	for name, c := range map[string]struct {
		node  bool // the node is gone meanwhile, or its addresses
		pause time.Duration
		want  clustermesh.VerdictState
	}{
		"addresses":           {false, 2 * time.Second, clustermesh.VerdictDown},
		"addresses, for long": {false, lapses + time.Second, clustermesh.VerdictUnmonitored},
		"node":                {true, 2 * time.Second, clustermesh.VerdictDown},
		"node, for long":      {true, lapses + time.Second, clustermesh.VerdictUnmonitored},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 3, 3, 3)
			w.settle()
			a, b := w.agents[node1("a", 1)], node1("b", 1)
			w.agents[b].dead = true
			w.run(time.Second)
			all := w.targets
			w.targets = slices.DeleteFunc(slices.Clone(all), func(t Target) bool { return c.node && t.Name == b })
			for i := range w.targets {
				if w.targets[i].Name == b {
					w.targets[i].Ask = [kinds]netip.Addr{}
				}
			}
			a.machine.SetTargets(w.now, w.targets)
			w.run(c.pause)
			if got := w.state(a.name, b); got == clustermesh.VerdictDown {
				t.Error("it is not asked, and down")
			}
			w.targets = all
			a.machine.SetTargets(w.now, w.targets)
			w.run(3 * time.Second)
			if got := w.state(a.name, b); got != c.want {
				t.Errorf("asked again it is %v, want %v", got, c.want)
			}
			w.agents[b].dead = false
			w.run(5 * time.Second)
			if got := w.state(a.name, b); got != clustermesh.VerdictUp {
				t.Errorf("it answers and is %v", got)
			}
		})
	}
}

// What was kept of nodes that the store has not listed yet is kept on.
func TestRecordsOfWhomNobodyMet(t *testing.T) {
	w := newWorld(t, 3, 3, 3)
	w.settle()
	a, b := w.agents[node1("a", 1)], node1("b", 1)
	w.agents[b].dead = true
	w.run(time.Second)
	before := a.machine.Records()
	m := NewMachine(DefaultKnobs(), a.name)
	m.Remember(before)
	m.SetTargets(w.now, slices.DeleteFunc(slices.Clone(w.targets), func(t Target) bool { return t.Cluster == "b" }))
	of := func(all []Record) (out []Record) {
		for _, r := range all {
			if r.Name.Cluster == "b" {
				out = append(out, r)
			}
		}
		return out
	}
	if got, want := of(m.Records()), of(before); len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("of cluster b it keeps\n%+v\nwant\n%+v", got, want)
	}
	m.SetTargets(w.now, w.targets)
	if got := m.nodes[b]; !got.anyDown() {
		t.Errorf("listed at last it is not down: %+v", got.track)
	}
}
