package health

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// world is a mesh in virtual time: agents with a machine each, kernels that
// answer while they live, and a network between them that is cut and loses.
type world struct {
	*testing.T
	now     time.Time
	events  events
	order   int
	random  *rand.Rand
	targets []Target
	agents  map[Name]*agentModel
	byAddr  map[netip.Addr]place
	// lost says of a packet from one node to another whether it is lost.
	lost func(from, to Name, k Kind) bool
	// refused says of a probe whether the prober's own kernel does not send it.
	refused func(from Name, k Kind) bool
	// latency is one way, between clusters; within one it is 100 µs.
	latency time.Duration
	packets int
	changes []change
}

type place struct {
	name Name
	kind Kind
}

type change struct {
	at  time.Duration
	who Name
	Change
}

// agentModel is a node: its kernel, and its agent.
type agentModel struct {
	name    Name
	machine *Machine
	dead    bool // no power
	paused  bool // the agent stands still, the kernel answers
	inbox   Input
	due     time.Time
	sent    int
	life    Life
}

type event struct {
	at    time.Time
	order int
	do    func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at.Before(e[j].at) || e[i].at.Equal(e[j].at) && e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	x := old[len(old)-1]
	*e = old[:len(old)-1]
	return x
}

var epoch = time.Unix(1_000_000_000, 0)

// newWorld makes clusters of so many nodes: a, b, c…; who is in more than observers of
// a cluster has a kernel but no agent, for speed.
func newWorld(t *testing.T, observers int, sizes ...int) *world {
	return makeWorld(t, DefaultKnobs(), false, observers, sizes...)
}

// newSlowWorld is newWorld with agents that ask each other at an interval.
func newSlowWorld(t *testing.T, interval time.Duration, observers int, sizes ...int) *world {
	k := DefaultKnobs()
	k.Interval = interval
	return makeWorld(t, k, false, observers, sizes...)
}

// newDualWorld is newWorld with nodes that have both families.
func newDualWorld(t *testing.T, observers int, sizes ...int) *world {
	return makeWorld(t, DefaultKnobs(), true, observers, sizes...)
}

func makeWorld(t *testing.T, k Knobs, dual bool, observers int, sizes ...int) *world {
	w := &world{T: t, now: epoch, random: rand.New(rand.NewPCG(1, 2)), agents: map[Name]*agentModel{}, byAddr: map[netip.Addr]place{},
		lost: func(Name, Name, Kind) bool { return false }, latency: 5 * time.Millisecond}
	var targets []Target
	for c, size := range sizes {
		for i := range size {
			name := Name{string(rune('a' + c)), fmt.Sprintf("%c-%d", 'a'+c, i+1)}
			target := Target{Name: name}
			for k := range kinds {
				a := [4]byte{10, byte(c)<<1 | byte(k)&1, byte(i >> 8), byte(i)}
				switch {
				case k < Address6:
					target.Ask[k] = netip.AddrFrom4(a)
				case !dual:
					continue
				default:
					target.Ask[k] = netip.AddrFrom16([16]byte{0: 0xfd, 12: a[0], 13: a[1], 14: a[2], 15: a[3]})
				}
				w.byAddr[target.Ask[k]] = place{name, k}
			}
			targets = append(targets, target)
			a := &agentModel{name: name}
			if i < observers {
				a.machine = NewMachine(k, name)
			}
			w.agents[name] = a
		}
	}
	w.targets = targets
	var fresh []string
	for c := range sizes {
		fresh = append(fresh, string(rune('a'+c)))
	}
	for _, tg := range targets { // in order, so that runs are alike
		if a := w.agents[tg.Name]; a.machine != nil {
			a.machine.SetMembers(w.membersOf(tg.Cluster))
			w.follow(a, 0, fresh...)
			a.machine.SetTargets(w.now, targets)
			w.step(a)
		}
	}
	return w
}

// follow has the mirrors of clusters follow for an agent, which were listed so often, and
// no others.
func (w *world) follow(a *agentModel, listings uint64, clusters ...string) {
	all := map[string]Mirror{}
	for _, t := range w.targets {
		all[t.Cluster] = Mirror{slices.Contains(clusters, t.Cluster), listings}
	}
	a.machine.SetMirrors(w.now, all)
}

// membersOf returns the names of a cluster's nodes.
func (w *world) membersOf(cluster string) (out []string) {
	for _, t := range w.targets {
		if t.Cluster == cluster {
			out = append(out, t.Node)
		}
	}
	return out
}

func (w *world) at(d time.Duration, do func()) {
	w.order++
	heap.Push(&w.events, event{w.now.Add(d), w.order, do})
}

// run lets time pass.
func (w *world) run(d time.Duration) {
	end := w.now.Add(d)
	for len(w.events) > 0 && !w.events[0].at.After(end) {
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		e.do()
	}
	w.now = end
}

func (w *world) since() time.Duration { return w.now.Sub(epoch) }

// step runs an agent now.
func (w *world) step(a *agentModel) {
	if a.dead || a.paused || a.machine == nil {
		return
	}
	in := a.inbox
	a.inbox, in.Now = Input{}, w.now
	out := a.machine.Step(in)
	for _, p := range out.Probes {
		w.probe(a, p)
	}
	for _, g := range out.Gossip {
		w.gossip(a, g)
	}
	for _, c := range out.Changes {
		w.changes = append(w.changes, change{w.since(), a.name, c})
	}
	if out.Wake.Before(w.now) {
		w.Fatalf("it wants to wake %v ago", w.now.Sub(out.Wake))
	}
	a.due = out.Wake
	w.at(out.Wake.Sub(w.now), func() {
		if a.due.Equal(w.now) {
			w.step(a)
		}
	})
}

func (w *world) probe(a *agentModel, p Probe) {
	if w.refused != nil && w.refused(a.name, p.Kind) {
		a.inbox.Unsent = append(a.inbox.Unsent, Unsent{p.ID, "forbidden"})
		return
	}
	to := w.byAddr[p.To]
	a.sent++
	w.packets++
	if w.lost(a.name, to.name, p.Kind) {
		return
	}
	w.at(w.way(a.name, to.name), func() {
		if w.agents[to.name].dead || to.kind != p.Kind || w.lost(to.name, a.name, p.Kind) {
			return
		}
		w.packets++
		life := w.agents[to.name].life
		w.at(w.way(a.name, to.name), func() {
			a.inbox.Replies = append(a.inbox.Replies, Reply{ID: p.ID, Arrived: w.now, Life: life})
			w.step(a)
		})
	})
}

func (w *world) gossip(a *agentModel, g []byte) {
	for i := range len(w.agents) {
		b := w.agents[Name{a.name.Cluster, fmt.Sprintf("%s-%d", a.name.Cluster, i+1)}]
		if b == nil || b == a || b.machine == nil || w.lost(a.name, b.name, Address) {
			continue
		}
		w.at(time.Duration(10+w.random.IntN(90))*time.Millisecond, func() {
			b.inbox.Gossip = append(b.inbox.Gossip, Message{a.name.Node, g})
			w.step(b)
		})
	}
}

func (w *world) way(a, b Name) time.Duration {
	base := 100 * time.Microsecond
	if a.Cluster != b.Cluster {
		base = w.latency
	}
	return base + time.Duration(w.random.Int64N(int64(base)/2))
}

// settle lets all get to know each other.
func (w *world) settle() {
	w.run(3 * time.Second)
	for _, c := range w.changes {
		if c.State != clustermesh.VerdictUp && c.State != clustermesh.VerdictUnmonitored {
			w.Errorf("while all is well, %v says at %v: %v %v is %v", c.who, c.at, c.Cluster, c.Node, c.State)
		}
	}
	w.changes = nil
}

// downs returns who said that a node (or a cluster, without one) is down, and when.
func (w *world) downs(who Name) map[Name]time.Duration {
	out := map[Name]time.Duration{}
	for _, c := range w.changes {
		if c.Cluster == who.Cluster && c.Node == who.Node && c.State == clustermesh.VerdictDown {
			if _, ok := out[c.who]; !ok {
				out[c.who] = c.at
			}
		}
	}
	return out
}

// noDowns fails when somebody was said to be down, other than those that are.
func (w *world) noDowns(but ...Name) {
	w.Helper()
	n := 0
	for _, c := range w.changes {
		excused := false
		for _, b := range but {
			excused = excused || b.Cluster == c.Cluster && (b.Node == c.Node || b.Node == "")
		}
		if c.State == clustermesh.VerdictDown && c.Was != clustermesh.VerdictDown && !excused {
			if n++; n < 5 {
				w.Errorf("%v said at %v: %v: %v", c.who, c.at, Name{c.Cluster, c.Node}, c.Verdict)
			}
		}
	}
}

// state is what one node thinks of another now.
func (w *world) state(who, of Name) clustermesh.VerdictState {
	for _, v := range w.agents[who].machine.Verdicts() {
		if v.Cluster == of.Cluster && v.Node == of.Node {
			return v.State
		}
	}
	return ""
}
