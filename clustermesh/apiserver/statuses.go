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

// service notes what a service should say. Why it has not all that it asks for is
// the reason also where it can do without.
func (n *notices) service(s *clustermesh.Service, o *ipam.Outcome, now time.Time) {
	given := clustermesh.Condition{Type: conditionAddresses, Status: "True", Reason: reasonGiven, Message: textOf(o), LastTransitionTime: now}
	lacking := o.Lacking()
	if lacking != nil {
		given.Reason = string(lacking.Reason)
		if !o.Ready {
			given.Status = "False"
		}
	}
	conflicted := clustermesh.Condition{Type: conditionConflicted, Status: "False", Reason: reasonNone, Message: "no other service claims its addresses", LastTransitionTime: now}
	clash := func(p ipam.Problem) bool { return p.Reason == ipam.Conflict || p.Reason == ipam.Claimed }
	if i := slices.IndexFunc(o.Problems, clash); i >= 0 {
		conflicted.Status, conflicted.Reason, conflicted.Message = "True", string(o.Problems[i].Reason), o.Problems[i].Message
	}
	n.judged[s.Name] = judgedAs(s)
	n.status().Services[s.Name] = source.ServiceStatus{
		Addresses: o.Addresses(), Conditions: []clustermesh.Condition{given, conflicted}, Lacking: lacking != nil, Judged: judgedAs(s),
	}
}

func judgedAs(s *clustermesh.Service) source.Judged {
	return source.Judged{Class: s.LoadBalancerClass, Created: s.Created, Others: s.LoadBalancerOthers}
}

// look takes note of a service that is another one than what was said was about, even
// if the same is to be said of it.
func (n *notices) look(s *clustermesh.Service) {
	if was, ok := n.judged[s.Name]; ok && was != judgedAs(s) {
		n.renewed[s.Name] = struct{}{}
	}
}

// leaves notes that a service is not for us to speak of: it is gone, wants no
// addresses, or has them from others.
func (n *notices) leaves(name clustermesh.ServiceName) {
	delete(n.judged, name)
	n.status().Services[name] = source.ServiceStatus{}
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
