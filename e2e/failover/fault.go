package main

import (
	"net/netip"
	"strings"
	"time"

	"tombolo.io/tombolo/deploy/lab/echo"
)

// fault is a row of the table.
type fault struct {
	// name is what figures are called, what is what people read.
	name, what string
	// variants are the ways in which the fault is played, one after the other, by
	// names that play knows; none is just one way.
	variants []string
	// target is asked instead of demo/echo.
	target netip.AddrPort
	// trials bounds how often the fault is played; zero is no bound.
	trials int
	// clusters and nodes (of a cluster) are those of the lab, 2 when zero.
	clusters, nodes int
	// external: etcd is not in the API server, so that each can be lost alone.
	external bool
	// scenario: no row of the table; played only by tests and by name.
	scenario bool
	// before changes the lab before the load begins; nil does nothing.
	before func(*trial) error
	// play brings the fault about, and returns as soon as it is there, or when it
	// is over.
	play func(*trial) error
	// lasts is from the fault, or from when all is back if play says when that was, to the
	// end of the trial, besides the outage of those that have one: it is as long as the
	// bench says.
	lasts  time.Duration
	outage bool
	// down says who should be held for down by whom, as readWish reads it, and
	// exactly so: another death is a wrong one. Nil is nobody by nobody.
	down func(*trial) string
	// lost says whose long connections the fault leaves without a backend, and
	// strange who should not be reached any more.
	lost, strange func(*trial, echo.Pod) bool
	// What the figures should be; zero is not measured.
	newWorst, newMedian, longWorst time.Duration
	// harmless faults should have no failure at all, and no endpoint should leave
	// the maps of any node.
	harmless bool
	// counted: failures are stated, and may be.
	counted bool
	// peer: another's way, which has no goal.
	peer bool
	// promised: tests hold it to five times its figures. The others wait for what
	// detects them.
	promised bool
	// often: what it costs hangs on how often a backend is asked, so tests ask as often as
	// the benchmark. A fifth as often is as likely to miss five times the figure.
	often bool
	// kept: no long connection should break.
	kept bool
	// never: nobody strange may be reached, not even for a moment.
	never bool
}

// span is how long a trial takes from the fault on.
func (f fault) span(outage time.Duration) time.Duration {
	if f.outage {
		return f.lasts + outage
	}
	return f.lasts
}

// variant returns the way in which trial n is played.
func (f fault) variant(n int) string {
	if len(f.variants) == 0 {
		return ""
	}
	return f.variants[n%len(f.variants)]
}

// title names the fault played in a way.
func (f fault) title(variant string) string {
	return strings.TrimSuffix(f.name+"/"+variant, "/")
}

// repeat bounds a number of trials: each variant is played once at least.
func (f fault) repeat(n int) int {
	if f.trials > 0 {
		n = min(n, f.trials)
	}
	return max(n, len(f.variants))
}
