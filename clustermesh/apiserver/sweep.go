package apiserver

import (
	"fmt"
	"time"

	"tombolo.io/tombolo/clustermesh/source"
)

// sweep holds the keys that are stored and that nobody wants any more, as far
// as this was found by comparing everything and not by a deletion that was
// seen to happen.
type sweep struct {
	keys  map[string]struct{}
	guard source.Guard
	// reason says why the keys still wait, empty when they do not; at is when
	// they go if nothing changes, zero for never.
	reason string
	at     time.Time
}

func newSweep(rule source.Shrink) *sweep {
	return &sweep{keys: map[string]struct{}{}, guard: source.Guard{Rule: rule}}
}

// outcome says how the wait for a suspect pass ends.
func outcome(at time.Time) string {
	if at.IsZero() {
		return "allow it with --allow-shrink"
	}
	return "that is believed at " + at.UTC().Format(time.RFC3339) + ", or at once with --allow-shrink"
}

// add takes keys that may be swept, spare one that is wanted again.
func (s *sweep) add(key string)   { s.keys[key] = struct{}{} }
func (s *sweep) spare(key string) { delete(s.keys, key) }

// pass decides whether the keys may go now, of so many others that stay, and
// returns those that may.
func (s *sweep) pass(c *catalog, others int, now time.Time) map[string]struct{} {
	s.reason, s.at = "", time.Time{}
	switch {
	case len(s.keys) == 0:
		// Told to the guard all the same: what was suspect is over.
		s.guard.Admit(others, 0, now)
		return nil
	case !c.synced():
		s.reason = "the source has not delivered everything yet"
	case c.partial:
		s.reason = "the source could not read everything"
	default:
		ok, at := s.guard.Admit(others+len(s.keys), len(s.keys), now)
		if ok {
			gone := s.keys
			s.keys = map[string]struct{}{}
			return gone
		}
		s.at = at
		s.reason = fmt.Sprintf("more than half of %d objects would go at once; ", others+len(s.keys)) + outcome(at)
	}
	return nil
}
