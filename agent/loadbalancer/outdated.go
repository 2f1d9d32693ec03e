package loadbalancer

import (
	"maps"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// age finds out which clusters' mirrors are older than Config.StaleAfter, marks the
// services of those of whom that changed, and notes when the next will be.
func (l *LoadBalancer) age(now time.Time) {
	l.ages = time.Time{}
	if l.config.StaleAfter == 0 {
		return
	}
	outdated := map[string]bool{}
	for name := range l.view.Mirrors() {
		c, since := l.view.Cluster(name), l.staleSince(name)
		if c == nil || since.IsZero() {
			continue
		}
		at := since.Add(l.config.StaleAfter)
		if !at.After(now) {
			outdated[c.Name] = true
		} else if l.ages.IsZero() || at.Before(l.ages) {
			l.ages = at
		}
	}
	if maps.Equal(outdated, l.outdated) {
		return
	}
	for _, st := range l.report.services {
		for _, e := range st.Input.Exports {
			if outdated[e.Cluster] != l.outdated[e.Cluster] {
				l.queue.Mark(key{service: st.Name})
			}
		}
	}
	l.outdated, l.health = outdated, nil
}

// staleSince returns since when the mirror of a cluster is not known to follow;
// zero while it is.
func (l *LoadBalancer) staleSince(name string) time.Time {
	since, _ := l.view.Stale()
	s := l.view.Mirror(name)
	if s != nil && s.Phase != clustermesh.MirrorSynced && (since.IsZero() || s.Since.Before(since)) {
		since = s.Since
	}
	return since
}
