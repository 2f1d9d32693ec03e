package health

import (
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// node is what is known of one.
type node struct {
	Target
	// met is when it was first heard of.
	met time.Time
	// share: it is among those whose watching falls to us; watched: we do watch it.
	share, watched bool
	// sampled: it is asked, watched or not, before its cluster is called down, because
	// services use it, or, in the own cluster, before we take ourselves for isolated.
	sampled bool
	// glanced is when it was last asked for that beside its turns.
	glanced time.Time
	// swept: it has a moment of its own among those that are asked rarely.
	swept bool
	track [kinds]track
	// lapsed is what was known of a kind that is not asked, since when it is not.
	lapsed [kinds]lapse
	// life is what it lived when it answered last, confirmed one of which it is
	// known what runs there.
	life, confirmed Life
	// moved is when we last gossiped that it lives another life, untold that it moved
	// since; prodded when we ask it, or did, because others did.
	moved, prodded time.Time
	untold         bool
	// turn counts the probes of watching, next is when the next is due.
	turn int
	next time.Time
	// streak counts the silences in a row of a family, of whichever kind.
	streak [families]int
	// suspect is since when it is suspected; zero when it is not. quiet is until
	// when it is not suspected again, told when that was last gossiped.
	suspect, quiet, told time.Time
	burst                *burst
	// reports are what others said of it last, by their names.
	reports map[string]Report

	// due is when there is something to do about it, place where it is in the queue.
	due   time.Time
	place int
	said  said
	// waiting are the flights whose silence is not certain yet, the oldest first.
	waiting []*flight
}

// track is what is known of one kind of a node's addresses.
type track struct {
	// monitored: it answered once; heard: since this machine began.
	monitored, heard bool
	last             time.Time
	silences         int
	// rtt and vary are the usual time of a reply, and by how much it differs.
	rtt, vary time.Duration
	// down since when, with which life it was last seen before, and since when it
	// answers again.
	down, back   time.Time
	life, before Life
	falls        int
	fell         time.Time
	// lent: it is down because the other family was when this answered first.
	lent bool
	gag  gag
}

// lapse is a track that ended, and when.
type lapse struct {
	track
	at time.Time
}

// flight is a probe under way.
type flight struct {
	id     uint64
	node   *node
	kind   Kind
	sent   time.Time
	until  time.Time
	silent bool
	burst  *burst
}

// remember is for how long the reply to a probe that counts as silent is still
// good news.
const remember = 2 * time.Second

// slowly is how much more slowly a node that is down is asked; one that never
// answered and that others watch is asked every tryEvery, for tryFor.
const (
	slowly   = 4
	tryEvery = 2 * time.Second
	tryFor   = 30 * time.Second
	// rarely is every how many turns a kind is asked that cannot fall.
	rarely = 20
)

// turns is the order in which the kinds of a node are asked: a family is asked as
// often as though it were a node of its own.
var turns = [kinds]Kind{Address, Address6, Pods, Pods6}

// counts reports whether silence of a kind means something.
func (n *node) counts(k Kind) bool {
	return n.Ask[k].IsValid() && n.track[k].monitored && n.track[k].down.IsZero()
}

// counting returns the kinds whose silence means something, in the order of turns, and
// how many families they are of.
func (n *node) counting() (out []Kind, of int) { return inTurns(n.counts) }

// asked returns the kinds that are asked, likewise.
func (n *node) asked() (out []Kind, of int) {
	return inTurns(func(k Kind) bool { return n.Ask[k].IsValid() })
}

func inTurns(has func(Kind) bool) (out []Kind, of int) {
	seen := [families]bool{}
	for _, k := range turns {
		if !has(k) {
			continue
		}
		if out = append(out, k); !seen[k.family()] {
			seen[k.family()] = true
			of++
		}
	}
	return out, of
}

// monitors reports whether the node ever answered in a family.
func (n *node) monitors(f family) bool {
	return n.track[f.own()].monitored || n.track[f.pods()].monitored
}

// teller is the family that tells of a family: itself, or the other where only that
// one ever answered.
func (n *node) teller(f family) family {
	if other := 1 - f; !n.monitors(f) && n.monitors(other) {
		return other
	}
	return f
}

// source is the kind that tells of a kind: itself, or the same of the other family where
// only that one ever answered.
func (n *node) source(k Kind) Kind {
	if other := k.other(); !n.track[k].monitored && n.track[other].monitored {
		return other
	}
	return k
}

// fallen reports whether all that ever answered in a family is down, and something
// did.
func (n *node) fallen(f family) bool {
	f = n.teller(f)
	down := !n.track[f.own()].down.IsZero() || !n.track[f.pods()].down.IsZero()
	return down && !n.counts(f.own()) && !n.counts(f.pods())
}

// allDown reports whether all that ever answered is down, and something did.
func (n *node) allDown() bool { return n.fallen(0) && n.fallen(1) }

func (n *node) anyDown() bool {
	return slices.ContainsFunc(n.track[:], func(t track) bool { return !t.down.IsZero() })
}

func (n *node) everAnswered() bool { return n.monitors(0) || n.monitors(1) }

// heardIn returns the families in which it ever answered.
func (n *node) heardIn() (in clustermesh.Families) {
	for f := range families {
		if n.monitors(f) {
			in |= f.set()
		}
	}
	return in
}

// last is when it answered last in a family.
func (n *node) last(f family) time.Time {
	own, pods := n.track[f.own()].last, n.track[f.pods()].last
	if pods.After(own) {
		return pods
	}
	return own
}

// run does what is due about a node.
func (m *Machine) run(n *node) {
	for len(n.waiting) > 0 && !n.waiting[0].until.After(m.now) {
		f := n.waiting[0]
		n.waiting = slices.Delete(n.waiting, 0, 1)
		f.silent = true
		m.leaves(f)
		if f.burst == nil {
			m.silence(n, f.kind)
		}
	}
	m.proceed(n)
	m.revive(n)
	m.remind(n)
	m.tellMove(n)
	m.sound(n)
	if !n.next.After(m.now) {
		m.ask(n)
	}
	n.due = n.next
	if len(n.waiting) > 0 && n.waiting[0].until.Before(n.due) {
		n.due = n.waiting[0].until
	}
	if n.burst != nil && n.burst.next.Before(n.due) {
		n.due = n.burst.next
	}
	if again := n.moved.Add(prodEvery); n.untold && again.Before(n.due) {
		n.due = again
	}
}

// ask sends the probes of a node's turn.
func (m *Machine) ask(n *node) {
	n.turn++
	asked, of := n.asked()
	counting, alive := n.counting()
	every := m.interval
	switch {
	case n.anyDown() && !n.watched:
		every = max(slowly*every, time.Second)
	case n.anyDown() && alive == 0:
		every = slowly * every / time.Duration(max(of, 1))
	case n.watched:
		every /= time.Duration(max(alive, 1))
	case !n.everAnswered() && m.now.Sub(n.met) < tryFor:
		every = tryEvery
	default:
		every = m.knobs.Sweep
		if !n.swept { // so that they do not all come at once for ever
			n.swept = true
			every -= time.Duration(weigh(m.self.Node, n.Name) % uint64(m.knobs.Sweep/2))
		}
	}
	// Turns that were missed are not made up for.
	n.next = n.next.Add((m.now.Sub(n.next)/every + 1) * every)
	if every >= time.Second {
		for _, k := range asked {
			m.send(n, k, nil)
		}
		return
	}
	from := counting
	if len(from) == 0 || n.turn%rarely < len(asked) {
		from = asked
	}
	if len(from) > 0 {
		m.send(n, from[n.turn%len(from)], nil)
	}
}

// send sends a probe.
func (m *Machine) send(n *node, k Kind, b *burst) {
	if !n.Ask[k].IsValid() {
		return
	}
	m.lastID++
	f := &flight{id: m.lastID, node: n, kind: k, sent: m.now, until: m.now.Add(m.timeout(n, k)), burst: b}
	m.flights[f.id] = f
	m.sent = append(m.sent, f)
	at, _ := slices.BinarySearchFunc(n.waiting, f.until, func(o *flight, t time.Time) int { return o.until.Compare(t) })
	n.waiting = slices.Insert(n.waiting, at, f)
	m.out.Probes = append(m.out.Probes, Probe{f.id, n.Ask[k], k})
}

// timeout is how long a reply is waited for.
func (m *Machine) timeout(n *node, k Kind) time.Duration {
	t := &n.track[k]
	for _, other := range []Kind{k ^ 1, k ^ 2, k ^ 3} { // of its family first
		if t.rtt == 0 {
			t = &n.track[other]
		}
	}
	if t.rtt == 0 {
		return m.knobs.MaxTimeout
	}
	return min(max(t.rtt+4*t.vary, m.knobs.MinTimeout), m.knobs.MaxTimeout)
}

// patience is how long replies of a family are waited for.
func (m *Machine) patience(n *node, f family) time.Duration {
	return max(m.timeout(n, f.own()), m.timeout(n, f.pods()))
}

// silence counts a probe of watching that was not answered in time.
func (m *Machine) silence(n *node, k Kind) {
	t := &n.track[k]
	t.silences++
	if !n.counts(k) {
		return
	}
	f := k.family()
	n.streak[f]++
	blind := !m.blind[f].IsZero()
	if (n.streak[f] >= silences || t.silences >= silences) && (n.watched || !blind) {
		m.suspect(n, !blind) // who is blind there disturbs nobody
	}
}

// answered takes a reply in.
func (m *Machine) answered(r Reply) {
	f := m.flights[r.ID]
	if f == nil {
		return
	}
	m.land(f)
	m.leaves(f)
	n, t := f.node, &f.node.track[f.kind]
	t.measure(r.Arrived.Sub(f.sent))
	m.out.Learned = m.out.Learned || !t.monitored
	if from := &n.track[n.source(f.kind)]; from != t && !from.down.IsZero() {
		// It was down with the other family: from now on it stands up by itself.
		t.down, t.fell, t.falls, t.before, t.lent = from.down, from.fell, from.falls, from.before, true
	}
	if !t.monitored || !t.down.IsZero() && (t.back.IsZero() || r.Arrived.Sub(t.last) > m.unbroken()) {
		t.back = r.Arrived
		m.touch(n.Name)
	}
	t.monitored, t.heard, t.last, t.silences, t.life = true, true, r.Arrived, 0, r.Life
	m.sight(n, r.Life)
	n.streak[f.kind.family()] = 0
	if n.burst != nil && r.Arrived.After(n.burst.began) {
		n.burst.answered[f.kind] = true
	}
	if n.burst == nil && !n.suspect.IsZero() && !m.silent(n) {
		n.suspect = time.Time{}
		m.touch(n.Name)
	}
	m.proceed(n)
}

// silent reports whether something of a node whose silence means something did not
// answer the last time.
func (m *Machine) silent(n *node) bool {
	counting, _ := n.counting()
	return slices.ContainsFunc(counting, func(k Kind) bool { return n.track[k].silences > 0 })
}

// measure takes the time of a reply in, as TCP does (RFC 6298).
func (t *track) measure(took time.Duration) {
	took = max(took, time.Microsecond)
	if t.rtt == 0 {
		t.rtt, t.vary = took, took/2
		return
	}
	t.vary += ((t.rtt - took).Abs() - t.vary) / 4
	t.rtt += (took - t.rtt) / 8
}

// land ends the wait for the reply to a probe.
func (m *Machine) land(f *flight) {
	delete(m.flights, f.id)
	f.node.waiting = slices.DeleteFunc(f.node.waiting, func(o *flight) bool { return o == f })
}

// void forgets all that was waited for: we did not run, so that nobody can be
// blamed for it.
func (m *Machine) void() {
	clear(m.flights)
	m.sent = nil
	for _, n := range m.nodes {
		n.waiting, n.streak = nil, [families]int{}
		for k := range kinds {
			n.track[k].silences = 0
		}
		if n.burst != nil {
			m.endBurst(n)
			n.suspect = time.Time{}
		}
		m.touch(n.Name)
	}
}

// forget lets flights go whose reply would be news to nobody.
func (m *Machine) forget() {
	done := 0
	for _, f := range m.sent {
		if _, under := m.flights[f.id]; under && m.now.Sub(f.sent) < remember {
			break
		}
		delete(m.flights, f.id)
		done++
	}
	m.sent = m.sent[done:]
}
