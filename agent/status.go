package agent

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"tombolo.io/tombolo/agent/disconnect"
	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/clustermesh"
)

// Status is what an agent says of itself. It is immutable.
type Status struct {
	Health clustermesh.Health `json:"-"`
	// Reasons say why Health is not OK.
	Reasons []string `json:"-"`
	Cluster string   `json:"cluster,omitempty"`
	// Synced is set once all of this cluster's services were seen; until then
	// what was found in the maps stays as it is.
	Synced bool `json:"synced"`
	// StaleSince is since when what etcd says may be old: it is out of reach, or no API
	// server keeps it up to date. Zero while neither is so.
	StaleSince time.Time `json:"staleSince,omitzero"`
	Revision   int64     `json:"revision"`
	// Services counts those that are balanced here, Unclaimed the service ports
	// that were found in the maps and that no known service has claimed.
	Services  int                `json:"services"`
	Unclaimed int                `json:"unclaimed"`
	Usage     loadbalancer.Usage `json:"usage"`
	// Failures counts services that could not be written, Invalid the values in
	// etcd that do not decode.
	Failures int `json:"failures"`
	Invalid  int `json:"invalid"`
	// Foreign are programs of others at the same hooks.
	Foreign  []string     `json:"foreign,omitempty"`
	Counters bpf.Counters `json:"counters"`
	// Ejected counts the backends that are left out because connections to them
	// fail, Outliers what was ejected since the agent started.
	Ejected  int                       `json:"ejected"`
	Outliers loadbalancer.OutlierTally `json:"outliers"`
	Probes   Probes                    `json:"probes"`
	// Packets is nil where packets from outside are not led to backends.
	Packets  *Packets  `json:"packets,omitempty"`
	Failover *Failover `json:"failover"`
	// Gossip is nil where this agent does not gossip.
	Gossip *Gossip `json:"gossip,omitempty"`
	// Disconnects are connections to dead backends that were ended.
	Disconnects disconnect.Status `json:"disconnects"`
	Pods        Pods              `json:"pods"`
	// Drains are the connections that are left to what clusters drain.
	Drains []clustermesh.DrainCount `json:"drains,omitempty"`
	Census *Census                  `json:"census"`
}

// A status is made every statusEvery. Who else is at our hooks is asked every
// foreignEvery, which takes the kernel some ten calls.
const (
	statusEvery  = 200 * time.Millisecond
	foreignEvery = 5 * time.Second
)

// maxReasons bounds how many single objects the reasons name.
const maxReasons = 5

// watcher makes the status, and reports it to the store when it says something
// new.
type watcher struct {
	agent *Agent
	parts *parts
	// identities are those in use, which the report carries.
	identities *identities
	drains     *drains
	reports    chan []byte
	reported   *Status
	// used is what was last reported to be in use.
	used *inUse
	// foreign is what was found at the hooks at looked, or why it was not.
	foreign    []bpf.Foreign
	foreignErr error
	looked     time.Time
}

func (w *watcher) run(ctx context.Context) error {
	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	filled := w.parts.balancer.Filled()
	for {
		w.publish()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-filled:
			filled = nil
		}
	}
}

func (w *watcher) publish() {
	s := statusOf(w.parts.balancer.Snapshot())
	w.look(time.Now())
	if w.foreignErr != nil {
		s.Reasons = append(s.Reasons, w.foreignErr.Error())
	}
	for _, f := range w.foreign {
		s.Foreign = append(s.Foreign, f.String())
		s.Reasons = append(s.Reasons, "a program of another is at the same hook and is left alone: "+f.String())
	}
	var err error
	if s.Counters, err = w.parts.datapath.Counters(); err != nil {
		s.Reasons = append(s.Reasons, err.Error())
	}
	if s.Probes, err = probesOf(w.parts.responder.Snapshot(), w.parts.kernel); err != nil {
		s.Reasons = append(s.Reasons, oneLine(err))
	}
	if err := w.parts.noPackets; err != nil {
		s.Reasons = append(s.Reasons, "packets from outside are not led to backends: "+oneLine(err))
	}
	if p := w.parts.packets; p != nil {
		if s.Packets, err = w.agent.config.packetsOf(p.Snapshot(), w.parts.leads); err != nil {
			s.Reasons = append(s.Reasons, oneLine(err))
		}
	}
	var unread []string
	s.Pods, unread = podsOf(w.parts.pods.Snapshot())
	s.Reasons = append(s.Reasons, unread...)
	if s.Disconnects = w.parts.disconnector.Status(); s.Disconnects.Problem != "" {
		s.Reasons = append(s.Reasons, "connections to dead backends cannot be ended: "+s.Disconnects.Problem)
	}
	s.Drains = w.drains.counted()
	s.Census = w.parts.census.Snapshot()
	s.Reasons = append(s.Reasons, absences(s.Census)...)
	s.Failover = w.agent.failover()
	s.Reasons = append(s.Reasons, concerns(s.Failover, time.Now())...)
	s.Reasons = append(s.Reasons, closedTunnels(s.Packets, s.Cluster, s.Failover, time.Now())...)
	if pool := w.agent.pool.Load(); pool != nil {
		s.Gossip = pool.Snapshot()
	}
	s.Reasons = append(s.Reasons, gossipConcerns(s.Gossip, w.agent.started, time.Now())...)
	if len(s.Reasons) > 0 {
		s.Health = clustermesh.HealthDegraded
	}
	w.agent.status.Store(s)
	w.report(s)
}

// look asks who else is at our hooks, now and then.
func (w *watcher) look(now time.Time) {
	if now.Sub(w.looked) >= foreignEvery {
		w.looked = now
		w.foreign, w.foreignErr = w.parts.datapath.Foreign()
	}
}

// report hands the status to the one who stores it, if it says something new.
func (w *watcher) report(s *Status) {
	used := w.identities.inUse()
	if w.reported != nil && w.reported.Health == s.Health && slices.Equal(w.reported.Reasons, s.Reasons) && used.equal(w.used) &&
		slices.Equal(gossipKeys(w.reported.Gossip), gossipKeys(s.Gossip)) && slices.Equal(w.reported.Drains, s.Drains) {
		return
	}
	w.reported, w.used = s, used
	p := &clustermesh.ProcessStatus{
		Role: Role, Node: w.agent.config.Node, Version: w.agent.config.Version,
		Started: w.agent.started.UTC().Truncate(time.Second), Health: s.Health,
		Epoch: used.Epoch, Identities: used.Identities, GossipKeys: gossipKeys(s.Gossip),
		Drains: s.Drains,
	}
	for _, r := range s.Reasons {
		p.Reasons = append(p.Reasons, clustermesh.Line(r))
	}
	value, err := clustermesh.Encode(p)
	if err != nil {
		w.agent.log.Error("the status cannot be stored", "error", err)
		return
	}
	w.drains.report.Store(int64(len(value)))
	select {
	case <-w.reports: // one that nobody took yet
	default:
	}
	w.reports <- value
}

// statusOf says what a snapshot of the maps means for people.
func statusOf(snap *loadbalancer.Snapshot) *Status {
	s := &Status{
		Health: clustermesh.HealthOK, Synced: snap.Synced, StaleSince: snap.Stale, Revision: snap.Revision,
		Unclaimed: snap.Unclaimed, Usage: snap.Usage, Invalid: len(snap.Invalid),
		Outliers: snap.Outliers,
	}
	if snap.Cluster != nil {
		s.Cluster = snap.Cluster.Name
	}
	for _, service := range snap.Services() {
		if len(service.Ports) > 0 {
			s.Services++
		}
		s.Ejected += len(service.Ejections)
	}
	if !snap.Stale.IsZero() {
		s.Reasons = append(s.Reasons, fmt.Sprintf("etcd is stale since %s; the maps stay as they are: %s",
			snap.Stale.UTC().Format(time.RFC3339), snap.StaleReason))
	} else if !snap.Synced {
		s.Reasons = append(s.Reasons, "the cluster's services are not all known yet; the maps stay as they are")
	}
	failures := snap.Failures()
	s.Failures = len(failures)
	s.Reasons = append(s.Reasons, fullReasons(failures, snap.Usage)...)
	s.Reasons = append(s.Reasons, otherReasons(failures)...)
	keys := slices.Sorted(maps.Keys(snap.Invalid))
	s.Reasons = append(s.Reasons, listed(len(keys), func(i int) string {
		return fmt.Sprintf("a value in etcd is not used: %s: %v", keys[i], snap.Invalid[keys[i]])
	})...)
	return s
}

// listed names the first few of n and counts the others.
func listed(n int, name func(int) string) []string {
	var out []string
	for i := range min(n, maxReasons) {
		out = append(out, name(i))
	}
	if n > maxReasons {
		out = append(out, fmt.Sprintf("and %d more of this kind", n-maxReasons))
	}
	return out
}
