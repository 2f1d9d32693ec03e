package balancer

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source/kubernetes/events"
)

// How two who write the same status get along. What somebody else makes of what we
// wrote is mended at once the first time, and after waits that double from then on.
const (
	yield    = 2 * time.Second
	maxYield = 5 * time.Minute
	// persists is the time in a row that is told.
	persists = 3
	// forgive is after how long without it all begins anew.
	forgive = 30 * time.Minute
)

// reasonOverwritten is that of the event.
const reasonOverwritten = "Overwritten"

// contests are the services that we wrote, and how often others undid that.
type contests map[clustermesh.ServiceName]*contest

type contest struct {
	// left is what the Service said when it was last written.
	left *Said
	// times is how often in a row it said something else when it was to be written, at
	// when that was last, and next when it may be mended again.
	times    int
	at, next time.Time
}

// wrote takes in what a Service says after a write; nil when nothing.
func (c contests) wrote(name clustermesh.ServiceName, said *Said) {
	switch o := c[name]; {
	case said == nil:
		delete(c, name)
	case o == nil:
		c[name] = &contest{left: said}
	default:
		o.left = said
	}
}

// judge looks at a Service that is to be written now: how often in a row others undid
// what we wrote, zero if they did not, and when it may be.
func (c contests) judge(name clustermesh.ServiceName, said *Said, now time.Time) (times int, due time.Time) {
	o := c[name]
	if o == nil || !undone(o.left, said) {
		return 0, now
	}
	if now.Before(o.next) {
		return o.times, o.next
	}
	if now.Sub(o.at) > forgive {
		o.times = 0
	}
	o.times++
	o.at, o.next = now, now.Add(min(yield<<min(o.times-1, 10), maxYield))
	return o.times, now
}

// undone says whether somebody else changed what a Service said when we wrote it. What
// the API takes out of one whose spec changes is not that.
func undone(left, said *Said) bool {
	if left.UID != said.UID || left.Balanced != said.Balanced || left.Judged.Class != said.Judged.Class {
		return false
	}
	return !sameAddresses(left.Ingress, said.Ingress) || !slices.EqualFunc(left.Conditions, said.Conditions, func(a, b metav1.Condition) bool {
		return a.Type == b.Type && a.Status == b.Status && a.Reason == b.Reason && a.Message == b.Message
	})
}

// contested returns the events of a Service whose status others changed so many times
// in a row: one says that, and that it has its addresses is no news.
func (w *Writer) contested(name clustermesh.ServiceName, said *Said, times int, all []events.Event) []events.Event {
	all = slices.DeleteFunc(all, func(e events.Event) bool { return !e.Warning })
	if times != persists {
		return all
	}
	text := fmt.Sprintf("%s changes what we write to its status, again and again: keep one of the two from this service, by its loadBalancerClass; ours is written again after longer and longer waits, of up to %v",
		cmp.Or(said.writer(), "another writer"), maxYield)
	w.log.Warn("somebody else writes the status of a service too", "service", name.String(), "message", text)
	return append(all, events.Event{Warning: true, Reason: reasonOverwritten, Message: text,
		Object: corev1.ObjectReference{APIVersion: "v1", Kind: "Service", Namespace: name.Namespace, Name: name.Name, UID: said.UID}})
}

// writer names the field manager that wrote the addresses, if it is not ours.
func (s *Said) writer() string {
	if s.Writer == "" {
		return ""
	}
	return fmt.Sprintf("the field manager %q", s.Writer)
}
