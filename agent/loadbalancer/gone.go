package loadbalancer

import (
	"net/netip"
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh/global"
)

const (
	// misses is for how long a backend's cluster may list it nowhere before its
	// connections are ended: one that moves from one slice to another is in neither
	// for a moment.
	misses = time.Second
	// lingers is for how long its entry stays then, so that whoever ends
	// connections finds it (agent/disconnect looks every second).
	lingers = 3 * time.Second
)

// seeOff keeps the entries of a port's backends that are gone for as long as it
// takes to end their connections: of those that their node says ended, and of
// those that their cluster lists no more although it has the service. Of others
// that leave (a service that is shared no more, a cluster that is no peer any more)
// nobody says that they ended, and their connections stay.
func (l *LoadBalancer) seeOff(k key, in *global.Input, d *desired, now time.Time) {
	p := l.state.portOf(k.service, d.id)
	if p == nil {
		p = l.state.found[owner(k.service, d.id)]
	}
	if p == nil {
		return
	}
	for _, b := range p.backends {
		if d.has(b) || l.missing(b.cluster) {
			continue
		}
		since, start := b.gone, now
		if since.IsZero() {
			since = now
		}
		switch departed(in, b.cluster, b.address.Addr()) {
		case isThere:
			continue
		case isUnlisted:
			start = since.Add(misses)
		case isWithdrawn:
			start = since
		}
		by := bystander{endpoint{cluster: b.cluster, address: b.address, pinned: true}, Silent, since}
		next := start
		if !now.Before(start) {
			by.standing, next = Ended, start.Add(lingers)
		}
		if !now.Before(next) {
			continue // it had its time
		}
		d.aside = append(d.aside, by)
		if at, ok := l.leaving[k.service]; !ok || next.Before(at) {
			l.leaving[k.service] = next
		}
		l.ended = l.ended || by.standing == Ended && b.standing != Ended
	}
}

// has reports whether a backend of the port is to stay.
func (d *desired) has(b placed) bool {
	is := func(e endpoint) bool { return e.cluster == b.cluster && e.address == b.address }
	for t := range tiers {
		if slices.ContainsFunc(d.tiers[t], func(s share) bool { return is(s.endpoint) }) {
			return true
		}
	}
	return slices.ContainsFunc(d.aside, func(by bystander) bool { return is(by.endpoint) })
}

// presence is what is known of who was a backend.
type presence int

const (
	isThere     presence = iota // or nothing says that it is not
	isUnlisted                  // its cluster has the service without it
	isWithdrawn                 // its node says that it ended
)

func departed(in *global.Input, cluster uint16, a netip.Addr) presence {
	now := isThere
	for _, e := range in.Exports {
		if e.ClusterID != cluster || e.Service == nil {
			continue
		}
		now = isUnlisted
		for _, s := range e.Slices {
			for i := range s.Endpoints {
				ep := &s.Endpoints[i]
				if ep.Address != a {
					continue
				}
				if _, ended := in.Withdrawn[global.Pod{Cluster: e.Cluster, Address: a, UID: ep.PodUID}]; !ended {
					return isThere
				}
				now = isWithdrawn
			}
		}
	}
	return now
}

// markLeaving marks the services of which something is to change because of the
// time that has passed.
func (l *LoadBalancer) markLeaving(now time.Time) {
	for name, at := range l.leaving {
		if !now.Before(at) {
			l.queue.Mark(key{service: name})
		}
	}
}

// nextLeaving returns when that is again, false for never.
func (l *LoadBalancer) nextLeaving() (next time.Time, ok bool) {
	for _, at := range l.leaving {
		if !ok || at.Before(next) {
			next, ok = at, true
		}
	}
	return next, ok
}
