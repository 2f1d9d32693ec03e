package census

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/agent/pods"
	"tombolo.io/tombolo/clustermesh/global"
)

// desk decides who is to be asked, and holds what was withdrawn. It is plain data.
type desk struct {
	clusters map[string]*cluster
}

type cluster struct {
	// fresh: the mirror is said to follow. It takes seconds to notice that it does
	// not, and so a node that moved is asked then too, a moment later.
	fresh bool
	nodes map[string]*node
}

type node struct {
	// life is what it lives, as probes say, and moved since when.
	life  health.Life
	moved time.Time
	// known is the life of which it is known what runs there: from the mirror when
	// it was fresh, or from an answer.
	known health.Life
	// answered is the life of which the node itself spoke last.
	answered health.Life
	// ruled is when the mirror last took the place of what was to be asked, or of what
	// an answer withdrew.
	ruled time.Time
	// void: the answer that is under way comes too late, for the mirror came first.
	void bool
	// until is when the mirror rules again, if it is still fresh then.
	until time.Time
	// asking: a question is under way. due is when one may be asked, after so many
	// that failed.
	asking bool
	due    time.Time
	failed int
	// way counts the failures of all questions: the way that answered last is kept.
	way int
	// gone are the pods that ended, and why, for people.
	gone map[global.Pod]string
}

// While a mirror is fresh it has grace to say what moved, and what a node says
// against it holds for as long as it may take to find the mirror stale.
const (
	grace    = 250 * time.Millisecond
	believed = health.Unsure
)

// Questions that fail are asked again after againMin, twice as long each time, to
// againMax.
const (
	againMin = 150 * time.Millisecond
	againMax = 10 * time.Second
)

func newDesk() *desk { return &desk{clusters: map[string]*cluster{}} }

func (d *desk) cluster(name string) *cluster {
	c := d.clusters[name]
	if c == nil {
		c = &cluster{nodes: map[string]*node{}}
		d.clusters[name] = c
	}
	return c
}

func (d *desk) node(who health.Name) *node {
	c := d.cluster(who.Cluster)
	n := c.nodes[who.Node]
	if n == nil {
		n = &node{}
		c.nodes[who.Node] = n
	}
	return n
}

// sighted notes which life a node lives.
func (d *desk) sighted(who health.Name, life health.Life, now time.Time) {
	n := d.node(who)
	if n.life == life {
		return
	}
	first := n.life == health.Life{}
	n.life, n.moved, n.due, n.failed = life, now, now, 0
	if d.cluster(who.Cluster).fresh {
		if n.due = now.Add(grace); first {
			n.known = life
		}
	}
}

// mirrored notes whether the mirror of a cluster is fresh, or since when it is not,
// and reports whether withdrawals ended.
func (d *desk) mirrored(name string, fresh bool, since, now time.Time) (ended bool) {
	c := d.cluster(name)
	was := c.fresh
	c.fresh = fresh
	for _, n := range c.nodes {
		switch {
		case fresh && !was:
			ended = ended || len(n.gone) > 0
			if len(n.gone) > 0 || n.known != n.life {
				n.ruled = now
			}
			n.gone, n.known, n.answered, n.void = nil, n.life, health.Life{}, n.asking
		// What moved before a mirror was found stale is not known to be mirrored, nor what
		// it was believed about.
		case was && !fresh && n.answered != n.life && n.unsure(since):
			n.known, n.due = health.Life{}, time.Time{}
		}
	}
	return ended
}

// unsure reports whether a mirror that is stale since then may not have had the time to
// say what runs on a node.
func (n *node) unsure(since time.Time) bool {
	from := since.Add(-health.Unsure)
	return !n.moved.Before(from) || !n.ruled.Before(from)
}

// keep forgets the nodes of a cluster that exist no more, and reports whether
// withdrawals ended with them.
func (d *desk) keep(name string, nodes map[string]struct{}) (ended bool) {
	c := d.cluster(name)
	for node, n := range c.nodes {
		if _, ok := nodes[node]; !ok {
			ended = ended || len(n.gone) > 0
			delete(c.nodes, node)
		}
	}
	return ended
}

// next returns the nodes to ask now, those first that moved last.
func (d *desk) next(now time.Time) (who []health.Name) {
	for name, c := range d.clusters {
		for node, n := range c.nodes {
			if n.life != (health.Life{}) && n.life != n.known && !n.asking && !n.due.After(now) {
				who = append(who, health.Name{Cluster: name, Node: node})
			}
		}
	}
	slices.SortFunc(who, func(a, b health.Name) int {
		return cmp.Or(d.node(b).moved.Compare(d.node(a).moved), cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Node, b.Node))
	})
	return who
}

// begin notes that a node is asked.
func (d *desk) begin(who health.Name) { d.node(who).asking = true }

// failed notes that a question had no answer that counts.
func (d *desk) failed(who health.Name, now time.Time) {
	n := d.node(who)
	n.asking, n.void = false, false
	n.failed++
	n.way++
	n.due = now.Add(min(againMin<<min(n.failed-1, 10), againMax))
}

// settled notes that it is known what runs on a node as of a life, and returns whom
// that withdrew and who is back. Of pods that were not asked about nothing is said; who
// was withdrawn and of whom the node knows nothing now stays so, for its address may be
// another's.
func (d *desk) settled(who health.Name, life health.Life, pairs []Pair, states []pods.State, now time.Time) (gone map[global.Pod]string, back []global.Pod) {
	n := d.node(who)
	n.asking, n.failed = false, 0
	if n.void {
		n.void = false
		return nil, nil
	}
	// A life that is newer than the sighting is sighted in a moment.
	n.due = now.Add(againMin)
	n.known, n.answered, n.until = life, life, now.Add(believed)
	before := n.gone
	n.gone = map[global.Pod]string{}
	for i, p := range pairs {
		pod := global.Pod{Cluster: who.Cluster, Address: p.Address, UID: p.UID}
		reason, was := before[pod]
		switch {
		case states[i] == pods.Ended || states[i] == pods.Reused:
			n.gone[pod] = why(who.Node, states[i])
		case states[i] == pods.Unknown && was:
			n.gone[pod] = reason
		}
	}
	gone = map[global.Pod]string{}
	for pod, reason := range n.gone {
		if _, ok := before[pod]; !ok {
			gone[pod] = reason
		}
	}
	for pod := range before {
		if _, ok := n.gone[pod]; !ok {
			back = append(back, pod)
		}
	}
	return gone, back
}

// expire ends what nodes said against mirrors that are fresh nevertheless, and
// returns the clusters of which it ended something.
func (d *desk) expire(now time.Time) (names []string) {
	for name, c := range d.clusters {
		ended := false
		for _, n := range c.nodes {
			if c.fresh && len(n.gone) > 0 && !n.until.After(now) {
				n.gone, ended = nil, true
			}
		}
		if ended {
			names = append(names, name)
		}
	}
	return names
}

// why says for people on whose word a pod is withdrawn.
func why(node string, s pods.State) string {
	if s == pods.Reused {
		return "node " + node + " says that another pod has the address"
	}
	return "node " + node + " says that the pod ended"
}

// withdrawn returns the pods of a cluster that ended.
func (d *desk) withdrawn(name string) map[global.Pod]string {
	out := map[global.Pod]string{}
	for _, n := range d.cluster(name).nodes {
		maps.Copy(out, n.gone)
	}
	return out
}

// anyStale reports whether the mirror of some cluster does not rule.
func (d *desk) anyStale() bool {
	for _, c := range d.clusters {
		if !c.fresh {
			return true
		}
	}
	return false
}
