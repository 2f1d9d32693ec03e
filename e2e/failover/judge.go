package main

import (
	"time"

	"tombolo.io/tombolo/deploy/lab/echo"
)

// Outcome is what one trial of a fault came to.
type Outcome struct {
	// New is how long after the fault the last new connection began that failed,
	// or that reached who it should not; zero when none did.
	New time.Duration
	// Long is how long after the fault the last of the long connections ended
	// whose backend is gone.
	Long time.Duration
	// Failed new connections and Broken long ones; Stray reached who they should
	// not. Hung long connections never ended: nobody told their client.
	Failed, Broken, Stray, Hung int
	// Verdicts are the nodes and clusters that a node's maps held for down.
	Verdicts int
}

// question is what a trial asks of its connections.
type question struct {
	// fault is when it happened, and end when the trial ended.
	fault, end time.Time
	// lost says whose long connections the fault leaves without a backend.
	lost func(echo.Pod) bool
	// strange says who should not be reached by connections that begin after the
	// fault; nil is nobody.
	strange func(echo.Pod) bool
}

// judge answers it.
func (q question) judge(all []echo.Connection) Outcome {
	var o Outcome
	for _, c := range all {
		if c.Long {
			q.long(c, &o)
			continue
		}
		after := c.Start.Sub(q.fault)
		switch {
		case c.End.Before(q.fault):
		case c.Error != "":
			o.Failed++
			o.New = max(o.New, after)
		case q.strange != nil && after > 0 && q.strange(c.Pod):
			o.Stray++
			o.New = max(o.New, after)
		}
	}
	return o
}

// long counts a long connection that was open when the fault happened. One that
// opened later and broke is counted too: nobody should have led it there.
func (q question) long(c echo.Connection, o *Outcome) {
	if c.End.Before(q.fault) || c.Pod == (echo.Pod{}) {
		return
	}
	if c.Error != "" {
		o.Broken++
	}
	if !q.lost(c.Pod) || c.Start.After(q.fault) {
		return
	}
	if c.Error == "" { // it lasted as long as the load, without an answer
		o.Hung++
		o.Long = max(o.Long, q.end.Sub(q.fault))
		return
	}
	o.Long = max(o.Long, c.End.Sub(q.fault))
}
