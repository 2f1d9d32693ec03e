package global

import (
	"cmp"
	"net/netip"
	"slices"

	"tombolo.io/tombolo/clustermesh"
)

// Explanation says how Merge came to a service: for each of its ports what
// became of every endpoint, and why. It is noted by Merge itself on its way.
type Explanation struct {
	Name string `json:"name"`
	// Cluster, Node and Zone are who asks.
	Cluster string `json:"cluster"`
	Node    string `json:"node,omitempty"`
	Zone    string `json:"zone,omitempty"`
	// Reason says why the service has no ports here; empty when it has.
	Reason string `json:"reason,omitempty"`
	// Affinity, Distribution, InternalPolicy and Factor are this cluster's wishes;
	// the last is the over-provisioning factor.
	Affinity       clustermesh.Affinity      `json:"affinity"`
	Distribution   clustermesh.Distribution  `json:"trafficDistribution"`
	InternalPolicy clustermesh.TrafficPolicy `json:"internalTrafficPolicy"`
	Factor         float64                   `json:"overprovisioningFactor"`
	// Ports are those of Service.Ports.
	Ports []PortExplanation `json:"ports,omitempty"`
}

// PortExplanation is how the backends of one Port were chosen.
type PortExplanation struct {
	Name      string               `json:"name,omitempty"`
	Protocol  clustermesh.Protocol `json:"protocol"`
	Port      uint16               `json:"port"`
	Frontends []string             `json:"frontends"`
	Scope     string               `json:"scope"`
	// Tiers are in order of preference; the first is number 1.
	Tiers []TierExplanation `json:"tiers"`
	// Endpoints are all that any cluster names for the service: those of the
	// primary table, of the backup, and the others in the order in which they
	// left the selection.
	Endpoints []Outcome `json:"endpoints"`
}

// TierExplanation is what a tier has and what it gets, in percent.
type TierExplanation struct {
	Clusters []string `json:"clusters"`
	Priority uint8    `json:"priority"`
	// Endpoints are the whole, Usable those of them that are used or could be.
	Endpoints int `json:"endpoints"`
	Usable    int `json:"usable"`
	// Health is the load that the tier can bear, Load and Backup what it has in
	// the two tables.
	Health float64 `json:"health"`
	Load   float64 `json:"load"`
	Backup float64 `json:"backup"`
}

// Outcome is what became of one endpoint.
type Outcome struct {
	Cluster string     `json:"cluster"`
	Address netip.Addr `json:"address"`
	// Port is zero where it was not looked for any more.
	Port   uint16 `json:"port,omitempty"`
	Node   string `json:"node,omitempty"`
	Zone   string `json:"zone,omitempty"`
	PodUID string `json:"podUID,omitempty"`
	// Weight is what its cluster says, Tier the number of its tier.
	Weight uint16 `json:"weight,omitempty"`
	Tier   int    `json:"tier,omitempty"`
	// Table is primary or backup, and Share the part of the new connections of
	// that table, in percent; empty for one that is in none.
	Table string  `json:"table,omitempty"`
	Share float64 `json:"share,omitempty"`
	// Step is where it left the selection, or used for one of the primary table.
	Step Step `json:"step"`
	// Reason says why it left, or what is remarkable about its being used.
	Reason string `json:"reason,omitempty"`
}

// Step is a step of the selection.
type Step string

// The steps, in their order.
const (
	StepCluster Step = "cluster"  // its cluster takes part
	StepPort    Step = "port"     // it serves the port
	StepFamily  Step = "family"   // the service has an address of its family
	StepAddress Step = "address"  // its address is its own
	StepNode    Step = "node"     // it is on the client's node, where that is asked for
	StepServing Step = "serving"  // it serves
	StepTier    Step = "tier"     // its tier is needed
	StepNear    Step = "distance" // none of its tier is nearer
	StepUsed    Step = "used"
)

// Steps are all steps, in their order.
var Steps = []Step{StepCluster, StepPort, StepFamily, StepAddress, StepNode, StepServing, StepTier, StepNear, StepUsed}

// Explain is Merge, with what it noted on its way.
func Explain(in Input) (Service, Explanation) {
	m := merge{in: &in, notes: &notes{}}
	s := m.run()
	e := Explanation{
		Name: in.Name.String(), Cluster: in.Self, Node: in.Node, Zone: in.Zone,
		Reason: s.Reason, Factor: clustermesh.DefaultOverprovisioning / 100.0, Ports: m.notes.ports,
	}
	if d := s.Definition; d != nil {
		e.Affinity, e.Distribution, e.InternalPolicy = d.Affinity, d.Distribution, d.InternalPolicy
		e.Factor = float64(factorOf(d)) / 100
	}
	return s, e
}

// compare orders outcomes: first who is used, by table and tier, then by step.
func (o Outcome) compare(other Outcome) int {
	return cmp.Or(
		-cmp.Compare(o.Table, other.Table), // primary, backup, none
		cmp.Compare(slices.Index(Steps, o.Step), slices.Index(Steps, other.Step)),
		cmp.Compare(o.Tier, other.Tier),
		cmp.Compare(o.Cluster, other.Cluster), o.Address.Compare(other.Address), cmp.Compare(o.Port, other.Port))
}
