package mirror

import (
	"slices"

	"tombolo.io/tombolo/clustermesh"
)

// maxProblems bounds the problems that a status names.
const maxProblems = 20

// Status is how one peer's mirror stands. It is immutable.
type Status struct {
	Peer  string
	State clustermesh.MirrorState
	// Problems counts the peer's keys whose present value is not mirrored, and
	// Examples are the first of them.
	Problems int
	Examples []Problem
}

// Problem is a key of a peer whose value is not mirrored; the last good one
// is, if there was one.
type Problem struct {
	Key    string
	Reason string
}

// Status returns how the mirrors stand, by peer. Any goroutine may ask.
func (m *Mirrors) Status() []Status { return *m.status.Load() }

// Changed receives when a phase, a reason, a problem or the set of peers is
// another than before, and when Settled is closed.
func (m *Mirrors) Changed() <-chan struct{} { return m.changed }

// publish makes a new status.
func (m *Mirrors) publish() {
	out := make([]Status, 0, len(m.peers))
	for _, name := range sortedKeys(m.peers) {
		p := m.peers[name]
		s := Status{Peer: name, Problems: len(p.problems)}
		if p.state != nil {
			s.State = *p.state
		}
		if len(p.problems) > 0 {
			for _, key := range sortedKeys(p.problems)[:min(len(p.problems), maxProblems)] {
				s.Examples = append(s.Examples, Problem{Key: key, Reason: p.problems[key].Error()})
			}
		}
		out = append(out, s)
	}
	if old := m.status.Swap(&out); !slices.EqualFunc(*old, out, Status.same) {
		m.poke()
	}
}

func (m *Mirrors) poke() {
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// same reports whether two statuses differ in no more than the revision.
func (s Status) same(o Status) bool {
	return s.Peer == o.Peer && sameState(&s.State, &o.State) && slices.Equal(s.Examples, o.Examples)
}
