package health

import "time"

// A verdict takes a while without a pause of ours. An agent that gets too little time
// never has that: it judges nobody, and has to say so.

// span is how long steps have to come in time for a verdict to come about, and starving
// after what time without such a span nobody is judged.
const (
	span     = time.Second
	starving = 10 * time.Second
)

// pace is how the steps come.
type pace struct {
	// stalls counts the steps that came so late that all before is void.
	stalls uint64
	// since is when the last of them came, or the first step, and fit until when a
	// verdict could last have come about.
	since, fit time.Time
}

// step takes in that a step comes now.
func (p *pace) step(now time.Time, late bool) {
	if p.since.IsZero() {
		p.since, p.fit = now, now
	}
	if late {
		p.stalls++
		p.since = now
	}
	if now.Sub(p.since) >= span {
		p.fit = now
	}
}

// Stalls counts the steps that came so late that what was waited for is void.
func (m *Machine) Stalls() uint64 { return m.pace.stalls }

// Starved returns since when this node judges nobody because it gets too little time;
// zero when it does.
func (m *Machine) Starved() time.Time {
	if m.now.Sub(m.pace.fit) < starving {
		return time.Time{}
	}
	return m.pace.fit
}

// Expected is how long it takes at most, on a path whose replies are usual, until a
// node that this one watches and that dies is down: a silence more than are needed may
// have begun before it.
func (m *Machine) Expected() time.Duration {
	k := m.knobs
	burst := time.Duration(k.Burst-1)*k.Gap + max(tail, k.MinTimeout)
	if m.interval > burst {
		burst += again // others are asked before it is believed: see hold
	}
	return silences*m.interval + k.MinTimeout + burst
}
