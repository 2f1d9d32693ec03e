package health

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

func node1(cluster string, i int) Name { return Name{cluster, fmt.Sprintf("%s-%d", cluster, i)} }

// The power of a node goes: all of its cluster, and all of another, know within a second.
func TestDeadNode(t *testing.T) {
	var all []time.Duration
	w := newWorld(t, 100, 20, 20)
	w.settle()
	for i := 1; i <= 6; i++ {
		began := w.since()
		dead := node1("b", i)
		w.agents[dead].dead = true
		w.run(1500 * time.Millisecond)
		downs := w.downs(dead)
		for _, at := range downs {
			all = append(all, at-began)
		}
		if len(downs) != 40-i {
			t.Errorf("%d of %d know of %v", len(downs), 40-i, dead)
		}
		w.run(time.Duration(i*7) * time.Millisecond)
	}
	slices.Sort(all)
	median, worst := all[len(all)/2], all[len(all)-1]
	t.Logf("median %v, worst %v of %d", median, worst, len(all))
	if median > 700*time.Millisecond || worst > time.Second {
		t.Errorf("median %v, worst %v", median, worst)
	}
	w.noDowns(node1("b", 1), node1("b", 2), node1("b", 3), node1("b", 4), node1("b", 5), node1("b", 6))
}

// Only the way to a node's pods is lost: only those are down.
func TestPodsPrefixAlone(t *testing.T) {
	w := newWorld(t, 10, 5, 3)
	w.settle()
	w.lost = func(from, to Name, k Kind) bool { return k == Pods && (to == node1("b", 1) || from == node1("b", 1)) }
	began := w.since()
	w.run(time.Second)
	for i := 1; i <= 5; i++ {
		at, ok := w.downs(node1("b", 1))[node1("a", i)]
		if !ok || at-began > 900*time.Millisecond {
			t.Errorf("a-%d says so after %v (%v)", i, at-began, ok)
		}
	}
	for _, v := range w.agents[node1("a", 1)].machine.Verdicts() {
		if v.Cluster == "b" && v.Node == "b-1" && (v.AddressDown != 0 || v.PodsDown == 0) {
			t.Errorf("it is %+v", v)
		}
	}
	for at := range w.downs(Name{Cluster: "b"}) {
		t.Errorf("%v says that all of b is down", at)
	}
}

// lossy is for how long packets are lost.
var lossy = map[bool]time.Duration{false: time.Minute, true: 10 * time.Second}[raced]

// A third of all packets between clusters is lost each way, for a minute.
func TestLossBetweenClusters(t *testing.T) {
	w := newWorld(t, 10, 10, 10)
	w.settle()
	w.lost = func(from, to Name, _ Kind) bool { return from.Cluster != to.Cluster && w.random.Float64() < 0.3 }
	w.run(lossy)
	w.noDowns()
}

// One cluster of three dies: the others say so of it, and of nobody else.
func TestDeadCluster(t *testing.T) {
	w := newWorld(t, 10, 4, 10, 5)
	w.settle()
	began := w.since()
	for i := 1; i <= 10; i++ {
		w.agents[node1("b", i)].dead = true
	}
	w.run(1200 * time.Millisecond)
	downs := w.downs(Name{Cluster: "b"})
	if len(downs) != 9 {
		t.Errorf("it is known to %v", slices.Collect(maps.Keys(downs)))
	}
	for who, at := range downs {
		if at-began > time.Second {
			t.Errorf("%v needed %v", who, at-began)
		}
	}
	w.noDowns(Name{Cluster: "b"})
	// It comes back with the same life, as after a cut.
	w.changes = nil
	for i := 1; i <= 10; i++ {
		w.agents[node1("b", i)].dead = false
	}
	w.run(5 * time.Second)
	if got := w.state(node1("a", 1), Name{Cluster: "b"}); got != clustermesh.VerdictUp {
		t.Errorf("afterwards it is %v", got)
	}
	w.noDowns()
}

// That one never answered, because a firewall drops probes, does not say that it does not
// serve: the cluster is not down with the only node that is heard.
func TestUnmonitoredSpeakForTheirCluster(t *testing.T) {
	w := newWorld(t, 3, 3, 3)
	w.lost = func(from, to Name, _ Kind) bool { return from.Cluster == "a" && to.Cluster == "b" && to.Node != "b-1" }
	w.settle()
	w.agents[node1("b", 1)].dead = true
	w.run(2 * time.Second)
	for who, want := range map[Name]clustermesh.VerdictState{{Cluster: "b"}: "up", node1("b", 1): "down", node1("b", 2): "unmonitored"} {
		if got := w.state(node1("a", 1), who); got != want {
			t.Errorf("%v is %v, want %v", who, got, want)
		}
	}
}

// The nodes that an agent watches of a cluster die, and others that services use do not:
// the cluster is up, until they die too.
func TestWatchedDieAlone(t *testing.T) {
	w := newWorld(t, 1, 30, 8)
	w.settle()
	m, b := w.agents[node1("a", 1)].machine, Name{Cluster: "b"}
	used := map[Name]struct{}{}
	for i := 1; i <= 8; i++ {
		used[node1("b", i)] = struct{}{}
	}
	m.SetUsed(used)
	w.run(time.Second)
	for _, n := range m.clusters["b"].nodes {
		w.agents[n.Name].dead = n.watched
	}
	w.run(3 * time.Second)
	if got := w.state(node1("a", 1), b); got != clustermesh.VerdictUp {
		t.Errorf("while some live it is %v", got)
	}
	for i := 1; i <= 8; i++ {
		w.agents[node1("b", i)].dead = true
	}
	w.run(3 * time.Second)
	if got := w.state(node1("a", 1), b); got != clustermesh.VerdictDown {
		t.Errorf("when all are dead it is %v", got)
	}
}

// While a cluster is down others of its nodes are watched than before, because of what
// services use, or because a member left: nobody has looked at these, and that they did
// not fall says nothing.
func TestWatchedWhileDown(t *testing.T) {
	for _, what := range []string{"services use others", "others leave"} {
		w := newWorld(t, 2, 40, 120)
		w.settle()
		for i := 1; i <= 120; i++ {
			w.agents[node1("b", i)].dead = true
		}
		w.run(1500 * time.Millisecond)
		m, b := w.agents[node1("a", 1)].machine, Name{Cluster: "b"}
		if got := w.state(node1("a", 1), b); got != clustermesh.VerdictDown {
			t.Fatalf("%s: it is %v", what, got)
		}
		w.changes = nil
		used := map[Name]struct{}{}
		for _, n := range m.clusters["b"].nodes {
			if !n.watched && !n.allDown() && len(used) < 3 {
				used[n.Name] = struct{}{}
			}
		}
		if len(used) < 3 {
			t.Fatalf("%s: all are known to be down", what)
		}
		if what == "others leave" {
			m.SetMembers(w.membersOf("a")[:1])
		} else {
			m.SetUsed(used)
		}
		w.run(3 * time.Second)
		for _, c := range w.changes {
			if c.who == node1("a", 1) && c.Cluster == "b" && c.Node == "" {
				t.Errorf("%s: at %v it is %v: %s", what, c.at, c.State, c.Reason)
			}
		}
		for i := 1; i <= 120; i++ {
			w.agents[node1("b", i)].dead = false
		}
		w.run(5 * time.Second)
		if got := w.state(node1("a", 1), b); got != clustermesh.VerdictUp {
			t.Errorf("%s: afterwards it is %v", what, got)
		}
	}
}

// An agent restarts while a cluster is down that is so large that not each of its nodes
// is known to be: the cluster is down from the first moment, whoever is watched first,
// until somebody of it answers.
func TestRestartWhileAClusterIsDown(t *testing.T) {
	w := newWorld(t, 2, 40, 120)
	w.settle()
	for i := 1; i <= 120; i++ {
		w.agents[node1("b", i)].dead = true
	}
	w.run(1500 * time.Millisecond)
	a, b := w.agents[node1("a", 1)], Name{Cluster: "b"}
	if got := w.state(a.name, b); got != clustermesh.VerdictDown {
		t.Fatalf("it is %v", got)
	}
	kept := a.machine.Records()
	a.machine, a.inbox, w.changes = NewMachine(DefaultKnobs(), a.name), Input{}, nil
	a.machine.Remember(kept)
	a.machine.SetTargets(w.now, w.targets) // alone: it watches them all
	w.step(a)
	w.run(500 * time.Millisecond)
	a.machine.SetMembers(w.membersOf("a"))
	w.run(3 * time.Second)
	for _, c := range w.changes {
		if c.who == a.name && c.Cluster == "b" && c.Node == "" && c.State != clustermesh.VerdictDown {
			t.Errorf("at %v it is %v", c.at, c.State)
		}
	}
	if got := w.state(a.name, b); got != clustermesh.VerdictDown {
		t.Errorf("it is %v", got)
	}
	for i := 1; i <= 120; i++ {
		w.agents[node1("b", i)].dead = false
	}
	w.run(5 * time.Second)
	if got := w.state(a.name, b); got != clustermesh.VerdictUp {
		t.Errorf("afterwards it is %v", got)
	}
}

// b's nodes hear a's, but a hears nothing of b: only a can say that b is down
// for a, and b, whose probes of a stay unanswered as well, the same of a.
func TestAsymmetric(t *testing.T) {
	w := newWorld(t, 10, 4, 4, 4)
	w.settle()
	w.lost = func(from, to Name, _ Kind) bool { return from.Cluster == "b" && to.Cluster == "a" }
	w.run(2 * time.Second)
	for pair, want := range map[[2]string]clustermesh.VerdictState{
		{"a", "b"}: "down", {"b", "a"}: "down", {"a", "c"}: "up", {"c", "a"}: "up", {"b", "c"}: "up", {"c", "b"}: "up",
	} {
		for i := 1; i <= 4; i++ {
			if got := w.state(node1(pair[0], i), Name{Cluster: pair[1]}); got != want {
				t.Errorf("%s-%d says of %s: %v", pair[0], i, pair[1], got)
			}
		}
	}
}

// A node of a does not hear one other: that one is down for it, and for nobody else,
// however often it says so.
func TestOneBrokenPair(t *testing.T) {
	w := newWorld(t, 10, 6, 6)
	w.settle()
	w.lost = func(from, to Name, _ Kind) bool { return from == node1("a", 2) && to == node1("a", 1) }
	w.run(5 * time.Second)
	downs := w.downs(node1("a", 2))
	if _, ok := downs[node1("a", 1)]; !ok || len(downs) != 1 {
		t.Errorf("a-2 is down for %v", slices.Collect(maps.Keys(downs)))
	}
}

// A cluster breaks in two, both parts of which see the other cluster.
func TestSplitCluster(t *testing.T) {
	w := newWorld(t, 10, 10, 3)
	w.settle()
	left := map[Name]bool{}
	for i := 1; i <= 4; i++ {
		left[node1("a", i)] = true
	}
	w.lost = func(from, to Name, _ Kind) bool {
		return from.Cluster == "a" && to.Cluster == "a" && left[from] != left[to]
	}
	w.run(1500 * time.Millisecond)
	for i := 1; i <= 10; i++ {
		for j := 1; j <= 10; j++ {
			a, b := node1("a", i), node1("a", j)
			if want := left[a] != left[b]; want != (w.state(a, b) == clustermesh.VerdictDown) {
				t.Errorf("%v says of %v: %v", a, b, w.state(a, b))
			}
		}
	}
	for i := 1; i <= 3; i++ {
		for j := 1; j <= 10; j++ {
			if got := w.state(node1("b", i), node1("a", j)); got == clustermesh.VerdictDown {
				t.Errorf("b-%d says of a-%d: %v", i, j, got)
			}
		}
	}
}

// One node's uplink breaks: it says nothing of anybody, all others the truth.
func TestBrokenUplink(t *testing.T) {
	for name, deaf := range map[string]bool{"both ways": false, "hears nobody": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 10, 6, 6, 3)
			w.settle()
			broken := node1("a", 1)
			w.lost = func(from, to Name, _ Kind) bool { return to == broken || from == broken && !deaf }
			w.run(10 * time.Second)
			for _, c := range w.changes {
				if c.who == broken && c.State == clustermesh.VerdictDown {
					t.Errorf("it says at %v that %v is down", c.at, Name{c.Cluster, c.Node})
				}
			}
			if _, in := w.agents[broken].machine.Blind(); in != clustermesh.IPv4 {
				t.Error("it does not know that it is blind")
			}
			w.noDowns(broken)
			w.lost = func(Name, Name, Kind) bool { return false }
			w.run(5 * time.Second)
			if _, in := w.agents[broken].machine.Blind(); in != 0 {
				t.Error("it is blind for ever")
			}
			for i := 2; i <= 6; i++ {
				if got := w.state(node1("a", i), broken); got != clustermesh.VerdictUp {
					t.Errorf("afterwards a-%d says %v of it", i, got)
				}
			}
		})
	}
}

// The same where nodes are asked so seldom that most had no turn when the first burst has
// had silence; and who is dead there is found nevertheless.
func TestBrokenUplinkAskedSeldom(t *testing.T) {
	for _, interval := range []time.Duration{200 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second, 10 * time.Second} {
		t.Run(interval.String(), func(t *testing.T) {
			for _, sizes := range [][]int{{6, 6, 3}, {5}, {12, 3, 3}} {
				w := newSlowWorld(t, interval, 12, sizes...)
				w.settle()
				w.run(4 * interval)
				broken, dead := node1("a", 1), node1("a", 2)
				w.lost = func(from, to Name, _ Kind) bool { return to == broken || from == broken }
				w.run(10*time.Second + 10*interval)
				for _, c := range w.changes {
					if c.who == broken && c.State == clustermesh.VerdictDown {
						t.Errorf("%v: it says at %v that %v is down", sizes, c.at, Name{c.Cluster, c.Node})
					}
				}
				if _, in := w.agents[broken].machine.Blind(); in != clustermesh.IPv4 {
					t.Errorf("%v: it does not know that it is blind", sizes)
				}
				w.noDowns(broken)
				w.lost = func(Name, Name, Kind) bool { return false }
				w.run(5*time.Second + 5*interval)
				if _, in := w.agents[broken].machine.Blind(); in != 0 {
					t.Errorf("%v: it is blind for ever", sizes)
				}
				w.agents[dead].dead = true
				began := w.since()
				w.run(2*time.Second + 4*interval)
				downs := w.downs(dead)
				if _, ok := downs[node1("a", 3)]; !ok {
					t.Errorf("%v: nobody finds %v", sizes, dead)
				}
				for who, at := range downs {
					if expected := w.agents[who].machine.Expected() + 200*time.Millisecond; at-began > expected {
						t.Errorf("%v: %v needed %v, want %v", sizes, who, at-began, expected)
					}
				}
				w.noDowns(broken, dead)
			}
		})
	}
}

// An agent stands still for two seconds; a whole machine does, and misses packets.
func TestPaused(t *testing.T) {
	for name, machine := range map[string]bool{"agent": false, "machine": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 10, 6, 6)
			w.settle()
			a := w.agents[node1("a", 1)]
			if machine {
				w.lost = func(_, to Name, _ Kind) bool { return to == a.name && a.paused }
			}
			for _, pause := range []time.Duration{120 * time.Millisecond, 333 * time.Millisecond, 2 * time.Second} {
				a.paused = true
				w.run(pause)
				a.paused = false
				w.step(a)
				w.run(2 * time.Second)
			}
			if machine {
				w.noDowns(a.name)
			} else {
				w.noDowns()
			}
		})
	}
}

// Steps come late again and again, as with both cores busy.
func TestSlowAgent(t *testing.T) {
	w := newWorld(t, 10, 6, 6)
	w.settle()
	a := w.agents[node1("a", 1)]
	for range 200 {
		a.paused = true
		w.run(time.Duration(20+w.random.IntN(200)) * time.Millisecond)
		a.paused = false
		w.step(a)
		w.run(time.Duration(w.random.IntN(30)) * time.Millisecond)
	}
	w.noDowns()
}

// Agents restart one by one; the kernels answer meanwhile.
func TestRollingRestart(t *testing.T) {
	w := newWorld(t, 10, 5, 5)
	w.settle()
	for i := 1; i <= 5; i++ {
		a := w.agents[node1("a", i)]
		kept := a.machine.Records()
		a.paused = true
		w.run(800 * time.Millisecond)
		var targets []Target
		for _, n := range a.machine.nodes {
			targets = append(targets, n.Target)
		}
		a.machine = NewMachine(DefaultKnobs(), a.name)
		a.machine.SetMembers(w.membersOf("a"))
		a.machine.Remember(kept)
		a.machine.SetTargets(w.now, targets)
		a.inbox, a.paused = Input{}, false
		w.step(a)
		w.run(time.Second)
	}
	w.noDowns()
	// Who died while nobody watched is missed all the same.
	a := w.agents[node1("a", 1)]
	kept := a.machine.Records()
	var targets []Target
	for _, n := range a.machine.nodes {
		targets = append(targets, n.Target)
	}
	w.agents[node1("b", 2)].dead = true
	a.machine = NewMachine(DefaultKnobs(), a.name)
	a.machine.Remember(kept)
	a.machine.SetTargets(w.now, targets)
	w.step(a)
	w.run(3 * time.Second)
	if got := w.state(a.name, node1("b", 2)); got != clustermesh.VerdictDown {
		t.Errorf("b-2 is %v", got)
	}
}

// Firewalled from the beginning: unmonitored, never down, and said so.
func TestUnmonitored(t *testing.T) {
	w := newWorld(t, 10, 4, 4)
	w.lost = func(from, to Name, _ Kind) bool { return from.Cluster != to.Cluster }
	w.run(time.Minute)
	w.noDowns()
	for _, who := range []Name{{"b", ""}, node1("b", 3)} {
		if got := w.state(node1("a", 1), who); got != clustermesh.VerdictUnmonitored {
			t.Errorf("%v is %v", who, got)
		}
	}
}

// b no longer has a as a peer: its nodes fall silent, and a, which is told why, does
// not take that for death, whether it hears of it before it suspects them or after.
func TestPeeringEnds(t *testing.T) {
	for _, late := range []time.Duration{0, 250 * time.Millisecond, 2 * time.Second} {
		w := newWorld(t, 4, 4, 4)
		w.settle()
		silent := true
		w.lost = func(from, to Name, _ Kind) bool { return silent && from.Cluster == "b" && to.Cluster == "a" }
		w.run(late)
		targets := slices.Clone(w.targets)
		for i := range targets {
			if targets[i].Cluster == "b" {
				targets[i].Ask, targets[i].Deaf = [kinds]netip.Addr{}, "it does not peer with us"
			}
		}
		tell := func(targets []Target) {
			for i := 1; i <= 4; i++ {
				w.agents[node1("a", i)].machine.SetTargets(w.now, targets)
			}
		}
		tell(targets)
		w.run(3 * time.Second)
		for _, who := range []Name{{"b", ""}, node1("b", 3)} {
			if got := w.state(node1("a", 1), who); got != clustermesh.VerdictUnmonitored {
				t.Errorf("told after %v: %v is %v", late, who, got)
			}
		}
		if late < time.Second {
			for i := 1; i <= 4; i++ {
				for who := range w.downs(node1("b", i)) {
					if who.Cluster == "a" {
						t.Errorf("told after %v: %v took b-%d for dead", late, who, i)
					}
				}
			}
		}
		silent = false
		tell(w.targets)
		w.run(5 * time.Second)
		if got := w.state(node1("a", 1), Name{Cluster: "b"}); got != clustermesh.VerdictUp {
			t.Errorf("peering again: b is %v", got)
		}
	}
}

// A node that comes and goes is believed later each time.
func TestDamping(t *testing.T) {
	w := newWorld(t, 3, 3, 3)
	w.settle()
	b := w.agents[node1("b", 1)]
	var last time.Duration
	for i := range 9 { // it is bounded from the seventh on: a minute, and the way to it
		b.dead = true
		w.run(1500 * time.Millisecond)
		b.dead = false
		began := w.since()
		w.changes = nil
		w.run(2 * time.Minute)
		up := time.Duration(0)
		for _, c := range w.changes {
			if c.who == node1("a", 1) && c.Node == "b-1" && c.State == clustermesh.VerdictUp && up == 0 {
				up = c.at - began
			}
		}
		grows := i == 0 || up >= last*3/2 || up >= time.Minute
		if up == 0 || !grows || up > 65*time.Second {
			t.Errorf("at the fall %d it is up after %v, before after %v", i+1, up, last)
		}
		last = up
	}
}

// What cut a node off for a moment cut off its cluster's store, too, and nobody found
// that out yet: that its mirror seems to follow proves nothing of what runs there now,
// until it was listed anew, or would have been found stale.
func TestReturnNeedsMoreThanSeemingFreshness(t *testing.T) {
	for name, listed := range map[string]bool{"listed anew": true, "followed on": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 3, 3, 3)
			w.settle()
			b, a := w.agents[node1("b", 1)], w.agents[node1("a", 1)]
			b.dead = true
			w.run(1500 * time.Millisecond)
			b.dead, b.life = false, Life{Epoch: 1}
			w.run(5 * time.Second)
			if got := w.state(a.name, b.name); got != clustermesh.VerdictDown {
				t.Errorf("of a mirror that only seems to follow, it is %v", got)
			}
			if listed {
				w.follow(a, 1, "a", "b")
				w.run(time.Second)
			} else {
				w.run(Unsure)
			}
			if got := w.state(a.name, b.name); got != clustermesh.VerdictUp {
				t.Errorf("of one that is proven to follow, it is %v", got)
			}
		})
	}
}

// returnsUnsure holds that somebody comes back to another only once its mirror would have
// been found stale.
func (w *world) returnsUnsure(t *testing.T, to, who Name) {
	t.Helper()
	w.run(Unsure - time.Second)
	if got := w.state(to, who); got != clustermesh.VerdictDown {
		t.Errorf("of a mirror that only seems to follow, it is %v", got)
	}
	w.run(3 * time.Second)
	if got := w.state(to, who); got != clustermesh.VerdictUp {
		t.Errorf("of one that would have been found stale, it is %v", got)
	}
}

// An agent that was restarted did not see what its mirror did during the fall: that it
// follows since proves nothing for as long as it may take to find out that it does not.
func TestReturnAfterARestart(t *testing.T) {
	w := newWorld(t, 3, 3, 3)
	w.settle()
	b, a := w.agents[node1("b", 1)], w.agents[node1("a", 1)]
	b.dead = true
	w.run(1500 * time.Millisecond)
	w.restart(a)
	b.dead, b.life = false, Life{Epoch: 1}
	w.returnsUnsure(t, a.name, b.name)
}

// The mirror seems to follow again after our own store was away for a moment, which is no
// listing either.
func TestReturnAfterABlip(t *testing.T) {
	w := newWorld(t, 3, 3, 3)
	w.settle()
	b, a := w.agents[node1("b", 1)], w.agents[node1("a", 1)]
	b.dead = true
	w.run(1500 * time.Millisecond)
	b.dead, b.life = false, Life{Epoch: 1}
	w.run(20 * time.Millisecond)
	w.follow(a, 0)
	w.run(Unsure)
	w.follow(a, 0, "a", "b")
	w.returnsUnsure(t, a.name, b.name)
}

// What was down and runs something else since comes back with a fresh mirror only.
func TestReturnNeedsFreshness(t *testing.T) {
	w := newWorld(t, 3, 3, 3)
	w.settle()
	b, a := w.agents[node1("b", 1)], w.agents[node1("a", 1)]
	w.follow(a, 0, "a")
	b.dead = true
	w.run(1500 * time.Millisecond)
	b.dead, b.life = false, Life{Epoch: 1}
	w.run(5 * time.Second)
	if got := w.state(a.name, b.name); got != clustermesh.VerdictDown {
		t.Errorf("with a stale mirror it is %v", got)
	}
	w.follow(a, 1, "a", "b")
	w.run(time.Second)
	if got := w.state(a.name, b.name); got != clustermesh.VerdictUp {
		t.Errorf("with a fresh one it is %v", got)
	}
}

// By hand, and back.
func TestOverride(t *testing.T) {
	w := newWorld(t, 3, 3, 3)
	w.settle()
	a := w.agents[node1("a", 1)]
	for _, who := range []Name{{"b", ""}, node1("b", 1)} {
		a.machine.SetOverride(who, clustermesh.VerdictDown)
		w.step(a)
		if got := w.state(a.name, who); got != clustermesh.VerdictDown {
			t.Errorf("%v is %v", who, got)
		}
		a.machine.SetOverride(who, "")
		w.step(a)
		if got := w.state(a.name, who); got != clustermesh.VerdictUp {
			t.Errorf("%v is %v", who, got)
		}
	}
	w.agents[node1("b", 1)].dead = true
	w.run(2 * time.Second)
	for _, c := range []struct{ cluster, node, want clustermesh.VerdictState }{
		{"", "", "down"}, {"up", "", "up"}, {"up", "down", "down"}, {"down", "up", "up"}, {"down", "", "down"},
	} {
		a.machine.SetOverride(Name{Cluster: "b"}, c.cluster)
		a.machine.SetOverride(node1("b", 1), c.node)
		w.step(a)
		if got := w.state(a.name, node1("b", 1)); got != c.want {
			t.Errorf("cluster %q and node %q by hand: b-1 is %v, want %v", c.cluster, c.node, got, c.want)
		}
	}
	a.machine.SetOverride(Name{Cluster: "b"}, "")
	a.machine.SetOverride(node1("b", 2), clustermesh.VerdictUp)
	w.agents[node1("b", 2)].dead = true
	w.run(2 * time.Second)
	if got := w.state(a.name, node1("b", 2)); got != clustermesh.VerdictUp {
		t.Errorf("b-2, up by hand, is %v", got)
	}
}
