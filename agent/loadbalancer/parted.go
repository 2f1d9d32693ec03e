package loadbalancer

import (
	"maps"
	"time"
)

// parted are nodes and clusters that are down and exist no more: a dead node's object
// is often deleted before its endpoints are, and these must not be led to meanwhile.
type parted struct {
	// from has what their clusters were called: another cluster may get the id.
	from map[nodeName]string
	// due: something changed since it was looked at who lists them.
	due    bool
	looked time.Time
}

// lookEvery bounds how often it is looked who lists those that parted.
const lookEvery = time.Second

// part takes in that a node or cluster exists no more.
func (l *LoadBalancer) part(who nodeName) {
	if l.held[who] == 0 {
		return
	}
	l.parted.from[who], l.parted.due = l.nameOf(who.cluster), true
}

// forgetParted lets go what is known of those whom nothing lists any more.
func (l *LoadBalancer) forgetParted(now time.Time) {
	if at, due := l.nextParted(); !due || !l.ready || now.Before(at) {
		return
	}
	l.parted.due, l.parted.looked = false, now
	unlisted := map[nodeName]struct{}{}
	for who := range l.parted.from {
		unlisted[who] = struct{}{}
	}
	for _, service := range l.report.services {
		if !concerns(unlisted, service.Input) {
			continue
		}
		maps.DeleteFunc(unlisted, func(who nodeName, _ struct{}) bool {
			same := l.nameOf(who.cluster) == l.parted.from[who]
			return same && concerns(map[nodeName]struct{}{who: {}}, service.Input)
		})
	}
	for who := range unlisted {
		l.forget(who)
	}
}

// forget lets a verdict go that no table knows.
func (l *LoadBalancer) forget(who nodeName) {
	delete(l.parted.from, who)
	delete(l.held, who)
	delete(l.rising, who)
	l.store(who, 0, Everything)
	delete(l.state.nodes.verdicts, who)
	l.health = nil
	l.heard++
	l.touched[who] = struct{}{} // another cluster may have the id
}

// nextParted returns when that is to be looked at.
func (l *LoadBalancer) nextParted() (time.Time, bool) {
	return l.parted.looked.Add(lookEvery), l.parted.due && len(l.parted.from) > 0
}
