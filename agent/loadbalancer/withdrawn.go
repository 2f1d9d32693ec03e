package loadbalancer

import (
	"context"
	"maps"

	"tombolo.io/tombolo/clustermesh/global"
)

// withdrawal is what is known of the pods of one cluster that ended.
type withdrawal struct {
	cluster string
	pods    map[global.Pod]string
}

// SetWithdrawn says which pods of a cluster ended, and on whose word, as their own
// nodes say while the cluster's mirror is stale; what was said of the cluster before is
// forgotten. They leave the tables whatever else there is, and their
// connections are ended: their addresses may be others' by now. It returns when Run has it, or ctx is
// done.
func (l *LoadBalancer) SetWithdrawn(ctx context.Context, cluster string, pods map[global.Pod]string) error {
	select {
	case l.withdrawals <- withdrawal{cluster, maps.Clone(pods)}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// withdraw takes a withdrawal in, and marks the services that it touches.
func (l *LoadBalancer) withdraw(w withdrawal) {
	before := l.withdrawn
	l.withdrawn = map[global.Pod]string{} // never changed once it was handed out
	maps.Copy(l.withdrawn, w.pods)
	for p, reason := range before {
		if p.Cluster != w.cluster {
			l.withdrawn[p] = reason
		}
	}
	for _, st := range l.report.services {
		if differs(before, l.withdrawn, w.cluster, st.Input) {
			l.queue.Mark(key{service: st.Name})
		}
	}
}

// differs reports whether an endpoint of a cluster is not alike in both.
func differs(a, b map[global.Pod]string, cluster string, in *global.Input) bool {
	for _, e := range in.Exports {
		if e.Cluster != cluster {
			continue
		}
		for _, s := range e.Slices {
			for i := range s.Endpoints {
				p := global.Pod{Cluster: cluster, Address: s.Endpoints[i].Address, UID: s.Endpoints[i].PodUID}
				inA, isA := a[p]
				if inB, isB := b[p]; isA != isB || inA != inB {
					return true
				}
			}
		}
	}
	return false
}
