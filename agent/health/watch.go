package health

import (
	"slices"
	"time"
)

// node is what is known of one.
type node struct {
	Target
	// met is when it was first heard of.
	met     time.Time
	watched bool
	// swept: it has a moment of its own among those that are asked rarely.
	swept bool
	track [kinds]track
	// life is what it lived when it answered last, confirmed one of which it is
	// known what runs there.
	life, confirmed Life
	// moved is when we last gossiped that it lives another life, prodded when we
	// asked it because others did.
	moved, prodded time.Time
	// turn counts the probes of watching, next is when the next is due.
	turn int
	next time.Time
	// streak counts the silences in a row, of whichever kind.
	streak int
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
	// monitored: it answered once.
	monitored bool
	last      time.Time
	silences  int
	// rtt and vary are the usual time of a reply, and by how much it differs.
	rtt, vary time.Duration
	// down since when, with which life it was last seen before, and since when it
	// answers again.
	down, back   time.Time
	life, before Life
	falls        int
	fell         time.Time
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

// counts reports whether silence of a kind means something.
func (n *node) counts(k Kind) bool {
	return n.Ask[k].IsValid() && n.track[k].monitored && n.track[k].down.IsZero()
}

// allDown reports whether all that ever answered is down, and something did.
func (n *node) allDown() bool {
	down := false
	for k := range kinds {
		if n.counts(k) {
			return false
		}
		down = down || !n.track[k].down.IsZero()
	}
	return down
}

func (n *node) anyDown() bool { return !n.track[Address].down.IsZero() || !n.track[Pods].down.IsZero() }

func (n *node) everAnswered() bool { return n.track[Address].monitored || n.track[Pods].monitored }

// run does what is due about a node.
func (m *Machine) run(n *node) {
	for len(n.waiting) > 0 && !n.waiting[0].until.After(m.now) {
		f := n.waiting[0]
		n.waiting = slices.Delete(n.waiting, 0, 1)
		f.silent = true
		if f.burst == nil {
			m.silence(n, f.kind)
		}
	}
	m.proceed(n)
	m.revive(n)
	m.remind(n)
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
}

// ask sends the probes of a node's turn.
func (m *Machine) ask(n *node) {
	n.turn++
	every := m.interval
	switch {
	case n.anyDown() && !n.counts(Address) && !n.counts(Pods):
		if every *= slowly; !n.watched {
			every = max(every, time.Second)
		}
	case n.watched || n.anyDown():
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
		m.send(n, Address, nil)
		m.send(n, Pods, nil)
		return
	}
	k := Kind(n.turn % int(kinds))
	if other := 1 - k; !n.Ask[k].IsValid() || !n.counts(k) && n.counts(other) && n.turn%rarely >= int(kinds) {
		k = other
	}
	m.send(n, k, nil)
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
	if t.rtt == 0 {
		t = &n.track[1-k]
	}
	if t.rtt == 0 {
		return m.knobs.MaxTimeout
	}
	return min(max(t.rtt+4*t.vary, m.knobs.MinTimeout), m.knobs.MaxTimeout)
}

// silence counts a probe of watching that was not answered in time.
func (m *Machine) silence(n *node, k Kind) {
	t := &n.track[k]
	t.silences++
	if !n.counts(k) {
		return
	}
	n.streak++
	if n.streak >= silences || t.silences >= silences {
		m.suspect(n, true)
	}
}

// answered takes a reply in.
func (m *Machine) answered(r Reply) {
	f := m.flights[r.ID]
	if f == nil {
		return
	}
	delete(m.flights, r.ID)
	n, t := f.node, &f.node.track[f.kind]
	n.waiting = slices.DeleteFunc(n.waiting, func(o *flight) bool { return o == f })
	t.measure(r.Arrived.Sub(f.sent))
	if !t.monitored || !t.down.IsZero() && (t.back.IsZero() || r.Arrived.Sub(t.last) > unbroken) {
		t.back = r.Arrived
		m.touch(n.Name)
	}
	t.monitored, t.last, t.silences, t.life = true, r.Arrived, 0, r.Life
	m.sight(n, r.Life)
	n.streak = 0
	if n.burst != nil && r.Arrived.After(n.burst.began) {
		n.burst.answered[f.kind] = true
	}
	if n.burst == nil && n.track[1-f.kind].silences == 0 && !n.suspect.IsZero() {
		n.suspect = time.Time{}
		m.touch(n.Name)
	}
	m.proceed(n)
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

// unsent takes a probe back.
func (m *Machine) unsent(id uint64) {
	if f := m.flights[id]; f != nil {
		delete(m.flights, id)
		f.node.waiting = slices.DeleteFunc(f.node.waiting, func(o *flight) bool { return o == f })
		if f.burst != nil {
			f.burst.void = true
		}
	}
}

// void forgets all that was waited for: we did not run, so that nobody can be
// blamed for it.
func (m *Machine) void() {
	clear(m.flights)
	m.sent = nil
	for _, n := range m.nodes {
		n.waiting, n.streak = nil, 0
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
