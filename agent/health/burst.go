package health

import (
	"container/heap"
	"fmt"
	"time"
)

// burst is a confirmation under way: probes of all kinds, in parallel.
type burst struct {
	// asks are the kinds whose silence counts.
	asks        [kinds]bool
	began, next time.Time
	sent        int
	answered    [kinds]bool
	// void: something of it was not sent, so that silence says nothing in that family.
	void [families]bool
	// held is how often its verdict was put off.
	held int
	// left is how much of the budget it has reserved and not used.
	left int
}

// tail is how long the last reply of a burst is waited for at least: time passes
// also for the one who answers.
const tail = 100 * time.Millisecond

// again is after what time a burst that may not begin, or had no say, is tried again.
const again = 100 * time.Millisecond

// suspect begins a suspicion: one that is gossiped, or that was heard.
func (m *Machine) suspect(n *node, tell bool) {
	if m.now.Before(n.quiet) || n.burst != nil || n.Name == m.self {
		return
	}
	asks, many := m.open(n)
	if many == 0 {
		return // down already, or whoever watches it says so again, while it lasts
	}
	if tell && m.now.Sub(n.told) >= m.knobs.Quiet {
		n.told = m.now
		m.out.Gossip = append(m.out.Gossip, Report{Name: n.Name, State: Suspected}.Append(nil))
	}
	cost := many * m.knobs.Burst
	affordable := m.tokens >= float64(cost)
	if !n.watched && !affordable {
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
	n.burst = &burst{asks: asks, began: m.now, next: m.now, left: cost}
	m.proceed(n)
	m.hasten(n, m.knobs.Sweep)
}

// open returns of which kinds a burst would tell something, and how many they are:
// not of those that are down, nor, of a node that others watch, of a family in which
// its cluster is.
func (m *Machine) open(n *node) (asks [kinds]bool, many int) {
	for k := range kinds {
		if n.counts(k) && (n.watched || !m.clusterDown(n.Cluster, k.family())) {
			asks[k] = true
			many++
		}
	}
	return asks, many
}

// hasten lets the next turn of a node come soon, and the burst and what is waited for when
// they are due.
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
	if len(n.waiting) > 0 && n.waiting[0].until.Before(n.due) {
		n.due = n.waiting[0].until
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
		if n.anyDown() { // others speak of what is down already: that quiets nothing else
			n.quiet = m.now.Add(again)
		}
		n.streak = [families]int{}
		m.touch(n.Name)
		return
	}
	for b.sent < m.knobs.Burst && !b.next.After(m.now) {
		for k := range kinds {
			if b.asks[k] && n.counts(k) && !b.answered[k] {
				m.send(n, k, b)
				b.left--
			}
		}
		b.sent++
		b.next = m.now.Add(m.knobs.Gap)
		if b.sent == m.knobs.Burst {
			b.next = m.now.Add(max(tail, m.patience(n, 0), m.patience(n, 1)))
			m.askOthers(n, b) // their replies come while the last one of this is waited for
		}
	}
	if b.sent == m.knobs.Burst && !b.next.After(m.now) && !m.hold(n, b) {
		m.conclude(n, b)
	}
}

// satisfied reports whether all that can fall was answered.
func (m *Machine) satisfied(n *node, b *burst) bool {
	for k := range kinds {
		if b.asks[k] && n.counts(k) && !b.answered[k] {
			return false
		}
	}
	return true
}

// conclude ends a burst that had silence: of a kind in total, which is down unless we
// are isolated in its family, or did not ask.
func (m *Machine) conclude(n *node, b *burst) {
	m.endBurst(n)
	n.quiet = m.now.Add(again)
	blind := m.goBlind(n, b)
	m.touch(n.Name)
	fell, held := false, false
	for k := range kinds {
		switch {
		case !b.asks[k] || !n.counts(k) || b.answered[k]:
		case b.void[k.family()] || blind[k.family()]:
			held = true
		default:
			n.track[k].fall(m.now, m.knobs)
			fell = true
		}
	}
	if !held || !n.watched {
		n.suspect = time.Time{}
	}
	if !fell {
		return // if still suspect, the next silence tries again
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
	return fmt.Sprintf("%s: %d of %d probes to %v (%s) in a burst were not answered", m.self.Node, m.knobs.Burst, m.knobs.Burst, n.Ask[k], n.call(k))
}
