package health

import (
	"container/heap"
	"fmt"
	"time"
)

// burst is a confirmation under way: probes of both kinds, in parallel.
type burst struct {
	began, next time.Time
	sent        int
	answered    [kinds]bool
	// void: something of it was not sent, so that its silence says nothing.
	void bool
	// left is how much of the budget it has reserved and not used.
	left int
}

// tail is how long the last reply of a burst is waited for at least: time passes
// also for the one who answers.
const tail = 100 * time.Millisecond

// again is after what time a burst that may not begin, or had no say, is tried again.
const again = 100 * time.Millisecond

// suspect begins a suspicion: ours, which is gossiped, or one that was heard.
func (m *Machine) suspect(n *node, ours bool) {
	if m.now.Before(n.quiet) || n.burst != nil || n.Name == m.self {
		return
	}
	if !n.counts(Address) && !n.counts(Pods) {
		return
	}
	if ours && m.now.Sub(n.told) >= m.knobs.Quiet {
		n.told = m.now
		m.out.Gossip = append(m.out.Gossip, Report{Name: n.Name, State: Suspected}.Append(nil))
	}
	cost := int(kinds) * m.knobs.Burst
	affordable := m.tokens >= float64(cost)
	if !n.watched && (!affordable || m.clusterDown(n.Cluster)) {
		return // whoever watches it says so again, while it lasts
	}
	if n.suspect.IsZero() {
		n.suspect = m.now
		m.touch(n.Name)
	}
	if !affordable {
		return // the next silence tries again
	}
	m.tokens -= float64(cost)
	n.burst = &burst{began: m.now, next: m.now, left: cost}
	m.proceed(n)
	m.hasten(n, m.knobs.Sweep)
}

// hasten lets the next turn of a node come soon, and the burst when it is due.
func (m *Machine) hasten(n *node, within time.Duration) {
	if soon := m.now.Add(within); n.next.After(soon) {
		n.next = soon
	}
	if n.next.Before(n.due) {
		n.due = n.next
	}
	if n.burst != nil && n.burst.next.Before(n.due) {
		n.due = n.burst.next
	}
	heap.Fix(&m.queue, n.place)
}

// proceed sends what is due of a burst and judges when it is over.
func (m *Machine) proceed(n *node) {
	b := n.burst
	if b == nil {
		return
	}
	if m.satisfied(n, b) {
		m.endBurst(n)
		n.suspect, n.quiet = time.Time{}, m.now.Add(m.knobs.Quiet)
		n.streak = 0
		m.touch(n.Name)
		return
	}
	for b.sent < m.knobs.Burst && !b.next.After(m.now) {
		for k := range kinds {
			if n.counts(k) && !b.answered[k] {
				m.send(n, k, b)
				b.left--
			}
		}
		b.sent++
		b.next = m.now.Add(m.knobs.Gap)
		if b.sent == m.knobs.Burst {
			b.next = m.now.Add(max(tail, m.timeout(n, Address), m.timeout(n, Pods)))
		}
	}
	if b.sent == m.knobs.Burst && !b.next.After(m.now) {
		m.conclude(n, b)
	}
}

// satisfied reports whether all that can fall was answered.
func (m *Machine) satisfied(n *node, b *burst) bool {
	return (b.answered[Address] || !n.counts(Address)) && (b.answered[Pods] || !n.counts(Pods))
}

// conclude ends a burst that had silence: of a kind in total, which is down.
func (m *Machine) conclude(n *node, b *burst) {
	m.endBurst(n)
	n.quiet = m.now.Add(again)
	isolated := m.isolated()
	if isolated && m.blind.IsZero() {
		m.blind = m.now
	}
	m.touch(n.Name)
	if b.void || isolated {
		if !n.watched {
			n.suspect = time.Time{}
		}
		return // else still suspect; the next silence tries again
	}
	n.suspect = time.Time{}
	for k := range kinds {
		if n.counts(k) && !b.answered[k] {
			n.track[k].fall(m.now, m.knobs)
		}
	}
	m.hasten(n, slowly*m.interval)
	m.out.Gossip = append(m.out.Gossip, Report{Name: n.Name, State: Down}.Append(nil))
	n.told = m.now
}

// endBurst gives back what of the budget was not used.
func (m *Machine) endBurst(n *node) {
	if n.burst != nil {
		m.tokens = min(float64(m.knobs.Budget), m.tokens+float64(n.burst.left))
		n.burst = nil
	}
}

// refill lets the budget grow with time.
func (m *Machine) refill(elapsed time.Duration) {
	m.tokens = min(float64(m.knobs.Budget), m.tokens+elapsed.Seconds()*float64(m.knobs.Budget))
}

// proof says what a failed burst saw.
func (m *Machine) proof(n *node, k Kind) string {
	return fmt.Sprintf("%s: %d of %d probes to %v (%v) in a burst were not answered", m.self.Node, m.knobs.Burst, m.knobs.Burst, n.Ask[k], k)
}
