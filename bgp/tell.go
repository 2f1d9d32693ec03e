package bgp

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"tombolo.io/tombolo/bgp/advertise"
	"tombolo.io/tombolo/bgp/session"
	"tombolo.io/tombolo/clustermesh"
)

// problem notes what is wrong with a part of the speaker, or that it is well,
// and logs the transition.
func (l *loop) problem(part string, err error) {
	old := l.problems[part]
	if err == nil {
		delete(l.problems, part)
		return
	}
	if old == nil || old.Error() != err.Error() {
		l.s.log.Error("speaker degraded", "part", part, "error", err)
	}
	l.problems[part] = err
}

// logWithdrawals tells each path that goes, and why.
func (l *loop) logWithdrawals(routers []router, held map[string][]advertise.Held) {
	now := byPeer(routers)
	for _, old := range l.wanted {
		still := map[netip.Prefix]bool{}
		for _, p := range now[old.Peer.Name].Paths {
			still[p.Prefix] = true
		}
		for _, p := range old.Paths {
			if !still[p.Prefix] {
				l.s.log.Info("path withdrawn", "peer", old.Peer.Name, "prefix", p.Prefix,
					"for", p.Origin, "reason", whyGone(p, held[old.Peer.Name]))
			}
		}
	}
}

// whyGone returns why a path is no longer advertised: "removed" when nothing
// asks for it any more.
func whyGone(p advertise.Path, held []advertise.Held) advertise.Reason {
	for _, h := range held {
		if h.Prefix == p.Prefix {
			return h.Reason
		}
	}
	return advertise.Removed
}

// publish replaces the snapshot that Status returns.
func (l *loop) publish() {
	st := &Status{Node: l.s.cfg.Node, Started: l.s.started, Health: clustermesh.HealthOK}
	switch {
	case l.fromStore:
		st.Source = "store"
	case len(l.wanted) > 0:
		st.Source = "disk"
	}
	since, err := l.collector.view.Stale()
	if st.StaleSince = since; !since.IsZero() {
		st.Reasons = append(st.Reasons, fmt.Sprintf("etcd stale since %s: %v", since.Format(time.TimeOnly), err))
	}
	invalid := l.collector.view.Invalid()
	st.Invalid = len(invalid)
	st.Reasons = append(st.Reasons, unread(invalid)...)
	for _, part := range slices.Sorted(maps.Keys(l.problems)) {
		st.Reasons = append(st.Reasons, fmt.Sprintf("%s: %v", part, l.problems[part]))
	}
	for _, r := range l.wanted {
		if p := l.peerings[r.Peer.Name]; p != nil {
			st.add(r, p)
		}
		st.Routes = append(st.Routes, routesOf(r, l.held[r.Peer.Name])...)
	}
	if len(st.Reasons) > 0 {
		st.Health = clustermesh.HealthDegraded
	}
	l.s.status.Store(st)
	l.report(st)
}

// maxReasons bounds how many keys are named whose values do not decode.
const maxReasons = 5

// unread names the keys whose values are not used, and counts those beyond.
func unread(invalid map[string]error) []string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(invalid)) {
		if len(out) == maxReasons {
			return append(out, fmt.Sprintf("and %d more values in etcd", len(invalid)-maxReasons))
		}
		out = append(out, fmt.Sprintf("a value in etcd is not used: %s: %v", key, invalid[key]))
	}
	return out
}

// report gives the store what is known of this process, when that changed. It
// never waits: of what nobody took yet the newest counts.
func (l *loop) report(st *Status) {
	p := &clustermesh.ProcessStatus{Role: Role, Node: st.Node, Version: l.s.cfg.Version, Started: st.Started, Health: st.Health}
	for _, r := range st.Reasons {
		p.Reasons = append(p.Reasons, clustermesh.Line(r))
	}
	for _, s := range st.Peers[:min(len(st.Peers), clustermesh.MaxReportedSessions)] {
		p.Sessions = append(p.Sessions, clustermesh.BGPSession{
			Peer: s.Name, State: s.State, Established: s.State == string(session.Established) && s.refused == "", Reason: clustermesh.Line(s.Reason),
		})
	}
	slices.SortFunc(p.Sessions, func(a, b clustermesh.BGPSession) int { return cmp.Compare(a.Peer, b.Peer) })
	value, err := clustermesh.Encode(p)
	if err != nil || bytes.Equal(value, l.reported) {
		l.problem("status", err)
		return
	}
	l.reported = value
	select {
	case <-l.reports:
	default:
	}
	l.reports <- value
}
