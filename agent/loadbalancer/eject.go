package loadbalancer

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"tombolo.io/tombolo/agent/outlier"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
)

// judged is what one detector judges: a TCP port of a service in one family.
// Where cluster IPs and load-balancer IPs select differently, they have it in
// common.
type judged struct {
	port uint16
	ipv6 bool
}

// outliers are the detectors of those services that ask for one.
type outliers struct {
	services map[clustermesh.ServiceName]map[judged]*outlier.Detector
	// ejections are what they say, of services of which somebody is ejected,
	// ordered; never changed once they were handed out.
	ejections map[clustermesh.ServiceName][]Ejection
	tally     OutlierTally
}

func newOutliers() outliers {
	return outliers{
		services:  map[clustermesh.ServiceName]map[judged]*outlier.Detector{},
		ejections: map[clustermesh.ServiceName][]Ejection{},
	}
}

// fail judges failures. Who is ejected takes no connection from here on, by one
// store for each of its entries; the tables are built without it behind that.
func (l *LoadBalancer) fail(all []ConnectFailure, now time.Time) {
	for _, f := range all {
		p := l.state.numbered[f.Service]
		if p == nil || p.id.protocol != clustermesh.TCP {
			continue
		}
		j := judged{p.id.port, p.id.ipv6}
		d := l.outliers.services[p.service][j]
		if d == nil {
			continue
		}
		switch d.Fail(now, f.Host, f.InARow, causeText(f.Cause)) {
		case outlier.Ejected:
			l.outliers.tally.Ejected++
			if l.config.Outliers == EjectOutliers {
				l.entries(p.service, j, f.Host, l.silence)
			}
			l.heard++
			l.recount(p.service)
		case outlier.Overflow:
			l.outliers.tally.Overflow++
			l.report.dirty = true
		}
	}
}

// silence lets a backend be passed over at once.
func (l *LoadBalancer) silence(b *placed) {
	if b.standing == Active {
		b.standing = Silent
		l.state.target.SetStanding(b.number, Silent)
	}
}

// entries calls each for the entries of a host behind a port.
func (l *LoadBalancer) entries(name clustermesh.ServiceName, j judged, h outlier.Host, each func(*placed)) {
	for _, p := range l.state.byName[name] {
		if p.id.protocol != clustermesh.TCP || p.id.port != j.port || p.id.ipv6 != j.ipv6 {
			continue
		}
		for i := range p.backends {
			if b := &p.backends[i]; b.cluster == h.Cluster && b.address == h.Address {
				each(b)
			}
		}
	}
}

// expire ends the ejections whose time has come.
func (l *LoadBalancer) expire(now time.Time) {
	for name := range l.outliers.ejections {
		for j, d := range l.outliers.services[name] {
			l.readmit(name, j, d.Expire(now))
		}
	}
}

// readmit forgets the failures of hosts that are ejected no more.
func (l *LoadBalancer) readmit(name clustermesh.ServiceName, j judged, back []outlier.Host) {
	for _, h := range back {
		l.entries(name, j, h, func(b *placed) { l.state.target.Forgive(b.number) })
	}
	if len(back) > 0 {
		l.recount(name)
	}
}

// nextReturn returns when the next ejection ends; false when nobody is ejected.
func (l *LoadBalancer) nextReturn() (next time.Time, found bool) {
	for _, all := range l.outliers.ejections {
		for _, e := range all {
			if !found || e.Until.Before(next) {
				next, found = e.Until, true
			}
		}
	}
	return next, found
}

// muster tells the detectors of a service, after it was merged, which hosts there
// are. A service that asks for no detection any more has none.
func (l *LoadBalancer) muster(s *global.Service, now time.Time) {
	wants := s.Definition != nil && s.Definition.Outliers.On() && l.config.Outliers != IgnoreOutliers
	if !wants && l.outliers.services[s.Name] == nil {
		return
	}
	hosts := map[judged][]outlier.Host{}
	if wants {
		for i := range s.Ports {
			if p := &s.Ports[i]; p.Protocol == clustermesh.TCP {
				j := judged{p.Port, p.Frontends[0].Address.Is6()}
				hosts[j] = append(hosts[j], l.hostsOf(s.Name, j, p)...)
			}
		}
	}
	detectors := l.outliers.services[s.Name]
	for j := range detectors {
		if _, wanted := hosts[j]; !wanted {
			delete(detectors, j)
		}
	}
	if len(hosts) > 0 && detectors == nil {
		detectors = map[judged]*outlier.Detector{}
		l.outliers.services[s.Name] = detectors
	} else if len(hosts) == 0 {
		delete(l.outliers.services, s.Name)
	}
	for j, all := range hosts {
		if detectors[j] == nil {
			detectors[j] = &outlier.Detector{}
		}
		l.readmit(s.Name, j, detectors[j].Set(now, s.Definition.Outliers, all))
	}
	l.recount(s.Name)
}

// hostsOf returns the backends of a port that could serve: those of its tables,
// and those that would be there were they not ejected.
func (l *LoadBalancer) hostsOf(name clustermesh.ServiceName, j judged, p *global.Port) []outlier.Host {
	out := make([]outlier.Host, 0, len(p.Primary)+len(p.Backup))
	add := func(b *global.Backend) {
		out = append(out, outlier.Host{Cluster: b.ClusterID, Address: netip.AddrPortFrom(b.Address, b.Port)})
	}
	for _, table := range [][]global.Backend{p.Primary, p.Backup} {
		for i := range table {
			add(&table[i])
		}
	}
	for i := range p.Aside {
		b := &p.Aside[i]
		target := global.Target{Port: j.port, Cluster: b.Cluster, Address: netip.AddrPortFrom(b.Address, b.Port)}
		if b.Serving && slices.ContainsFunc(l.outliers.ejections[name], func(e Ejection) bool { return e.Target == target }) {
			add(b)
		}
	}
	return out
}

// recount writes down who of a service is ejected, tells what is new, and marks
// the service if something is.
func (l *LoadBalancer) recount(name clustermesh.ServiceName) {
	before := l.outliers.ejections[name]
	var all []Ejection
	for j, d := range l.outliers.services[name] {
		for _, e := range d.Ejections() {
			target := global.Target{Port: j.port, Cluster: l.nameOf(e.Cluster), Address: e.Address}
			all = append(all, Ejection{name, target, e.Since, e.Until, reasonOf(e)})
		}
	}
	slices.SortFunc(all, func(a, b Ejection) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Cluster, b.Cluster), a.Address.Compare(b.Address))
	})
	if slices.Equal(before, all) {
		return
	}
	delete(l.outliers.ejections, name)
	if len(all) > 0 {
		l.outliers.ejections[name] = all
	}
	for _, e := range before {
		if !slices.Contains(all, e) {
			l.tellNews(News{Ejection: e, Ended: true})
		}
	}
	for _, e := range all {
		if !slices.Contains(before, e) {
			l.tellNews(News{Ejection: e})
		}
	}
	l.queue.Mark(key{service: name})
}

func (l *LoadBalancer) tellNews(n News) {
	n.Observed = l.config.Outliers == ObserveOutliers
	if l.config.Tell != nil {
		l.config.Tell(n)
	}
}

// ejectedOf returns who of a service is left out, for a merge.
func (l *LoadBalancer) ejectedOf(name clustermesh.ServiceName) map[global.Target]string {
	all := l.outliers.ejections[name]
	if len(all) == 0 || l.config.Outliers != EjectOutliers {
		return nil
	}
	out := make(map[global.Target]string, len(all))
	for _, e := range all {
		out[e.Target] = e.Reason
	}
	return out
}
