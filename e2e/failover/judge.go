package main

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
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
	// Wrong says what else was not as it should be: who was held for down by whom
	// and should not have been, or the other way round; which backends were missing
	// in whose maps; what nobody was told.
	Wrong []string
	// Errors counts what the failed ones among the new connections said.
	Errors map[string]int
	// First and Last are when those failures began, after the fault.
	First, Last time.Duration
}

// why tells of the failures, the most frequent error first, for whoever must find
// out; nothing when there were none.
func (o Outcome) why() string {
	if o.Failed == 0 {
		return ""
	}
	kinds := slices.SortedFunc(maps.Keys(o.Errors), func(a, b string) int {
		return cmp.Or(cmp.Compare(o.Errors[b], o.Errors[a]), cmp.Compare(a, b))
	})
	var b strings.Builder
	fmt.Fprintf(&b, "%d failed, from %v to %v after the fault:", o.Failed,
		o.First.Round(time.Millisecond), o.Last.Round(time.Millisecond))
	for _, k := range kinds[:min(len(kinds), 3)] {
		fmt.Fprintf(&b, " %d× %s;", o.Errors[k], k)
	}
	return strings.TrimSuffix(b.String(), ";")
}

// fail counts a failure.
func (o *Outcome) fail(after time.Duration, err string) {
	if o.Failed == 0 {
		o.First, o.Errors = after, map[string]int{}
	}
	o.Failed++
	o.First, o.Last = min(o.First, after), max(o.Last, after)
	o.New = max(o.New, after)
	o.Errors[ports.ReplaceAllString(err, ":…->")]++
}

// ports are the clients' own, in which errors differ that are the same.
var ports = regexp.MustCompile(`:[0-9]+->`)

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
			o.fail(after, c.Error)
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
