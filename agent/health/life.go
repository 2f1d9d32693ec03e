package health

import (
	"container/heap"
	"context"
	"maps"
	"time"
)

// Life tells one run of a node's endpoints from another.
type Life struct {
	BootID [16]byte
	Epoch  uint64
}

// Sighting is a node that lives a life which it did not live when it answered last.
type Sighting struct {
	Name
	Life
}

// Confirm says that what lives on a node is known as of a life, as though the
// mirror of its cluster were fresh: the node may come back with it.
func (m *Machine) Confirm(who Name, life Life) {
	if n := m.nodes[who]; n != nil && n.confirmed != life {
		n.confirmed = life
		m.touch(who)
	}
}

// Unsure is for how long a mirror may seem to follow that does not: what cuts nodes off
// may cut off their cluster's store, and so short that no connection is found dead.
const Unsure = 15 * time.Second

// known reports whether it is known what runs on a node whose kind answers again: it is
// what ran there before, the node was asked, or its cluster's mirror says it, which was
// listed since the fall or follows for so long that it does.
func (m *Machine) known(n *node, t *track) bool {
	if t.life == t.before || t.life == n.confirmed {
		return true
	}
	s := m.mirrors[n.Cluster]
	return s.Follows && (s.listed.After(t.fell) || m.now.Sub(t.back) >= Unsure && m.now.Sub(s.since) >= Unsure)
}

// Mirror is how the mirror of a cluster stands.
type Mirror struct {
	// Follows: it seems to follow what the cluster says.
	Follows bool
	// Listings counts how often it was listed anew.
	Listings uint64
}

// standing is a mirror with what this process saw of it: since when it follows, and
// when it was last seen to be listed anew; zero when it was not.
type standing struct {
	Mirror
	since, listed time.Time
}

// SetMirrors says how the mirrors stand. Who was down with another life than it comes
// back with does so only when a mirror is proven to follow, or the node itself was asked.
// That one follows when it is first seen proves nothing: a process before this one may
// have seen it follow through the whole fall.
func (m *Machine) SetMirrors(now time.Time, all map[string]Mirror) {
	for cluster, is := range all {
		was, known := m.mirrors[cluster]
		s := standing{is, was.since, was.listed}
		if is.Follows && !was.Follows {
			s.since = now
		}
		if known && is.Listings != was.Listings {
			s.listed = now
		}
		m.mirrors[cluster] = s
	}
	maps.DeleteFunc(m.mirrors, func(cluster string, _ standing) bool { _, ok := all[cluster]; return !ok })
}

// sight notes what a reply says of a node's life. While the mirror of its cluster is
// stale those who watch it tell the others, who ask it seldom.
func (m *Machine) sight(n *node, life Life) {
	if n.life == life {
		return
	}
	first := n.life == Life{}
	n.life = life
	m.out.Sightings = append(m.out.Sightings, Sighting{n.Name, life})
	n.untold = n.watched && !first && !m.mirrors[n.Cluster].Follows
	m.tellMove(n)
}

// tellMove tells the others of a life that moved, once in a while and the last always.
func (m *Machine) tellMove(n *node) {
	if !n.untold {
		return
	}
	if again := n.moved.Add(prodEvery); again.After(m.now) {
		if again.Before(n.due) {
			n.due = again
			heap.Fix(&m.queue, n.place)
		}
		return
	}
	n.untold, n.moved = false, m.now
	m.out.Gossip = append(m.out.Gossip, Report{Name: n.Name, State: Moved}.Append(nil))
}

// prodEvery bounds how often a node is asked, or spoken of, because it lives
// another life.
const prodEvery = 200 * time.Millisecond

// prod has a node asked soon of which others say that it lives another life: once in a
// while, and in any case after the last of them said so.
func (m *Machine) prod(n *node) {
	if n.watched || n.prodded.After(m.now) {
		return
	}
	m.hasten(n, max(0, n.prodded.Add(prodEvery).Sub(m.now)))
	n.prodded = n.next
}

// Spread has the others of the own cluster look at a node, because it lives another
// life than its mirror knows.
func (m *Machine) Spread(who Name) {
	m.spread = append(m.spread, Report{Name: who, State: Moved}.Append(nil))
}

// Confirm is Machine.Confirm, for those who asked the node itself. It returns when
// Run has it, or ctx is done.
func (h *Health) Confirm(ctx context.Context, who Name, life Life) error {
	return h.hear(ctx, func(m *Machine) { m.Confirm(who, life) })
}

// Spread is Machine.Spread. It returns when Run has it, or ctx is done.
func (h *Health) Spread(ctx context.Context, who Name) error {
	return h.hear(ctx, func(m *Machine) { m.Spread(who) })
}

// hear has Run do something with its machine, if it has one.
func (h *Health) hear(ctx context.Context, do func(*Machine)) error {
	select {
	case h.heard <- do:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
