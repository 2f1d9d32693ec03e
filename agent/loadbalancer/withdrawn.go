package loadbalancer

import (
	"context"
	"maps"
	"net/netip"

	"tombolo.io/tombolo/clustermesh/global"
)

// withdrawal is what is known of the pods of one cluster that ended.
type withdrawal struct {
	cluster string
	pods    map[global.Pod]string
	// taken is how many batches of the mesh that goes by.
	taken uint64
}

// SetWithdrawn says which pods of a cluster ended, and on whose word, as their own
// nodes say while the cluster's mirror is stale; what was said of the cluster before is
// forgotten. They leave the tables whatever else there is, and their
// connections are ended: their addresses may be others' by now. Who is named no longer is
// back once as many batches of the mesh were taken in as whoever says so had taken: one of
// them may be why. It returns when Run has it, or ctx is done.
func (l *LoadBalancer) SetWithdrawn(ctx context.Context, cluster string, pods map[global.Pod]string, taken uint64) error {
	select {
	case l.withdrawals <- withdrawal{cluster, maps.Clone(pods), taken}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Inherit takes over which pods an earlier process had withdrawn, and on whose word: they
// are not used until SetWithdrawn says another thing of their cluster. It is to be called
// before Run.
func (l *LoadBalancer) Inherit(pods map[global.Pod]string) { l.withdrawn = maps.Clone(pods) }

// withdraw takes a withdrawal in. One that goes by batches that still wait takes nobody
// back before them.
func (l *LoadBalancer) withdraw(w withdrawal) {
	before := l.withdrawn
	delete(l.early, w.cluster)
	if w.taken > l.view.Taken() {
		l.early[w.cluster] = w
		w.pods = maps.Clone(w.pods)
		for p, reason := range before {
			if _, again := w.pods[p]; !again && p.Cluster == w.cluster {
				w.pods[p] = reason
			}
		}
	}
	l.withdrawn = map[global.Pod]string{} // never changed once it was handed out
	maps.Copy(l.withdrawn, w.pods)
	for p, reason := range before {
		if p.Cluster != w.cluster {
			l.withdrawn[p] = reason
		}
	}
	if !l.ready {
		l.endFound(w.pods)
	}
	l.heard++
	l.stir(before, l.withdrawn)
	l.stir(l.withdrawn, before)
}

// withdrawLate takes the withdrawals in whose batches have come.
func (l *LoadBalancer) withdrawLate() {
	for _, w := range l.early {
		if w.taken <= l.view.Taken() {
			l.withdraw(w)
		}
	}
}

// endFound ends the backends that were found in the maps at addresses of pods that
// ended, before the store has said whose they are. It is not taken back before that: by
// then their addresses may be others'. The mesh's addresses do not overlap, so the
// cluster, of which the maps know the number alone, need not be looked at.
func (l *LoadBalancer) endFound(pods map[global.Pod]string) {
	addresses := map[netip.Addr]struct{}{}
	for p := range pods {
		addresses[p.Address] = struct{}{}
	}
	for _, p := range l.state.pinned {
		for i := range p.backends {
			b := &p.backends[i]
			if _, gone := addresses[b.address.Addr()]; gone && b.standing != Ended {
				b.standing, l.ended = Ended, true
				l.state.target.SetStanding(b.number, Ended)
			}
		}
	}
}

// stir notes the pods of which one says what the other does not.
func (l *LoadBalancer) stir(one, other map[global.Pod]string) {
	for p, reason := range one {
		if others, ok := other[p]; !ok || others != reason {
			l.stirred[p] = struct{}{}
		}
	}
}

// stirs reports whether one of the pods is an endpoint of a service.
func stirs(pods map[global.Pod]struct{}, in *global.Input) bool {
	if len(pods) == 0 {
		return false
	}
	for _, e := range in.Exports {
		for _, s := range e.Slices {
			for i := range s.Endpoints {
				if _, ok := pods[global.Pod{Cluster: e.Cluster, Address: s.Endpoints[i].Address, UID: s.Endpoints[i].PodUID}]; ok {
					return true
				}
			}
		}
	}
	return false
}
