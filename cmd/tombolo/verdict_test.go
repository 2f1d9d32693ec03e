package main

import (
	"testing"
	"time"

	"tombolo.io/tombolo/agent/health"
)

func TestExpectation(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		s    health.Snapshot
		want string
	}{
		{health.Snapshot{}, ""},
		{health.Snapshot{Watched: 5, Interval: 50 * ms, Wanted: 50 * ms, Expected: 585 * ms},
			"\nA node that dies is found dead within 590ms: 5 are watched from here, each asked every 50ms.\n"},
		{health.Snapshot{Watched: 92, Interval: 92 * ms, Wanted: 50 * ms, Expected: 711 * ms},
			"\nA node that dies is found dead within 710ms: 92 are watched from here, each asked every 92ms, and not every 50ms, which --probe-budget does not allow.\n"},
	} {
		if got := expectation(&c.s); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
