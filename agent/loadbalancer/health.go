package loadbalancer

import (
	"context"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
)

// Verdict is what somebody found out about a node, or about a cluster when Node is
// empty.
type Verdict struct {
	Cluster uint16
	Node    string
	// Down is what is down, and Known of what the verdict speaks, which is more than
	// that: of the rest it is not known, and stays what an earlier process stored.
	Down, Known Health
	// Gone: it exists no more, and nobody looks at it. What is down stays so for as long
	// as something lists an endpoint there.
	Gone bool
}

// who is of whom a verdict speaks.
func (v Verdict) who() nodeName { return nodeName{v.Cluster, v.Node} }

// Judge passes a verdict on. It returns when Run has stored what is down by it, in
// one byte, or ctx is done; the tables are built anew behind that. What is up again
// has its place in the tables first. A verdict about a node that no backend names now
// is kept until one does.
func (l *LoadBalancer) Judge(ctx context.Context, v Verdict) error {
	select {
	case l.verdicts <- v:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// judge takes a verdict in and stores what is down now. It does nothing more, for
// the next verdict may wait behind this one.
func (l *LoadBalancer) judge(v Verdict) {
	who, before := v.who(), l.held[v.who()]
	if v.Gone {
		l.part(who)
		return
	}
	delete(l.parted.from, who)
	if v.Down == 0 {
		delete(l.held, who)
	} else {
		l.held[who] = v.Down
	}
	delete(l.rising, who)
	if before&^v.Down != 0 {
		l.rising[who] = v.Known
	}
	l.store(who, before|v.Down, v.Known)
	if v.Down&^before != 0 && l.config.Down != nil {
		l.config.Down()
	}
	if before != v.Down {
		l.health = nil
		l.heard++
		l.touched[who] = struct{}{}
	}
}

// betweenMarks is how many services are looked at before verdicts are looked for.
const betweenMarks = 256

// markTouched marks the services with an endpoint about whom something was heard
// since the last time.
func (l *LoadBalancer) markTouched(now time.Time) {
	if len(l.touched)+len(l.stirred) == 0 {
		return
	}
	nodes, pods := l.touched, l.stirred
	l.touched, l.stirred = map[nodeName]struct{}{}, map[global.Pod]struct{}{} // what comes meanwhile: the next time
	for i, st := range l.report.services {
		if i%betweenMarks == 0 {
			l.judgeWaiting(now)
		}
		if concerns(nodes, st.Input) || stirs(pods, st.Input) {
			l.queue.Mark(key{service: st.Name})
		}
	}
}

// store stores what is down of that of which something is known.
func (l *LoadBalancer) store(who nodeName, down, known Health) {
	if who.name == "" {
		t := l.state.target
		t.SetClusterHealth(who.cluster, down&known|t.ClusterHealth(who.cluster)&^known)
	} else {
		l.state.nodes.judge(who, down, known)
	}
}

// rise stores what is up again, once the tables that it touches were built; while
// nothing is built, at once.
func (l *LoadBalancer) rise() {
	for who, known := range l.rising {
		if _, waits := l.touched[who]; !waits || !l.ready {
			l.store(who, l.held[who], known)
			delete(l.rising, who)
		}
	}
}

// judgeWaiting takes in what waits of verdicts, withdrawals and failures: Run looks
// for them between keys, so that they do not wait for a thousand services.
func (l *LoadBalancer) judgeWaiting(now time.Time) {
	for {
		select {
		case v := <-l.verdicts:
			l.judge(v)
		case w := <-l.withdrawals:
			l.withdraw(w)
		case f := <-l.failures:
			l.fail(f, now)
		default:
			return
		}
	}
}

// concerns reports whether a service has a part of some cluster, or an endpoint of
// some node.
func concerns(some map[nodeName]struct{}, in *global.Input) bool {
	if len(some) == 0 {
		return false
	}
	for _, e := range in.Exports {
		if _, ok := some[nodeName{cluster: e.ClusterID}]; ok {
			return true
		}
		for _, s := range e.Slices {
			for i := range s.Endpoints {
				if _, ok := some[nodeName{e.ClusterID, s.Endpoints[i].Node}]; ok {
					return true
				}
			}
		}
	}
	return false
}

// input returns a service as the mesh knows it, with what our own eyes saw.
func (l *LoadBalancer) input(k key) global.Input {
	in := l.view.Service(k.service)
	if l.health == nil {
		l.health = l.named()
	}
	in.Health, in.Withdrawn, in.Ejected = *l.health, l.withdrawn, l.ejectedOf(k.service)
	in.NodeAddresses, in.Every, in.Direct = l.nodePorts, l.config.Every, l.config.Direct
	return in
}

// named returns the verdicts by the names of clusters, as far as these have said
// their ids.
func (l *LoadBalancer) named() *global.Health {
	h := &global.Health{Clusters: map[string]clustermesh.Families{}, Nodes: map[global.NodeName]global.NodeHealth{}, Outdated: l.outdated}
	for who, health := range l.held {
		cluster := l.nameOf(who.cluster)
		switch {
		case cluster == "":
		case who.name == "":
			h.Clusters[cluster] = health.families(ClusterDown)
		default:
			h.Nodes[global.NodeName{Cluster: cluster, Node: who.name}] = global.NodeHealth{
				AddressDown: health.families(NodeDown), PodsDown: health.families(PodsDown),
			}
		}
	}
	return h
}

// families returns those in which something is down.
func (h Health) families(what Health) (out clustermesh.Families) {
	if h&what&V4 != 0 {
		out |= clustermesh.IPv4
	}
	if h&what&V6 != 0 {
		out |= clustermesh.IPv6
	}
	return out
}

// nameOf returns the name of a cluster, or nothing.
func (l *LoadBalancer) nameOf(id uint16) string {
	if c := l.view.Self(); c != nil && c.ID == id {
		return c.Name
	}
	for name := range l.view.Mirrors() {
		if c := l.view.Cluster(name); c != nil && c.ID == id {
			return c.Name
		}
	}
	return ""
}
