package source

import "time"

// Bounds of the rule: fewer objects may go at once, and no more than this
// share of them.
const (
	shrinkFloor = 20
	shrinkShare = 2 // more than one in two
)

// Shrink is the rule for a full pass that would remove much of what is held:
// an emptied directory or a mount that is missing looks like mass deletion.
// Such a pass waits. Single deletions that were watched never do.
type Shrink struct {
	// Allow lets every pass through.
	Allow bool
	// Hold is how long such a pass waits; if it would still remove as much
	// then, that is taken for the truth. Zero waits for Allow alone.
	Hold time.Duration
}

// Suspect says whether a full pass over held objects that would remove gone of
// them is to wait.
func (s Shrink) Suspect(held, gone int) bool {
	return !s.Allow && held >= shrinkFloor && gone*shrinkShare > held
}

// Guard applies a Shrink over time. It reads no clock: its owner passes the time.
type Guard struct {
	Rule  Shrink
	since time.Time
}

// Admit says whether a full pass may remove gone of the held objects now. When
// not, it returns when that will be so if nothing changes; the zero time means
// never. Its owner asks again then, and whenever the numbers change.
func (g *Guard) Admit(held, gone int, now time.Time) (ok bool, at time.Time) {
	return g.Judge(g.Rule.Suspect(held, gone), now)
}

// Judge is Admit for an owner who knows by other means whether the pass is
// suspect; Allow lets it pass all the same.
func (g *Guard) Judge(suspect bool, now time.Time) (ok bool, at time.Time) {
	if !suspect || g.Rule.Allow {
		g.since = time.Time{}
		return true, time.Time{}
	}
	if g.since.IsZero() {
		g.since = now
	}
	if g.Rule.Hold <= 0 {
		return false, time.Time{}
	}
	if at = g.since.Add(g.Rule.Hold); now.Before(at) {
		return false, at
	}
	g.since = time.Time{}
	return true, time.Time{}
}

// Outcome says how the wait for a suspect pass ends, given what Admit said.
func Outcome(at time.Time) string {
	if at.IsZero() {
		return "allow it with --allow-shrink"
	}
	return "that is believed at " + at.UTC().Format(time.RFC3339) + ", or at once with --allow-shrink"
}
