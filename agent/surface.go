package agent

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/inspect"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/internal/control"
)

// surface is what the agent shows on its socket.
func (a *Agent) surface(client *etcd.Client) control.Surface {
	pages := map[string]control.Page{"/services": a.services, "/services/why": a.why, clustermesh.ReadinessPage: a.readiness,
		"/verdicts": a.verdicts, "/events": a.events, "/gossip": a.gossip, "/latency": a.latency, "/pods": a.listPods}
	if a.config.Pages != nil {
		maps.Copy(pages, a.config.Pages(client))
	}
	return control.Surface{
		Role: Role, Node: a.config.Node, Version: a.config.Version, Listen: a.config.MetricsListen,
		Health:  func() (clustermesh.Health, []string) { s := a.Status(); return s.Health, s.Reasons },
		Ready:   func() error { return a.Status().Ready() },
		Detail:  func() any { return inspect.Plain(a.Status()) },
		Pages:   pages,
		Actions: map[string]control.Page{"/verdicts": a.setVerdict},
		Samples: func() iter.Seq[control.Sample] { return a.Status().samples() },
	}
}

// Ready returns nil once the maps hold what the mesh wants, or what the agent
// waits for.
func (s *Status) Ready() error {
	switch {
	case s.Health == clustermesh.HealthStopped:
		return errors.New(s.Reasons[0])
	case !s.Synced && !s.StaleSince.IsZero():
		return fmt.Errorf("etcd is stale since %s, and the cluster's services are not all known", s.StaleSince.UTC().Format("15:04:05"))
	case !s.Synced:
		return errors.New("the cluster's services are not all known yet")
	}
	return nil
}

// samples are the agent's metrics.
func (s *Status) samples() iter.Seq[control.Sample] {
	gauge := func(name, help string, v float64, labels ...string) control.Sample {
		return control.Sample{Name: name, Help: help, Value: v, Labels: labels}
	}
	out := []control.Sample{
		gauge("tombolo_agent_synced", "1 once all of the cluster's services were seen.", truth(s.Synced)),
		gauge("tombolo_agent_stale", "1 while etcd is out of reach, or no API server keeps what it says up to date.", truth(!s.StaleSince.IsZero())),
		gauge("tombolo_agent_services", "Services that are balanced here.", float64(s.Services)),
		gauge("tombolo_agent_failures", "Services that could not be written.", float64(s.Failures)),
		gauge("tombolo_agent_invalid_values", "Values in etcd that do not decode.", float64(s.Invalid)),
		gauge("tombolo_agent_foreign_programs", "Programs of others at our hooks.", float64(len(s.Foreign))),
	}
	u := s.Usage
	for _, m := range []struct {
		name  string
		used  int
		limit uint32
	}{
		{"frontends", u.Frontends, u.Limits.Frontends},
		{"services", u.Services, u.Limits.Services},
		{"backends", u.Backends, u.Limits.Backends},
		{"nodes", u.Nodes, u.Limits.Nodes},
		{"slots", u.Slots, u.Limits.Slots},
	} {
		out = append(out, mapSamples(m.name, m.used, m.limit)...)
	}
	return slices.Values(slices.Concat(out, s.counters(), s.Probes.samples(), s.Packets.samples(), s.Pods.samples(), censusSamples(s.Census), failoverSamples(s.Failover), outlierSamples(s), gossipSamples(s.Gossip)))
}

// mapSamples tell how full a map is; the limit is zero before the maps were taken over.
func mapSamples(name string, used int, limit uint32) []control.Sample {
	of := []string{"map", name}
	out := []control.Sample{{Name: "tombolo_map_entries", Help: "Entries of a map in use.", Value: float64(used), Labels: of}}
	if limit > 0 {
		out = append(out, control.Sample{Name: "tombolo_map_limit", Help: "Entries that a map has room for.", Value: float64(limit), Labels: of})
	}
	return out
}

// counters are what the programs counted.
func (s *Status) counters() []control.Sample {
	var out []control.Sample
	c := s.Counters
	for _, n := range []struct {
		outcome string
		value   uint64
	}{
		{"selected", c.Selected}, {"rehashed", c.Rehashed}, {"backup", c.Backup}, {"affinity", c.Affinity},
		{"sticky", c.Sticky}, {"panic", c.Panic}, {"refused", c.Refused}, {"stale", c.Stale},
		{"other_key", c.OtherKey}, {"out_of_memory", c.OutOfMemory},
	} {
		out = append(out, control.Sample{
			Name: "tombolo_datapath_selections_total", Help: "What the programs did with clients of a frontend.",
			Counter: true, Value: float64(n.value), Labels: []string{"outcome", n.outcome},
		})
	}
	return append(out, control.Sample{
		Name: "tombolo_disconnected_sockets_total", Help: "Connections that were ended because their backend is down or gone, or had its time to drain.",
		Counter: true, Value: float64(s.Disconnects.Ended),
	}, control.Sample{
		Name: "tombolo_datapath_spilled_sockets_total", Help: "Connected sockets that found no room in the map of sockets.",
		Counter: true, Value: float64(c.Spilled),
	}, control.Sample{
		Name: "tombolo_datapath_unnoted_sockets_total", Help: "Connected sockets that could be noted nowhere for want of memory.",
		Counter: true, Value: float64(c.Unnoted),
	})
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
