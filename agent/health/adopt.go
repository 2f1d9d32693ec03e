package health

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"tombolo.io/tombolo/agent/health/probe"
	"tombolo.io/tombolo/clustermesh/view"
)

// take takes what the store says in.
func (h *Health) take(ctx context.Context, b view.Batch) {
	c := h.view.Apply(view.Only(b, wanted...))
	if len(c.Nodes)+len(c.Clusters)+len(c.Drains)+len(c.Peers) == 0 && !c.Connection {
		return
	}
	now := time.Now()
	s, ok := look(h.view, h.config.Node, now)
	if !ok {
		return // what was known goes on
	}
	if h.survey.Cluster != "" && h.survey.Cluster != s.Cluster {
		h.disown(s.Cluster)
	}
	if h.old.Cluster != "" {
		s = s.remembering(h.old, h.view)
		if !slices.ContainsFunc(s.Clusters, func(c surveyed) bool { return c.remembered }) {
			h.old = survey{} // all is listed: nothing is remembered any more
		}
	}
	if sources := s.mesh().sources; h.probes == nil || !slices.Equal(sources, h.mesh.sources) {
		if err := h.open(ctx, sources); err != nil {
			h.deps.Log.Error("nodes cannot be probed", "error", err)
		}
	}
	h.unkept = h.unkept || !s.same(h.kept)
	h.adopt(s)
	h.keep(now)
}

// adopt judges by a survey from now on.
func (h *Health) adopt(s survey) {
	m, before := s.mesh(), h.mesh
	if h.machine == nil {
		h.machine = NewMachine(h.config.Knobs, m.self)
		h.machine.SetMembers(h.members)
		h.recall(s)
	}
	for name, id := range before.ids { // a cluster that is gone has verdicts to be taken back
		if _, ok := m.ids[name]; !ok {
			m.ids[name] = id
		}
	}
	h.survey, h.mesh = s, m
	h.renumber(before.ids)
	now := time.Now()
	h.machine.SetMirrors(now, m.mirrors)
	h.machine.SetTargets(now, m.targets)
}

// open opens sockets for the node's own addresses.
func (h *Health) open(ctx context.Context, sources []netip.Addr) error {
	h.probes.close()
	h.probes = nil
	p, err := h.deps.Open(probe.Config{Sources: sources, Port: h.config.Port})
	if h.problem = err; err == nil {
		h.probes = newProbes(ctx, p, h.deps.Log)
	}
	return err
}
