package clusterset

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// Reason says in what offers contradict each other, in a word of the API.
type Reason string

// The reasons.
const (
	PortConflict                  Reason = "PortConflict"
	TypeConflict                  Reason = "TypeConflict"
	SessionAffinityConflict       Reason = "SessionAffinityConflict"
	SessionAffinityConfigConflict Reason = "SessionAffinityConfigConflict"
	InternalTrafficPolicyConflict Reason = "InternalTrafficPolicyConflict"
	TrafficDistributionConflict   Reason = "TrafficDistributionConflict"
	IPFamilyConflict              Reason = "IPFamilyConflict"
	LabelsConflict                Reason = "LabelsConflict"
	AnnotationsConflict           Reason = "AnnotationsConflict"
)

// Reasons are all of them, in their order.
var Reasons = []Reason{
	TypeConflict, PortConflict, SessionAffinityConflict, SessionAffinityConfigConflict, InternalTrafficPolicyConflict,
	TrafficDistributionConflict, IPFamilyConflict, LabelsConflict, AnnotationsConflict,
}

// Conflict is a property in which offers contradict each other.
type Conflict struct {
	Reason Reason
	// Clusters are those whose offers are not as the service is, sorted.
	Clusters []string
	// Message says what of the oldest holds, and what some other has instead.
	Message string
}

// property is something in which offers may differ: what an offer says of it in
// words, and whether it says anything, beside the oldest that does.
type property struct {
	reason Reason
	what   string
	of     func(*clustermesh.ServiceExport) string
	says   func(*clustermesh.ServiceExport) bool
}

// properties are those of the service that offers make: of one that is headless what
// is said of addresses does not count, and neither does it of an offer that is.
func (s *Service) properties() []property {
	always := func(*clustermesh.ServiceExport) bool { return true }
	addressed := func(e *clustermesh.ServiceExport) bool { return !s.Headless && !e.Service.Headless }
	sticky := func(e *clustermesh.ServiceExport) bool {
		return addressed(e) && s.SessionAffinity > 0 && e.Service.SessionAffinity > 0
	}
	return []property{
		{TypeConflict, "the type", typeOf, always},
		{PortConflict, "the ports", portsOf, always},
		{SessionAffinityConflict, "session affinity", affinityOf, addressed},
		{SessionAffinityConfigConflict, "the timeout of session affinity", func(e *clustermesh.ServiceExport) string { return e.Service.SessionAffinity.String() }, sticky},
		{InternalTrafficPolicyConflict, "the internal traffic policy", func(e *clustermesh.ServiceExport) string { return e.Service.InternalPolicy.String() }, addressed},
		{TrafficDistributionConflict, "the traffic distribution", func(e *clustermesh.ServiceExport) string { return e.Service.Distribution.String() }, addressed},
		{IPFamilyConflict, "the IP families", func(e *clustermesh.ServiceExport) string { return e.Families.String() }, func(e *clustermesh.ServiceExport) bool { return addressed(e) && e.Families != 0 }},
		{LabelsConflict, "the exported labels", func(e *clustermesh.ServiceExport) string { return pairs(e.Labels) }, always},
		{AnnotationsConflict, "the exported annotations", func(e *clustermesh.ServiceExport) string { return pairs(e.Annotations) }, always},
	}
}

// compare returns in what offers differ from the oldest of them, which comes first.
func (s *Service) compare(offers []Offer) (out []Conflict) {
	for _, p := range s.properties() {
		var holder *Offer
		c := Conflict{Reason: p.reason}
		for i := range offers {
			o := &offers[i]
			switch {
			case !p.says(o.Export):
			case holder == nil:
				holder = o
			case p.of(o.Export) != p.of(holder.Export):
				if len(c.Clusters) == 0 {
					c.Message = fmt.Sprintf("%s: %s of cluster %s holds, and cluster %s has %s", p.what,
						shown(p.of(holder.Export)), holder.Cluster, o.Cluster, shown(p.of(o.Export)))
				}
				c.Clusters = append(c.Clusters, o.Cluster)
			}
		}
		if n := len(c.Clusters); n > 0 {
			if n > 1 {
				c.Message += fmt.Sprintf(" (%d more clusters differ)", n-1)
			}
			slices.Sort(c.Clusters)
			out = append(out, c)
		}
	}
	return out
}

func typeOf(e *clustermesh.ServiceExport) string {
	if e.Service.Headless {
		return "Headless"
	}
	return "ClusterSetIP"
}

func affinityOf(e *clustermesh.ServiceExport) string {
	if e.Service.SessionAffinity > 0 {
		return "ClientIP"
	}
	return "None"
}

// portsOf names the ports in an order of their own: that of a list means nothing.
func portsOf(e *clustermesh.ServiceExport) string {
	var out []string
	for _, p := range e.Service.Ports {
		text := fmt.Sprintf("%d/%s", p.Port, p.Protocol)
		if p.Name != "" {
			text = p.Name + ":" + text
		}
		if p.AppProtocol != "" {
			text += " (" + p.AppProtocol + ")"
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func pairs(m map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fmt.Sprintf("%s=%q", k, m[k]))
	}
	return strings.Join(out, ", ")
}

// maxShown bounds what a message repeats of a value.
const maxShown = 200

func shown(s string) string {
	if s == "" {
		return "none"
	}
	if len(s) > maxShown {
		return strings.ToValidUTF8(s[:maxShown], "") + "…"
	}
	return s
}

// why says whose offer holds, and why.
func (s *Service) why() string {
	if s.Since.IsZero() {
		return fmt.Sprintf("the ServiceExport of cluster %s holds, whose name comes first: none says when it was made", s.Oldest)
	}
	return fmt.Sprintf("the ServiceExport of cluster %s holds, which is the oldest, of %s", s.Oldest, s.Since.UTC().Format(time.RFC3339))
}
