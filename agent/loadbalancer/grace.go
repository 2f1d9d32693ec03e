package loadbalancer

import "time"

// graceRetryAfter is the wait after a grace period that the kernel refused.
const graceRetryAfter = time.Second

// startGrace begins a grace period for what was let go, in a goroutine of its
// own, unless one runs. When a table found no room and none waits to be freed,
// compaction may gather it.
func (l *LoadBalancer) startGrace(now time.Time) {
	if now.Before(l.graceRetry) {
		return
	}
	l.graceRetry = time.Time{}
	if l.cramped && !l.state.limbo.running && l.state.limbo.fresh.empty() {
		l.cramped = false
		if moved := l.state.compact(); moved > 0 {
			l.log.Info("moved tables to gather free slots", "tables", moved, "starving", len(l.starving))
		}
	}
	l.beginGrace()
}

func (l *LoadBalancer) beginGrace() {
	if l.state.limbo.begin() {
		go func() { l.graceDone <- l.target.Grace() }()
	}
}

// graceBetween lets one grace period follow the other while keys are settled: thousands
// of tables that are replaced need no more room than those of two periods.
func (l *LoadBalancer) graceBetween(now time.Time) {
	select {
	case err := <-l.graceDone:
		l.graceEnded(err, now)
	default:
	}
	if !now.Before(l.graceRetry) {
		l.beginGrace()
	}
}

// graceEnded takes back what a period has freed, and lets those try again who
// may need it.
func (l *LoadBalancer) graceEnded(err error, now time.Time) {
	l.state.free(l.state.limbo.end(err))
	if err != nil {
		l.log.Warn("waiting for a grace period; what was let go stays unused", "error", err)
		l.graceRetry = now.Add(graceRetryAfter)
		return
	}
	for k := range l.starving {
		l.queue.Mark(k)
	}
}

// awaitGrace lets the goroutine of a period end before Run does.
func (l *LoadBalancer) awaitGrace() {
	if l.state != nil && l.state.limbo.running {
		l.state.free(l.state.limbo.end(<-l.graceDone))
	}
}
