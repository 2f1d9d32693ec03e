package health

import (
	"slices"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// states returns what was said of somebody by another, one after the other, and forgets it.
func (w *world) states(who, of Name) (all []clustermesh.VerdictState) {
	for _, c := range w.changes {
		if c.who == who && (Name{c.Cluster, c.Node}) == of {
			all = append(all, c.State)
		}
	}
	w.changes = nil
	return all
}

// drain says of a cluster's nodes, to everybody, that it is drained as a whole; an empty
// text that it is not.
func (w *world) drain(cluster, text string) {
	w.targets = slices.Clone(w.targets)
	for i := range w.targets {
		if t := &w.targets[i]; t.Cluster == cluster {
			if t.Draining, t.ClusterDraining = text, text; text != "" {
				t.Draining = "its cluster is " + text
			}
		}
	}
	for _, a := range w.agents {
		if a.machine != nil {
			a.machine.SetTargets(w.now, w.targets)
		}
	}
	w.run(100 * time.Millisecond)
}

// A cluster is suspect while all that is watched of it is silent, before it is down or up
// again; and draining while it is drained as a whole, which is no fault of anybody's eyes.
func TestClusterStates(t *testing.T) {
	const up, suspect, down, draining = clustermesh.VerdictUp, clustermesh.VerdictSuspect, clustermesh.VerdictDown, clustermesh.VerdictDraining
	w := newWorld(t, 3, 3, 3)
	w.settle()
	w.changes = nil
	b, a := Name{Cluster: "b"}, node1("a", 1)
	dead := func(is bool) {
		for i := range 3 {
			w.agents[node1("b", i+1)].dead = is
		}
	}
	expect := func(when string, who Name, want ...clustermesh.VerdictState) {
		t.Helper()
		if got := w.states(a, who); !slices.Equal(got, want) {
			t.Errorf("%s: of %v was said %v, want %v", when, who, got, want)
		}
	}
	dead(true)
	w.run(2 * time.Second)
	expect("it dies", b, suspect, down)
	dead(false)
	w.run(10 * time.Second)
	expect("it is back", b, up)
	w.drain("b", "drained since today")
	expect("it is drained", b, draining)
	if v := w.about(a, b); v.Reason != "drained since today" || v.Condition().Status != "True" {
		t.Errorf("drained, it is %+v", v)
	}
	dead(true)
	w.run(2 * time.Second)
	expect("it dies", b, suspect, down)
	dead(false)
	w.run(time.Minute)
	expect("it is back", b, draining)
	w.drain("b", "")
	expect("it is drained no more", b, up)
	w.drain("a", "drained since today")
	expect("the own one is drained", Name{Cluster: "a"}, draining)
	w.drain("a", "")
	one := w.agents[node1("b", 1)]
	one.dead = true
	w.changes = nil
	w.run(2 * time.Second)
	expect("one of its nodes dies", b)
}

// A cluster to which this node cannot send probes is not silent: it is not monitored, as its
// nodes are.
func TestMutedClusterIsNotSuspect(t *testing.T) {
	w := newWorld(t, 3, 3, 3)
	w.settle()
	m := w.agents[node1("a", 1)].machine
	c := m.clusters["b"]
	for _, n := range c.nodes {
		n.suspect = m.now
		for k := range kinds {
			n.track[k].gag = gag{why: "no route", since: m.now.Add(-unheard), times: silences}
		}
	}
	if v := m.judge("b", c); v.State != clustermesh.VerdictUnmonitored {
		t.Errorf("the cluster is %s: %s", v.State, v.Reason)
	}
	for _, n := range c.nodes {
		if v := m.opinion(n); v.State != clustermesh.VerdictUnmonitored {
			t.Errorf("node %v is %s: %s", n.Name, v.State, v.Reason)
		}
	}
}
