package apiserver

import (
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/ipam"
	"tombolo.io/tombolo/clustermesh/source"
)

// StatusWriter is a source that can write to its objects what became of them. A
// directory of manifests cannot.
type StatusWriter interface {
	// SetStatuses tells what objects should say from now on; it never blocks. Only
	// the API server that leads calls it, of what is stored.
	SetStatuses(source.Statuses)
	// StopStatuses tells that another leads.
	StopStatuses()
}

// The conditions of a service that tell of its addresses.
const (
	conditionAddresses  = "tombolo.io/Addresses"
	conditionConflicted = "tombolo.io/Conflicted"
)

// The reasons of conditions and events while nothing is wrong.
const (
	reasonGiven = "Given"
	reasonNone  = "None"
)

func (n *notices) status() *source.Statuses {
	if n.statuses == nil {
		n.statuses = &source.Statuses{Whole: !n.begun, Services: map[clustermesh.ServiceName]source.ServiceStatus{}}
	}
	return n.statuses
}

// service notes what a service should say.
func (n *notices) service(name clustermesh.ServiceName, o *ipam.Outcome, now time.Time) {
	given := clustermesh.Condition{Type: conditionAddresses, Status: "True", Reason: reasonGiven, Message: textOf(o), LastTransitionTime: now}
	if p := o.Lacking(); p != nil && !o.Ready {
		given.Status, given.Reason = "False", string(p.Reason)
	}
	conflicted := clustermesh.Condition{Type: conditionConflicted, Status: "False", Reason: reasonNone, LastTransitionTime: now}
	clash := func(p ipam.Problem) bool { return p.Reason == ipam.Conflict || p.Reason == ipam.Claimed }
	if i := slices.IndexFunc(o.Problems, clash); i >= 0 {
		conflicted.Status, conflicted.Reason, conflicted.Message = "True", string(o.Problems[i].Reason), o.Problems[i].Message
	}
	n.status().Services[name] = source.ServiceStatus{Addresses: o.Addresses(), Conditions: []clustermesh.Condition{given, conflicted}}
}

// tell hands the statuses of what is stored to the source, if it can write them.
func (l *loop) tell() {
	if l.term == nil || l.term.writer.Staged() > 0 {
		return
	}
	n := &l.term.addresses.notices
	if w, ok := l.server.source.(StatusWriter); ok && n.statuses != nil {
		w.SetStatuses(*n.statuses)
	}
	n.statuses = nil
}

// hush tells the source that statuses are no longer ours to write.
func (l *loop) hush() {
	if w, ok := l.server.source.(StatusWriter); ok {
		w.StopStatuses()
	}
	if w, ok := l.server.source.(source.ClusterSetWriter); ok {
		w.StopClusterSet()
	}
}
