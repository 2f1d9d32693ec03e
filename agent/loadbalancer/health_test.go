package loadbalancer

import (
	"slices"
	"testing"
	"time"
)

// clustersIn returns the clusters of a frontend's primary table.
func (h *harness) clustersIn(f Frontend) []uint16 {
	h.Helper()
	number, err := h.k.frontend(f)
	if err != nil || number == 0 {
		h.Fatalf("%v leads nowhere: %v", f, err)
	}
	var out []uint16
	for _, n := range h.k.Slots(h.k.Service(number).Tables[Primary]) {
		out = append(out, h.k.Backend(n).Cluster)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// TestOrderOfAVerdict holds that what goes down is stored before anything else
// happens, and that what comes up has its place in the tables before that is
// stored.
func TestOrderOfAVerdict(t *testing.T) {
	h := newHarness(t, 1, newRAM(testLimits))
	h.w.half(false, -1)
	h.tell(true)
	h.converge()
	f := worldFrontends()[0]
	both := h.clustersIn(f)
	if !slices.Contains(both, 2) || len(both) < 2 {
		t.Fatalf("the clusters %v show nothing", both)
	}
	for _, c := range []struct {
		what   string
		who    nodeName
		health Health
		byte   func() Health
	}{
		{"a cluster", nodeName{cluster: 2}, ClusterDown, func() Health { return h.k.ClusterHealth(2) }},
		{"the pods of a node", nodeName{2, "n1"}, PodsDown, func() Health { return h.k.NodeHealth(h.l.state.nodes.byName[nodeName{2, "n1"}][0]) }},
	} {
		h.l.judge(Verdict{Cluster: c.who.cluster, Node: c.who.name, Down: c.health, Known: Everything})
		if got := c.byte(); got != c.health {
			t.Errorf("%s is down, and what is stored is %d before any table is built", c.what, got)
		}
		h.tables(c.who, false)
		h.drain(5)
		h.tables(c.who, true)

		h.l.judge(Verdict{Cluster: c.who.cluster, Node: c.who.name, Down: 0, Known: Everything})
		if got := c.byte(); got != c.health {
			t.Errorf("%s is up again, and stored so before it is in a table", c.what)
		}
		h.drain(5)
		h.tables(c.who, false)
		if got := c.byte(); got != 0 {
			t.Errorf("%s is up again, and what is stored is %d", c.what, got)
		}
	}
	// Down again before the tables were built: nothing comes up in between.
	h.l.judge(Verdict{Cluster: 2, Down: ClusterDown, Known: Everything})
	h.drain(5)
	h.l.judge(Verdict{Cluster: 2, Down: 0, Known: Everything})
	h.l.judge(Verdict{Cluster: 2, Down: ClusterDown, Known: Everything})
	h.drain(5)
	if got := h.k.ClusterHealth(2); got != ClusterDown {
		t.Errorf("up and down at once: what is stored is %d", got)
	}
}

// TestVerdictsBeforeTheMesh holds that an agent which knows nothing of the mesh yet
// stores verdicts, and then sleeps.
func TestVerdictsBeforeTheMesh(t *testing.T) {
	h := newHarness(t, 1, newRAM(testLimits))
	for _, health := range []Health{ClusterDown, 0, ClusterDown, 0} {
		h.l.judge(Verdict{Cluster: 2, Down: health, Known: Everything})
		h.l.settle(h.now)
		if got := h.k.ClusterHealth(2); got != health {
			t.Errorf("the verdict is %d, and what is stored %d", health, got)
		}
		h.now = h.now.Add(time.Second)
		h.l.settle(h.now) // publishes
		if wake := h.l.nextWake(h.now); wake < time.Minute {
			t.Errorf("nothing can be done, and it wakes in %v", wake)
		}
	}
}

// TestVerdictInPart holds that of what a verdict does not speak the maps keep what an
// earlier process stored, also while no backend has the node's number.
func TestVerdictInPart(t *testing.T) {
	h := newHarness(t, 1, newRAM(testLimits))
	h.w.half(false, -1)
	h.tell(true)
	h.converge()
	who := nodeName{2, "n1"}
	number := h.l.state.nodes.byName[who][0]
	h.k.SetNodeHealth(number, NodeDown|PodsDown)
	h.k.SetClusterHealth(2, ClusterDown)

	h.l.judge(Verdict{Cluster: 2, Node: "n1", Known: PodsDown})
	h.l.judge(Verdict{Cluster: 2, Known: ClusterDown & V4})
	if got := h.k.NodeHealth(number); got != NodeDown {
		t.Errorf("its pods answer: stored %d", got)
	}
	if got := h.k.ClusterHealth(2); got != ClusterDown&V6 {
		t.Errorf("the cluster answers by IPv4: stored %d", got)
	}
	h.l.judge(Verdict{Cluster: 2, Node: "n1", Down: PodsDown, Known: PodsDown})
	h.drain(5)
	h.l.judge(Verdict{Cluster: 2, Node: "n1", Known: PodsDown})
	h.drain(5)
	if got := h.k.NodeHealth(number); got != NodeDown {
		t.Errorf("its pods died and came back: stored %d", got)
	}

	// Another number has it too.
	var none remains
	for range h.l.state.nodes.refs[number] {
		h.l.state.nodes.drop(number, &none)
	}
	if again, err := h.l.state.nodes.number(who); err != nil || h.k.NodeHealth(again) != NodeDown {
		t.Errorf("number %d has %d, %v", again, h.k.NodeHealth(again), err)
	}
	h.l.judge(Verdict{Cluster: 2, Node: "n1", Known: Everything})
	if got := h.k.NodeHealth(h.l.state.nodes.byName[who][0]); got != 0 {
		t.Errorf("all of it answers: stored %d", got)
	}
}

// tables checks whether some table names a pod of the cluster or node.
func (h *harness) tables(who nodeName, gone bool) {
	h.Helper()
	found := false
	for _, ports := range h.l.state.byName {
		for _, p := range ports {
			for _, n := range h.k.Slots(p.tables[Primary].at) {
				b := h.k.Backend(n)
				ofNode := who.name == "" || slices.Contains(h.l.state.nodes.byName[who], b.Node) && !b.OnNode
				found = found || b.Cluster == who.cluster && ofNode
			}
		}
	}
	if found == gone {
		h.Errorf("%v is in a table: %v", who, found)
	}
}

// BenchmarkFlip takes a cluster down that has half of the backends of all
// services, and up again: what is measured is the tables, and how long the verdict
// takes that says so, from whoever says it to the maps.
func BenchmarkFlip(b *testing.B) {
	l := fresh(b)
	l.take(benchBatch(benchShared()))
	finishAll(l)
	c := &clock{Target: l.target, stored: map[uint16]time.Time{}}
	l.target, l.state.target = c, c
	var worst time.Duration
	for b.Loop() {
		for _, h := range []Health{ClusterDown, 0} {
			said := make(chan time.Time, 1)
			go func() {
				said <- time.Now()
				l.verdicts <- Verdict{Cluster: 2, Down: h, Known: Everything}
			}()
			l.judge(<-l.verdicts)
			worst = max(worst, c.stored[2].Sub(<-said))
			finishAll(l)
		}
	}
	b.ReportMetric(float64(worst.Microseconds()), "us/verdict-worst")
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(2*b.N), "ms/flip")
	if f := l.queue.Failures(); len(f) > 0 {
		b.Fatalf("%d services failed, first with %v", len(f), f[0].Err)
	}
}
