package clusterset

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// Offer is what a cluster offers.
type Offer struct {
	Cluster string
	Export  *clustermesh.ServiceExport
}

// older orders offers by which holds where they contradict each other. One that does
// not say when it was made gives way to those that do.
func older(a, b Offer) int {
	if x, y := a.Export.Created, b.Export.Created; x.IsZero() != y.IsZero() {
		if x.IsZero() {
			return 1
		}
		return -1
	}
	return cmp.Or(a.Export.Created.Compare(b.Export.Created), cmp.Compare(a.Cluster, b.Cluster))
}

// Service is a service as all clusters may use it.
type Service struct {
	Name clustermesh.ServiceName
	// Headless: it has no address of its own.
	Headless bool
	// Ports are those of the oldest offer, then what each of the others adds, in the
	// order of their age. Names are unique, and so are protocol and number; a port
	// without a name is alone.
	Ports []clustermesh.ServicePort
	// SessionAffinity, InternalPolicy and Distribution are the oldest's; the zero
	// values where the service is headless, for they are about its address.
	SessionAffinity time.Duration
	InternalPolicy  clustermesh.TrafficPolicy
	Distribution    clustermesh.Distribution
	// Families are those of the addresses that the service is to have: those of the
	// oldest that has addresses itself; none if nobody has, or it is headless.
	Families clustermesh.Families
	// Labels and Annotations are the oldest's.
	Labels, Annotations map[string]string
	// Clusters are those that offer it, sorted.
	Clusters []string
	// Oldest is the cluster whose offer holds, and Since when that was made.
	Oldest string
	Since  time.Time
	// Conflicts are in the order of Reasons.
	Conflicts []Conflict
}

// Resolve returns the service that offers of one name make, at most one of each
// cluster, in any order; nil if there are none.
func Resolve(name clustermesh.ServiceName, offers []Offer) *Service {
	if len(offers) == 0 {
		return nil
	}
	offers = slices.SortedFunc(slices.Values(offers), older)
	first := offers[0].Export
	s := &Service{
		Name: name, Headless: first.Service.Headless, Oldest: offers[0].Cluster, Since: first.Created,
		Labels: maps.Clone(first.Labels), Annotations: maps.Clone(first.Annotations),
	}
	for _, o := range offers {
		s.Clusters = append(s.Clusters, o.Cluster)
	}
	slices.Sort(s.Clusters)
	if !s.Headless {
		s.SessionAffinity, s.InternalPolicy, s.Distribution = first.Service.SessionAffinity, first.Service.InternalPolicy, first.Service.Distribution
		s.Families = families(offers)
	}
	s.Ports = union(offers)
	s.Conflicts = s.compare(offers)
	return s
}

// families returns those of the oldest offer that has some.
func families(offers []Offer) clustermesh.Families {
	for _, o := range offers {
		if f := o.Export.Families; f != 0 && !o.Export.Service.Headless {
			return f
		}
	}
	return 0
}

// union returns the ports of offers that come oldest first: a port that clashes with
// one that is there already is left out.
func union(offers []Offer) (out []clustermesh.ServicePort) {
	for _, o := range offers {
		for _, p := range o.Export.Service.Ports {
			p.NodePort = 0
			if !slices.ContainsFunc(out, func(q clustermesh.ServicePort) bool { return clash(p, q) }) {
				out = append(out, p)
			}
		}
	}
	return out
}

// clash says whether two ports cannot be those of one service.
func clash(p, q clustermesh.ServicePort) bool {
	return p.Name == q.Name || p.Name == "" || q.Name == "" || p.Protocol == q.Protocol && p.Port == q.Port
}
