package apiserver

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh/source"
)

// sweep holds the keys that are stored and that nobody wants any more, as far
// as this was found by comparing everything and not by a deletion that was
// seen to happen.
type sweep struct {
	keys map[string]struct{}
	// counts are theirs by table.
	counts census
	guard  source.Guard
	// foreign says why the source is not the one of which the keys were stored, empty
	// if it is; unsure: that is not known yet. See term.foreign.
	foreign string
	unsure  bool
	// reason says why the keys still wait, empty when they do not; at is when
	// they go if nothing changes, zero for never.
	reason string
	at     time.Time
}

func newSweep(rule source.Shrink) *sweep {
	return &sweep{keys: map[string]struct{}{}, counts: census{}, guard: source.Guard{Rule: rule}}
}

// add takes keys that may be swept, spare one that is wanted again.
func (s *sweep) add(key string) {
	if _, ok := s.keys[key]; !ok {
		s.keys[key] = struct{}{}
		s.counts.add(key, 1)
	}
}

func (s *sweep) spare(key string) {
	if _, ok := s.keys[key]; ok {
		delete(s.keys, key)
		s.counts.add(key, -1)
	}
}

// pass decides whether the keys may go now, when so many others stay, and
// returns those that may.
func (s *sweep) pass(c *catalog, stay census, now time.Time) map[string]struct{} {
	s.reason, s.at = "", time.Time{}
	if len(s.keys) == 0 {
		// Told to the guard all the same: what was suspect is over.
		s.guard.Judge(false, now)
		return nil
	}
	if !c.synced() {
		s.reason = "the source has not delivered everything yet"
		return nil
	}
	if s.unsure {
		s.reason = s.foreign
		return nil
	}
	sure := map[string]struct{}{}
	for key := range s.keys {
		if !c.doubts(key) {
			sure[key] = struct{}{}
		}
	}
	if len(sure) < len(s.keys) {
		s.reason = "the source could not read everything"
	}
	if len(sure) == 0 {
		s.guard.Judge(false, now) // nothing would go: a hold of before is over
		return nil
	}
	suspect := s.foreign
	if much := s.suspect(stay); suspect == "" && much != "" {
		suspect = much + " would go at once"
	}
	ok, at := s.guard.Judge(suspect != "", now)
	if !ok {
		s.reason, s.at = suspect+"; "+source.Outcome(at), at
		return nil
	}
	for key := range sure {
		s.spare(key)
	}
	return sure
}

// suspect says of what too much would go; empty when nothing is like that. All
// tables count together, and those of one kind, for a source may lose one kind
// alone.
func (s *sweep) suspect(stay census) string {
	gone, held := len(s.keys), len(s.keys)+stay.total()
	if s.guard.Rule.Suspect(held, gone) {
		return fmt.Sprintf("more than half of %d objects", held)
	}
	lost, kept := s.counts.kinds(), stay.kinds()
	for _, kind := range slices.Sorted(maps.Keys(lost)) {
		if held := lost[kind] + kept[kind]; s.guard.Rule.Suspect(held, lost[kind]) {
			return fmt.Sprintf("more than half of %d %s", held, kind)
		}
	}
	return ""
}
