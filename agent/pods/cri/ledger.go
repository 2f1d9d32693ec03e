package cri

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tombolo.io/tombolo/agent/pods"
)

// ledger is which pods run. It is plain data.
//
// A pod that the list has no more is gone, when its kind of loss is an ordinary one.
// When the list is empty, or most pods are gone at once, the runtime may have lost
// its records, or be another than the kubelet's. Then the kernel is asked: a pod in
// whose cgroup processes are lives on, whatever the list says, and one in whose
// cgroup none are is gone. Where the kernel cannot be asked, most pods may go after
// the lists have agreed for a while, and all of them never. Of a pod that has a younger
// sandbox the old one is gone in any case: the processes are the younger one's.
type ledger struct {
	// known: there was a pod once.
	known bool
	// sandboxes are those that are ready, and those whose loss is not believed.
	sandboxes map[string]*entry
	// ended are the addresses of the pods, by uid, that are gone by the kernel's word
	// alone, since a list had pods. What was handed out is not changed.
	ended map[string][]netip.Addr
	// look asks the kernel for a pod's processes.
	look func(cgroup string) presence
}

// entry is a sandbox in the ledger.
type entry struct {
	sandbox
	// asked: its status is known; before that it is asked about at due.
	asked bool
	due   time.Time
	// since is when it was first seen, missing when a list first lacked it.
	since, missing time.Time
}

const (
	// agreed is how long lists must lack most of the pods before that is believed
	// without the kernel.
	agreed = 2 * time.Second
	// again is when a sandbox is asked about once more whose status was not to be had.
	again = time.Second
	// addressed is how long a pod may be without an address before people are told.
	addressed = 10 * time.Second
)

// newLedger begins with the pods of before a restart.
func newLedger(known map[string]pods.Pod, look func(string) presence, now time.Time) *ledger {
	l := &ledger{known: len(known) > 0, sandboxes: map[string]*entry{}, look: look}
	for uid, p := range known {
		id := cmp.Or(p.Sandbox, uid)
		l.sandboxes[id] = &entry{since: now, sandbox: sandbox{id: id, uid: uid, name: p.Name, static: p.Static,
			sandboxStatus: sandboxStatus{addresses: p.Addresses, hostNetwork: p.HostNetwork, cgroup: p.Cgroup}}}
	}
	return l
}

// take takes a list of the sandboxes in that are ready.
func (l *ledger) take(list []*sandbox, now time.Time) {
	before := map[string]struct{}{}
	for _, e := range l.sandboxes {
		before[e.uid] = struct{}{}
	}
	present, youngest := map[string]struct{}{}, map[string]int64{} // when it was created, by uid
	for _, s := range list {
		present[s.id], youngest[s.uid] = struct{}{}, max(youngest[s.uid], s.created)
		e := l.sandboxes[s.id]
		if e == nil {
			e = &entry{since: now}
			l.sandboxes[s.id] = e
		}
		s.sandboxStatus = e.sandboxStatus
		e.sandbox, e.missing = *s, time.Time{}
	}
	lost := 0
	for uid := range before {
		if _, ok := youngest[uid]; !ok {
			lost++
		}
	}
	empty := len(list) == 0
	odd := empty || lost > 1 && 2*lost > len(before)
	ends := map[string][]netip.Addr{}
	if empty {
		maps.Copy(ends, l.ended)
	}
	for id, e := range l.sandboxes {
		if _, ok := present[id]; ok || e.created >= youngest[e.uid] && !l.gone(e, odd, empty, now) {
			continue
		}
		delete(l.sandboxes, id)
		if empty {
			ends[e.uid] = slices.Concat(ends[e.uid], e.addresses)
		}
	}
	l.ended = ends
	l.known = l.known || len(list) > 0
}

// gone says whether it is believed that a sandbox is, which the list lacks.
func (l *ledger) gone(e *entry, odd, empty bool, now time.Time) bool {
	doubted := !e.missing.IsZero()
	if !doubted {
		e.missing = now
	}
	if !odd && !doubted {
		return true
	}
	switch l.look(e.cgroup) {
	case running:
		return false
	case ended:
		return true
	}
	return !empty && now.Sub(e.missing) >= agreed
}

// due returns the sandboxes to ask about now, the oldest first.
func (l *ledger) due(now time.Time) (ids []string) {
	for id, e := range l.sandboxes {
		if !e.asked && e.missing.IsZero() && !e.due.After(now) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b string) int {
		return cmp.Or(cmp.Compare(l.sandboxes[a].created, l.sandboxes[b].created), cmp.Compare(a, b))
	})
	return ids
}

// answered takes in what the runtime says of a sandbox. One that has no address keeps
// those that it had: containerd was seen to forget them when it restarts
// (containerd/containerd#7843). A cgroup counts that the kernel knows.
func (l *ledger) answered(id string, s sandboxStatus, now time.Time) {
	e := l.sandboxes[id]
	if e == nil {
		return
	}
	if l.look(s.cgroup) != running {
		s.cgroup = ""
	}
	e.asked = s.ready && (s.hostNetwork || len(s.addresses) > 0)
	if !e.asked {
		e.due = now.Add(again)
		s.addresses = e.addresses
	}
	if s.ready {
		e.sandboxStatus = s
	}
}

// failed notes that there was no answer about a sandbox.
func (l *ledger) failed(id string, now time.Time) {
	if e := l.sandboxes[id]; e != nil {
		e.due = now.Add(again)
	}
}

// pods returns the pods that run; nil while nothing is known. A pod may have an old
// sandbox beside its new one for a moment, and then the addresses of both.
func (l *ledger) pods() map[string]pods.Pod {
	if !l.known {
		return nil
	}
	out := map[string]pods.Pod{}
	for _, e := range slices.SortedFunc(maps.Values(l.sandboxes), func(a, b *entry) int {
		return cmp.Or(cmp.Compare(a.created, b.created), cmp.Compare(a.id, b.id))
	}) {
		old := out[e.uid]
		out[e.uid] = pods.Pod{
			UID: e.uid, Name: e.name, Sandbox: e.id, Cgroup: e.cgroup, Static: e.static,
			HostNetwork: e.hostNetwork, Addresses: pods.Sorted(slices.Concat(old.Addresses, e.addresses)),
		}
	}
	return out
}

// quiet says that there is nothing to look at again soon.
func (l *ledger) quiet() bool {
	for _, e := range l.sandboxes {
		if !e.asked || !e.missing.IsZero() {
			return false
		}
	}
	return true
}

// doubted counts the pods whose loss is not believed, and names some.
func (l *ledger) doubted() (n int, names string) {
	return l.some(func(e *entry) bool { return !e.missing.IsZero() })
}

// problems say what of the pods is not in order.
func (l *ledger) problems(now time.Time) (out []string) {
	if n, names := l.doubted(); n > 0 {
		out = append(out, fmt.Sprintf("the container runtime has %d pods no more, and that is not believed as long as "+
			"their processes run or it lists none at all: %s", n, names))
	}
	if n, names := l.some(func(e *entry) bool {
		return !e.hostNetwork && len(e.addresses) == 0 && e.missing.IsZero() && now.Sub(e.since) >= addressed
	}); n > 0 {
		out = append(out, fmt.Sprintf("%d pods have no address by the word of the container runtime: %s", n, names))
	}
	return out
}

// named is how many pods a problem names.
const named = 3

// some counts the pods of which something is so, and names the first of them.
func (l *ledger) some(so func(*entry) bool) (n int, names string) {
	all := map[string]struct{}{}
	for _, e := range l.sandboxes {
		if so(e) {
			all[cmp.Or(e.name, e.uid)] = struct{}{}
		}
	}
	sorted := slices.Sorted(maps.Keys(all))
	if len(sorted) > named {
		sorted = append(sorted[:named], "…")
	}
	return len(all), strings.Join(sorted, ", ")
}
