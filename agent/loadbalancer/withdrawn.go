package loadbalancer

import (
	"context"
	"maps"

	"tombolo.io/tombolo/clustermesh/global"
)

// withdrawal is what is known of the pods of one cluster that ended.
type withdrawal struct {
	cluster string
	pods    map[global.Pod]bool
}

// SetWithdrawn says which pods of a cluster ended, as their own nodes say while
// the cluster's mirror is stale; what was said of the cluster before is
// forgotten. They leave the tables whatever else there is, and their entries go:
// their addresses may be others' by now. It returns when Run has it, or ctx is
// done.
func (l *LoadBalancer) SetWithdrawn(ctx context.Context, cluster string, pods []global.Pod) error {
	w := withdrawal{cluster, make(map[global.Pod]bool, len(pods))}
	for _, p := range pods {
		w.pods[p] = true
	}
	select {
	case l.withdrawals <- w:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// withdraw takes a withdrawal in, and marks the services that it touches.
func (l *LoadBalancer) withdraw(w withdrawal) {
	before := l.withdrawn
	l.withdrawn = maps.Clone(w.pods) // never changed once it was handed out
	for p := range before {
		if p.Cluster != w.cluster {
			l.withdrawn[p] = true
		}
	}
	for _, st := range l.report.services {
		if differs(before, l.withdrawn, w.cluster, st.Input) {
			l.queue.Mark(key{service: st.Name})
		}
	}
}

// differs reports whether an endpoint of a cluster is in one of the sets alone.
func differs(a, b map[global.Pod]bool, cluster string, in *global.Input) bool {
	for _, e := range in.Exports {
		if e.Cluster != cluster {
			continue
		}
		for _, s := range e.Slices {
			for i := range s.Endpoints {
				p := global.Pod{Cluster: cluster, Address: s.Endpoints[i].Address, UID: s.Endpoints[i].PodUID}
				if a[p] != b[p] {
					return true
				}
			}
		}
	}
	return false
}
