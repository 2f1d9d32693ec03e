package loadbalancer

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
	"tombolo.io/tombolo/internal/reconcile"
)

// Snapshot is what lies in the maps at one moment, and why. It is never changed
// after it was published.
type Snapshot struct {
	// Time is when it was taken; zero before Run has taken the maps over.
	Time time.Time
	// Stale is since when what etcd says may be old, zero while it is not, and
	// StaleReason why.
	Stale       time.Time
	StaleReason string
	// Synced is set once all of this cluster's services and endpoints were seen.
	// Until then what was found in the maps stays as it is.
	Synced bool
	// Cluster is what the node's cluster says of itself, nil while not known.
	Cluster *clustermesh.Cluster
	// Revision is the store's up to which everything was seen.
	Revision int64
	// Unclaimed counts the service ports that were found in the maps and that
	// no known service has claimed.
	Unclaimed int
	// Usage says how full the maps are.
	Usage Usage

	// Outliers counts ejections, and Heard the services whose connections are
	// looked at for them.
	Outliers OutlierTally
	Heard    int

	// Invalid are the keys of the store whose values do not decode, and why.
	Invalid map[string]error

	services []*ServiceStatus
	failures []reconcile.Failure[key]
	nodes    map[uint32]nodeName
}

// Node returns the name of a node by its number in the maps, empty while it is not
// known.
func (s *Snapshot) Node(number uint32) string { return s.nodes[number].name }

// Uses returns the names of the nodes on which backends are, by their clusters' ids, in
// no order.
func (s *Snapshot) Uses() map[uint16][]string {
	out := map[uint16][]string{}
	for _, n := range s.nodes {
		out[n.cluster] = append(out[n.cluster], n.name)
	}
	return out
}

// Numbered returns the nodes of our own cluster on which backends are, by their numbers
// in the maps.
func (s *Snapshot) Numbered() map[uint32]string {
	out := map[uint32]string{}
	for number, n := range s.nodes {
		if s.Cluster != nil && n.cluster == s.Cluster.ID {
			out[number] = n.name
		}
	}
	return out
}

// Numbers returns which services the numbers in the maps are of.
func (s *Snapshot) Numbers() map[uint32]clustermesh.ServiceName {
	out := make(map[uint32]clustermesh.ServiceName, len(s.services))
	for _, service := range s.services {
		for _, p := range service.Ports {
			out[p.Number] = service.Name
		}
	}
	return out
}

// Usage counts entries in use, those that wait for a grace period included.
type Usage struct {
	Frontends, Ranges                int
	Services, Backends, Nodes, Slots int
	Limits                           Limits
}

// ServiceStatus is one service as it lies in the maps.
type ServiceStatus struct {
	Name clustermesh.ServiceName
	// Merged is what the maps should hold; the conflicts and the part of each
	// cluster are in it.
	Merged *global.Service
	// Input is what Merged was made of.
	Input *global.Input
	// Ports are what the maps do hold.
	Ports []PortStatus
	// Ejections are the backends that are left out because connections to them
	// fail, or would be if that were not only observed.
	Ejections []Ejection
}

// PortStatus is one port of a service in one family as it lies in the maps.
type PortStatus struct {
	Protocol clustermesh.Protocol
	Port     uint16
	IPv6     bool
	// External: only clients that dial a load-balancer IP come here, because
	// those that dial the cluster IP select differently.
	External bool
	// Here: only packets from outside come here, for the endpoints of this node.
	Here bool
	// Guarded: clients come here from Ranges alone. KeepsOut says of the node's own
	// sockets.
	Guarded  bool
	Ranges   []netip.Prefix
	KeepsOut Guard
	// Number is the service's in the maps.
	Number    uint32
	Frontends []Frontend
	// Primary and Backup are the sizes of the tables; zero is none.
	Primary, Backup uint32
	Backends        int
	// LeftOut are those for which there is no room.
	LeftOut []LeftOut
	// Retained is set while backends are kept that were found in the maps and
	// whose cluster's tables are not synced.
	Retained bool
}

// Failure is a service that could not be written.
type Failure struct {
	// Service is empty for a port that was found in the maps and could not be
	// removed.
	Service clustermesh.ServiceName
	Err     error
	// Besides is what Err says beside full maps, nil for nothing.
	Besides error
	// Full are the maps that have no room for all of it, sorted: "backends",
	// "frontends", "nodes", "services", "slots".
	Full     []string
	Attempts int
	Since    time.Time
}

// All returns the services in no order, in a slice that must not be changed.
func (s *Snapshot) All() []*ServiceStatus { return s.services }

// Services returns, by name, the services that are balanced here, and those
// that other clusters share and this one does not define.
func (s *Snapshot) Services() []*ServiceStatus {
	out := slices.Clone(s.services)
	slices.SortFunc(out, func(a, b *ServiceStatus) int {
		return cmp.Or(cmp.Compare(a.Name.Namespace, b.Name.Namespace), cmp.Compare(a.Name.Name, b.Name.Name))
	})
	return out
}

// Failures returns the services that could not be written, the oldest failure
// first.
func (s *Snapshot) Failures() []Failure {
	out := make([]Failure, len(s.failures))
	for i, f := range s.failures {
		out[i] = Failure{f.Key.service, f.Err, besides(f.Err), fullMaps(f.Err), f.Attempts, f.Since}
	}
	return out
}

// Snapshot returns the latest. It may be called from any goroutine.
func (l *LoadBalancer) Snapshot() *Snapshot { return l.snapshot.Load() }

// publishEvery bounds how often a snapshot is made: people look seldom, and a
// snapshot names every service.
const publishEvery = 100 * time.Millisecond

// report gathers what the next snapshot says.
type report struct {
	dirty     bool
	published time.Time
	services  []*ServiceStatus
	at        map[clustermesh.ServiceName]int // in services
}

func newReport() report { return report{at: map[clustermesh.ServiceName]int{}} }

// due returns when the next snapshot is to be made; false when nothing changed.
func (r *report) due() (time.Time, bool) { return r.published.Add(publishEvery), r.dirty }

// service notes how a service lies in the maps now.
func (r *report) service(in *global.Input, merged *global.Service, ports []*port, ejections []Ejection) {
	r.dirty = true
	i, known := r.at[merged.Name]
	if len(ports) == 0 && !merged.Taken() && (merged.Definition != nil || len(merged.Parts) == 0) {
		if known {
			r.forget(i)
		}
		return
	}
	st := &ServiceStatus{Name: merged.Name, Merged: merged, Input: in, Ports: make([]PortStatus, len(ports)), Ejections: ejections}
	for i, p := range ports {
		st.Ports[i] = PortStatus{
			Protocol:  p.id.protocol,
			Port:      p.id.port,
			IPv6:      p.id.ipv6,
			External:  p.id.outside,
			Here:      p.id.here,
			Guarded:   p.guard.Packets,
			Ranges:    slices.Clone(p.ranges),
			KeepsOut:  p.guard,
			Number:    p.number,
			Frontends: slices.Clone(p.frontends),
			Primary:   p.tables[Primary].at.Size,
			Backup:    p.tables[Backup].at.Size,
			Backends:  len(p.backends),
			LeftOut:   p.left,
			Retained:  p.restored,
		}
	}
	if known {
		r.services[i] = st
		return
	}
	r.at[merged.Name] = len(r.services)
	r.services = append(r.services, st)
}

func (r *report) forget(i int) {
	last := len(r.services) - 1
	delete(r.at, r.services[i].Name)
	if i < last {
		r.services[i] = r.services[last]
		r.at[r.services[i].Name] = i
	}
	r.services[last] = nil
	r.services = r.services[:last]
}

// publish makes a snapshot if something changed and the last one is old enough.
func (l *LoadBalancer) publish(now time.Time) {
	if at, dirty := l.report.due(); !dirty || now.Before(at) {
		return
	}
	l.report.dirty, l.report.published = false, now
	s := l.state
	snap := &Snapshot{
		Time:      now,
		Synced:    l.ready,
		Cluster:   l.view.Self(),
		Revision:  l.view.Revision(),
		Unclaimed: len(s.pinned),
		Usage: Usage{
			Frontends: len(s.owners),
			Ranges:    s.ranges,
			Services:  s.services.used(),
			Backends:  s.backends.used(),
			Nodes:     s.nodes.numbers.used(),
			Slots:     int(s.slots.total - s.slots.free),
			Limits:    s.target.Limits(),
		},
		Outliers: l.outliers.tally,
		Heard:    len(l.outliers.services),
		Invalid:  maps.Clone(l.view.Invalid()),
		services: slices.Clone(l.report.services),
		failures: l.queue.Failures(),
		nodes:    s.nodes.published(),
	}
	var err error
	if snap.Stale, err = l.view.Stale(); err != nil {
		snap.StaleReason = err.Error()
	}
	l.snapshot.Store(snap)
}
