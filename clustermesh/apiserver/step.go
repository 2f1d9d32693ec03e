package apiserver

import (
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// steps are what something has again, in thousandths, while it comes back: the
// first at once, each of the others after as long as the one before.
var steps = []uint16{100, 250, 500}

// returning returns a drain that comes to its end from now on.
func returning(d *clustermesh.Drain, over time.Duration, now time.Time) *clustermesh.Drain {
	out := *d
	out.Returning, out.Over = now.UTC(), over
	out.Deadline, out.Ended = time.Time{}, false
	return &out
}

// step returns a drain as it is at now, nil when it is over, and when it will
// be different, zero for never. It is pure, so that a leader goes on where the
// one before it stopped.
func step(d *clustermesh.Drain, now time.Time) (next *clustermesh.Drain, at time.Time) {
	out := *d
	if d.Moved == 0 {
		if now.Before(d.Since) {
			out.Since = now.UTC() // by the clock of a leader before
		}
		if first := out.Since.Add(clustermesh.RoutesFirst); now.Before(first) {
			return &out, first
		}
		out.Moved = clustermesh.DrainedWhole
	}
	if d.Returning.IsZero() {
		if out.Ended = !d.Deadline.IsZero() && !now.Before(d.Deadline); !out.Ended {
			at = d.Deadline
		}
		return &out, at
	}
	each := d.Over / time.Duration(len(steps))
	n := len(steps)
	if passed := now.Sub(d.Returning); each > 0 && passed < d.Over {
		n = min(max(int(passed/each), 0), len(steps))
	}
	if n == len(steps) {
		return nil, time.Time{}
	}
	out.Moved = clustermesh.DrainedWhole - steps[n]
	return &out, d.Returning.Add(time.Duration(n+1) * each)
}
