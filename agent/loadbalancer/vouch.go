package loadbalancer

import (
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
)

// served are the tables that say which endpoints a cluster has.
var served = []clustermesh.Kind{clustermesh.KindServices, clustermesh.KindSlices}

// vouch notes the clusters of which the view has had all that they serve. From
// then on the view alone says what is there: a table that freezes later keeps
// its contents in the view.
func (l *LoadBalancer) vouch() {
	self := l.view.Self()
	if self != nil && l.view.Synced(view.Ours, served...) {
		l.vouched[self.ID] = true
	}
	l.complete = self != nil && l.view.Synced(view.Ours, clustermesh.KindPeers)
	clear(l.known)
	if self != nil {
		l.known[self.ID] = true
	}
	for name := range l.view.Peers() {
		c := l.view.Cluster(name)
		if c == nil {
			l.complete = false
			continue
		}
		l.known[c.ID] = true
		if l.view.Synced(name, served...) {
			l.vouched[c.ID] = true
		}
	}
}

// missing reports whether a cluster may have endpoints that the view does not
// say. A cluster that is none of those we mesh with is not missing, once all of
// them have said their ids.
func (l *LoadBalancer) missing(cluster uint16) bool {
	return !l.vouched[cluster] && (l.known[cluster] || !l.complete)
}
