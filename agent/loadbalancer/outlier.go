package loadbalancer

import (
	"context"
	"fmt"
	"time"

	"tombolo.io/tombolo/agent/outlier"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
)

// Outliers is what becomes of backends to which connections fail, of services
// that ask for it.
type Outliers uint8

// What may become of them.
const (
	IgnoreOutliers  Outliers = iota // nobody counts failures
	ObserveOutliers                 // ejections are told, and not made
	EjectOutliers
)

// ConnectFailure is a connection to a backend that failed.
type ConnectFailure struct {
	// Service is a number of the map of services; the host is the backend.
	Service uint32
	outlier.Host
	// Cause is how it failed, InARow how often since one did not.
	Cause  bpf.FailureCause
	InARow int
}

// Fail passes on that connections failed. It returns when Run has it, or ctx is
// done.
func (l *LoadBalancer) Fail(ctx context.Context, all []ConnectFailure) error {
	select {
	case l.failures <- all:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Ejection is a backend that is left out of a service's tables for a while.
type Ejection struct {
	Service clustermesh.ServiceName
	global.Target
	Since, Until time.Time
	Reason       string
}

// News is an ejection that began, or one that ended.
type News struct {
	Ejection
	Ended bool
	// Observed: nothing was done about it.
	Observed bool
}

// OutlierTally counts since Run began.
type OutlierTally struct {
	// Ejected counts ejections, and Overflow the failures for which a backend would
	// have been ejected, had not too many been already.
	Ejected, Overflow uint64
}

// reasonOf says why a host is ejected.
func reasonOf(e outlier.Ejection) string {
	return fmt.Sprintf("%d connections in a row %s, until %s", e.Failures, e.Cause, e.Until.UTC().Format(time.RFC3339))
}

// causeText ends the sentence "connections …".
func causeText(c bpf.FailureCause) string {
	switch c {
	case bpf.Refused:
		return "were refused"
	case bpf.Silent:
		return "had no answer"
	}
	return "were reset before a byte came"
}
