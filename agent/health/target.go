package health

import (
	"container/heap"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// SetTargets says which nodes there are, all of them, this one included.
func (m *Machine) SetTargets(now time.Time, all []Target) {
	// A step follows at once; that no step was due before is no stall.
	if m.now.IsZero() {
		m.now = now
	}
	known, changed := map[Name]struct{}{}, false
	for _, t := range all {
		known[t.Name] = struct{}{}
		n := m.nodes[t.Name]
		if n == nil {
			n, changed = m.meet(t, now), true
		}
		if n.Ask != t.Ask {
			m.readdress(n, t.Ask, now)
			changed = true // a family more or less is a share more or less of the budget
		}
		n.Draining, n.Deaf = t.Draining, t.Deaf
		m.clusters[t.Cluster].draining = t.ClusterDraining
		m.touch(t.Name)
	}
	for name, n := range m.nodes {
		if _, ok := known[name]; !ok {
			m.part(n)
			changed = true
		}
	}
	maps.DeleteFunc(m.memory, func(_ Name, r Record) bool { return r.lapsed(now) })
	if changed {
		m.assign()
	}
	heap.Init(&m.queue)
}

// meet takes a node in.
func (m *Machine) meet(t Target, now time.Time) *node {
	n := &node{Target: t, met: now, reports: map[string]Report{}}
	// Nodes have their turns at moments of their own.
	n.next = now.Add(time.Duration(weigh(m.self.Node, t.Name) % uint64(tryEvery)))
	n.due = n.next
	m.nodes[t.Name] = n
	c := m.clusters[t.Cluster]
	if c == nil {
		c = &cluster{nodes: map[string]*node{}}
		m.clusters[t.Cluster] = c
		m.recallCluster(t.Cluster, c, now)
	}
	c.nodes[t.Node] = n
	if t.Name != m.self {
		m.recall(n)
		heap.Push(&m.queue, n)
	}
	return n
}

// readdress takes in by which addresses a node is asked from now on. What is not
// asked any more is not monitored, and so not down either; nor is what is asked at
// another address, where nobody answered yet. But what is down stays so until it
// answers there, also when it was not asked for a moment.
func (m *Machine) readdress(n *node, ask [kinds]netip.Addr, now time.Time) {
	old := n.Ask
	n.Ask, n.due = ask, now
	for k := range kinds {
		if old[k] == ask[k] {
			continue
		}
		m.recant(n, k)
		was := n.track[k]
		if l := n.lapsed[k]; !old[k].IsValid() && now.Sub(l.at) < lapses {
			was = l.track
		}
		n.lapsed[k] = lapse{}
		if n.track[k] = was.elsewhere(ask[k]); !ask[k].IsValid() && !was.down.IsZero() {
			n.lapsed[k] = lapse{was, now}
		}
		n.streak[k.family()] = 0
		if n.burst != nil {
			n.burst.asks[k] = false
		}
	}
	if !n.everAnswered() {
		m.endBurst(n)
		n.suspect, n.streak = time.Time{}, [families]int{}
	}
}

// lapses is for how long it counts that something was down which is not asked any more:
// an object that is deleted and made anew, an address that a node had not for a moment.
const lapses = time.Minute

// elsewhere is what is known of a kind that is asked at another address from now on.
func (t track) elsewhere(a netip.Addr) track {
	if !a.IsValid() || t.down.IsZero() {
		return track{}
	}
	return track{monitored: t.monitored, down: t.down, fell: t.fell, falls: t.falls, before: t.before, lent: t.lent}
}

// recant forgets the probes of a kind that are under way: the address that they ask is
// not the node's any more.
func (m *Machine) recant(n *node, k Kind) {
	n.waiting = slices.DeleteFunc(n.waiting, func(f *flight) bool { return f.kind == k })
	maps.DeleteFunc(m.flights, func(_ uint64, f *flight) bool { return f.node == n && f.kind == k })
}

// part forgets a node that exists no more.
func (m *Machine) part(n *node) {
	m.touch(n.Name)
	if n.Name != m.self {
		heap.Remove(&m.queue, n.place)
	}
	m.endBurst(n)
	if n.anyDown() {
		r := n.record()
		r.left = m.now
		m.memory[n.Name] = r
	}
	delete(m.nodes, n.Name)
	c := m.clusters[n.Cluster]
	delete(c.nodes, n.Node)
	m.gone(n)
	if len(c.nodes) == 0 {
		m.goneCluster(n.Cluster, c)
		delete(m.clusters, n.Cluster)
	}
}

// SetUsed says which nodes of other clusters the services here use: this node has an
// eye on some of them, rather than on others.
func (m *Machine) SetUsed(used map[Name]struct{}) {
	if !maps.Equal(m.used, used) {
		m.used = used
		m.choose()
	}
}

// assign decides which nodes it falls to this one to watch, and whom it does watch.
func (m *Machine) assign() {
	alone := m.alone()
	for cluster, c := range m.clusters {
		own, share := cluster == m.self.Cluster, m.knobs.Covering
		if own {
			share = m.knobs.Watchers
		}
		for _, n := range c.nodes {
			n.share = n.Name != m.self && (alone || watches(m.self.Node, m.members, n.Name, share, own))
		}
	}
	m.choose()
}

// samples is how many nodes besides that services use are asked before their cluster is
// called down: those that are watched may be just those that died.
const samples = 20

// fellows is how many nodes of the own cluster are asked at most, besides those that are
// watched, before this one takes itself for isolated.
const fellows = 64

// choose decides whom this node watches, and how often: besides its share a few of
// each other cluster, of those that services use while there are so many.
func (m *Machine) choose() {
	watched := 0 // a family is asked as often as a node of its own
	for cluster, c := range m.clusters {
		var used, others []Name
		for _, n := range c.nodes {
			n.watched, n.sampled = n.share, false
			if _, ok := m.used[n.Name]; ok {
				used = append(used, n.Name)
			} else {
				others = append(others, n.Name)
			}
		}
		if cluster == m.self.Cluster {
			for _, name := range nearest(m.self.Node, append(others, used...), fellows) {
				m.nodes[name].sampled = true
			}
		} else {
			most := nearest(m.self.Node, used, m.knobs.Few+samples)
			for _, name := range most {
				m.nodes[name].sampled = true
			}
			few := most[:min(m.knobs.Few, len(most))]
			for _, name := range append(few, nearest(m.self.Node, others, m.knobs.Few-len(few))...) {
				m.nodes[name].watched = true
			}
		}
		for _, n := range c.nodes {
			if n.watched {
				_, of := n.asked()
				watched += of
				if soon := m.now.Add(time.Duration(weigh(m.self.Node, n.Name) % uint64(m.interval))); n.next.After(soon) {
					n.next = soon
				}
				n.due = m.now
			}
			m.touch(n.Name)
		}
	}
	m.interval = max(m.knobs.Interval, time.Duration(watched)*2*time.Second/time.Duration(m.knobs.Budget))
	heap.Init(&m.queue)
}
