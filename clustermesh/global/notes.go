package global

import (
	"fmt"
	"math"
	"net/netip"
	"slices"

	"tombolo.io/tombolo/clustermesh"
)

// notes are what Explain wants to know of a merge. Merge has none, and its calls
// cost nothing then.
type notes struct {
	// left are the endpoints that left before they were candidates of the port
	// that is worked on.
	left  []Outcome
	ports []PortExplanation
}

// begin is called before the candidates of a port are looked for.
func (n *notes) begin() {
	if n != nil {
		n.left = nil
	}
}

// leave notes an endpoint that is no candidate.
func (n *notes) leave(m *member, e *clustermesh.Endpoint, port uint16, at Step, why string) {
	if n != nil {
		n.left = append(n.left, Outcome{Cluster: m.Cluster, Address: e.Address, Port: port,
			Node: e.Node, Zone: e.Zone, PodUID: e.PodUID, Step: at, Reason: why})
	}
}

// leaveAll notes that no endpoint of a cluster is a candidate.
func (n *notes) leaveAll(m *member, v6 bool, at Step, why string) {
	if n == nil {
		return
	}
	for _, s := range m.Slices {
		for i := range s.Endpoints {
			if e := &s.Endpoints[i]; e.Address.Is6() == v6 {
				n.leave(m, e, 0, at, why)
			}
		}
	}
}

// port notes what became of the candidates of a port.
func (n *notes) port(m *merge, p *Port, tiers []tier, off []Outcome) {
	if n == nil {
		return
	}
	out := PortExplanation{Name: p.Name, Protocol: p.Protocol, Port: p.Port, Scope: p.Frontends[0].Scope.String(),
		Tiers: []TierExplanation{}, Endpoints: slices.Concat(n.left, off)}
	for _, f := range p.Frontends {
		out.Frontends = append(out.Frontends, netip.AddrPortFrom(f.Address, f.Port).String())
	}
	best := nobody
	for _, t := range tiers {
		best = min(best, bestResort(t.candidates))
	}
	sums := [...]uint64{inPrimary: sum(p.Primary), inBackup: sum(p.Backup)}
	for i := range tiers {
		t := &tiers[i]
		out.Tiers = append(out.Tiers, t.explain(best))
		for j := range t.candidates {
			o := m.outcome(&t.candidates[j], t, best)
			o.Tier = i + 1
			if in := t.candidates[j].in; in != inNone {
				o.Share = percent(uint64(t.candidates[j].Weight), sums[in])
			}
			out.Endpoints = append(out.Endpoints, o)
		}
	}
	slices.SortStableFunc(out.Endpoints, Outcome.compare)
	n.ports = append(n.ports, out)
}

func (t *tier) explain(best int) TierExplanation {
	out := TierExplanation{Priority: t.candidates[0].m.Service.Priority, Endpoints: len(t.candidates),
		Health: percent(uint64(t.health), uint64(full)), Load: percent(uint64(t.load), uint64(full)), Backup: percent(uint64(t.backup), uint64(full))}
	for i := range t.candidates {
		c := &t.candidates[i]
		if !slices.Contains(out.Clusters, c.Cluster) {
			out.Clusters = append(out.Clusters, c.Cluster)
		}
		if best != nobody && c.resort() == best {
			out.Usable++
		}
	}
	return out
}

// outcome says what became of a candidate of a tier; best is the resort of those
// that are used.
func (m *merge) outcome(c *candidate, t *tier, best int) Outcome {
	o := Outcome{Cluster: c.Cluster, Address: c.Address, Port: c.Port, Node: c.Node, Zone: c.Zone, PodUID: c.PodUID,
		Weight: uint16(c.m.weight()), Step: StepServing}
	switch {
	case c.in == inPrimary:
		o.Step, o.Reason = StepUsed, m.remark(c)
	case c.in == inBackup && t.load == 0:
		o.Step, o.Reason = StepTier, "its tier is held in reserve"
	case c.in == inBackup:
		o.Step, o.Reason = StepNear, "others of its tier are nearer"
	case c.condition == withdrawn:
		o.Reason = "withdrawn: " + m.in.Withdrawn[c.pod()]
	case c.condition == gone:
		o.Reason = "terminating, and serves no more"
	case c.condition == notReady:
		o.Reason = "not ready"
	case c.resort()/resorts > best/resorts:
		o.Reason = m.whyDown(c)
	case c.condition == ending:
		o.Reason = "terminating, and others are ready"
	default:
		o.Reason = m.whyDrained(c)
	}
	o.Table = c.in.String()
	return o
}

// remark says what is not usual about a candidate that is used.
func (m *merge) remark(c *candidate) string {
	what := ""
	switch {
	case c.condition == ending:
		what = "terminating: the last resort, for nobody is ready"
	case c.kept == 0:
		what = m.whyDrained(c) + ", and nobody else serves"
	case c.kept < Whole:
		what = fmt.Sprintf("%s: %g%% of it is left", m.whyDrained(c), percent(uint64(c.kept), uint64(Whole)))
	}
	if c.down || c.ejected != "" {
		if what != "" {
			what += "; "
		}
		what += m.whyDown(c) + ", as all are, and not believed"
	}
	return what
}

// whyDown says which verdict is about a candidate, or why it is ejected.
func (m *merge) whyDown(c *candidate) string {
	switch {
	case !c.down:
		return "ejected: " + c.ejected
	case m.in.Health.Clusters[c.Cluster].Has(clustermesh.FamilyOf(c.Address)):
		return "down by verdict: cluster " + c.Cluster
	case m.in.Health.Outdated[c.Cluster]:
		return "the mirror of cluster " + c.Cluster + " is stale for longer than --stale-after"
	case c.OnNode:
		return "down by verdict: node " + c.Node
	}
	return "down by verdict: the pods of node " + c.Node
}

// whyDrained says which drain moved most away from a candidate.
func (m *merge) whyDrained(c *candidate) string {
	d, away := &m.in.Drains, Whole-c.kept
	switch {
	case min(d.Services[c.Cluster], Whole) == away:
		return "drained: the service in cluster " + c.Cluster
	case min(d.Clusters[c.Cluster], Whole) == away:
		return "drained: cluster " + c.Cluster
	}
	return "drained: node " + c.Node
}

// String returns primary or backup, or nothing.
func (t table) String() string { return [...]string{"", "primary", "backup"}[t] }

func sum(table []Backend) (out uint64) {
	for _, b := range table {
		out += uint64(b.Weight)
	}
	return out
}

// percent returns a part of a whole in percent, to a thousandth of one.
func percent(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return math.Round(float64(part)/float64(whole)*100_000) / 1000
}
