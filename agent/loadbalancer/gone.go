package loadbalancer

import (
	"net/netip"
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh"
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
// those that their cluster lists no more although it has the service. It keeps those
// of backends that are there still and were only deselected, as by a weight of 0: they
// drain. Of others that leave (a service that is shared no more, a cluster that is no
// peer any more) nobody says whether they ended: connections of sockets stay, which
// need no entry, and flows of packets are reset, whose next packet might come to
// whoever has the address by then.
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
		is, e := departed(in, b.cluster, b.address.Addr())
		switch is {
		case isUnknown:
			continue
		case isThere:
			if by, ok := deselected(in, b, d.id.protocol, e); ok {
				d.aside = append(d.aside, by)
			}
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
	isUnknown   presence = iota // nobody says anything
	isThere                     // its cluster lists it
	isUnlisted                  // its cluster has the service without it
	isWithdrawn                 // its node says that it ended
)

// departed says what a cluster makes known of an address, with the endpoint that is
// there.
func departed(in *global.Input, cluster uint16, a netip.Addr) (presence, *clustermesh.Endpoint) {
	is := isUnknown
	for _, e := range in.Exports {
		if e.ClusterID != cluster || e.Service == nil {
			continue
		}
		is = isUnlisted
		for _, s := range e.Slices {
			for i := range s.Endpoints {
				ep := &s.Endpoints[i]
				if ep.Address != a {
					continue
				}
				if _, ended := in.Withdrawn[global.Pod{Cluster: e.Cluster, Address: a, UID: ep.PodUID}]; !ended {
					return isThere, ep
				}
				is = isWithdrawn
			}
		}
	}
	return is, nil
}

// deselected returns what a backend becomes that is there as this endpoint, and is to
// be led to no more. False: it may be another's connections that would be kept, for its
// cluster lists it with other ports, or another cluster has its address.
func deselected(in *global.Input, b placed, protocol clustermesh.Protocol, e *clustermesh.Endpoint) (bystander, bool) {
	listed := false
	for _, x := range in.Exports {
		for _, s := range x.Slices {
			if !slices.ContainsFunc(s.Endpoints, func(o clustermesh.Endpoint) bool { return o.Address == e.Address }) {
				continue
			}
			if x.ClusterID != b.cluster {
				return bystander{}, false
			}
			listed = listed || slices.ContainsFunc(s.Ports, func(p clustermesh.EndpointPort) bool {
				return p.Port == b.address.Port() && p.Protocol == protocol
			})
		}
	}
	standing := Draining
	if !e.Serving {
		standing = Silent
	}
	return bystander{endpoint: endpoint{cluster: b.cluster, address: b.address, node: e.Node, onNode: b.onNode}, standing: standing}, listed
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
