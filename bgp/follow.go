package bgp

import (
	"time"

	"tombolo.io/tombolo/bgp/advertise"
)

// hear takes in what the node's agent says, or that it says nothing.
func (l *loop) hear(h heard) {
	changed, err := l.local.take(h, time.Now())
	l.problem("agent's last word", err)
	l.problem("agent", l.local.problem())
	if changed {
		l.decide()
	}
}

// drainOf returns how far the node is drained, of which it began to hear at
// leaving.
func (l *loop) drainOf(drained bool, now time.Time) advertise.Drain {
	switch {
	case !drained:
		l.leaving = time.Time{}
		return advertise.InService
	case l.leaving.IsZero():
		l.leaving = now
		l.s.log.Info("the node is drained", "withdrawing in", l.s.cfg.GracefulShutdown)
	}
	if l.left(now) {
		return advertise.Drained
	}
	return advertise.Leaving
}

// left reports whether routers were asked to prefer others for long enough.
func (l *loop) left(now time.Time) bool {
	return !l.leaving.IsZero() && now.Sub(l.leaving) >= l.s.cfg.GracefulShutdown
}

// sooner returns the earlier of when something is due and when the node has left.
func (l *loop) sooner(at time.Time, due bool) (time.Time, bool) {
	if l.leaving.IsZero() || l.left(time.Now()) {
		return at, due
	}
	if end := l.leaving.Add(l.s.cfg.GracefulShutdown); !due || end.Before(at) {
		return end, true
	}
	return at, due
}
