package clustermesh

import (
	"maps"
	"slices"
	"time"
	"unicode/utf8"
)

// ServiceExport is a service that a cluster offers to all clusters under the
// Multi-cluster Services API (KEP-1645). It lies beside the Service and not in it:
// whether that is global is another question, and readers that do not know exports
// go on as if there were none.
type ServiceExport struct {
	// Service is the service as its cluster defines it, without what concerns that
	// cluster alone: see Offer.
	Service Service
	// Created is when the ServiceExport was made, to the second: where clusters
	// contradict each other the oldest holds.
	Created time.Time
	// Labels and Annotations are those that the import is to have.
	Labels, Annotations map[string]string
	// Families are those of the service's cluster IPs; none for a headless one.
	Families Families
}

// maxAnnotations bounds the annotations of an export, keys and values together, in
// bytes: far less than Kubernetes allows, for they are stored in every cluster.
const maxAnnotations = 64 << 10

// Exportable says whether a service may be offered: there is a way to reach it by
// its endpoints.
func (s *Service) Exportable() bool { return s.Type != ExternalName }

// Offer returns the service as an export of it says it: addresses, and what a
// cluster decides for its own clients, are left out.
func (s *Service) Offer() Service {
	out := *s
	out.Type, out.ClusterIPs, out.LoadBalancerIPs, out.LoadBalancerClass, out.LoadBalancerOthers = ClusterIP, nil, nil, "", false
	out.Request, out.ExternalPolicy, out.Affinity, out.Overprovisioning = AddressRequest{}, TrafficCluster, AffinityNone, 0
	out.SourceRanges, out.ExternalIPs, out.HealthCheckNodePort = nil, nil, 0
	out.Outliers, out.TableSize, out.Labels = OutlierDetection{}, 0, nil
	out.Ports = slices.Clone(s.Ports)
	for i := range out.Ports {
		out.Ports[i].NodePort = 0
	}
	return out
}

// IPFamilies returns those of the service's cluster IPs.
func (s *Service) IPFamilies() (f Families) {
	for _, a := range s.ClusterIPs {
		f |= FamilyOf(a)
	}
	return f
}

func (e *ServiceExport) check(c *checker) {
	c.enter("service", -1)
	e.Service.check(c)
	c.leave()
	switch s := &e.Service; {
	case s.Type != ClusterIP:
		c.fail("service.type", s.Type, "must be ClusterIP: an export says nothing of other ways to reach it")
	case len(s.ClusterIPs)+len(s.LoadBalancerIPs)+len(s.ExternalIPs) > 0:
		c.fail("service.cluster IPs", slices.Concat(s.ClusterIPs, s.LoadBalancerIPs, s.ExternalIPs), "must be none: addresses are its cluster's own")
	}
	if e.Created.Nanosecond() != 0 {
		c.fail("created", e.Created, "must be a whole second")
	}
	c.labels("labels", e.Labels)
	c.annotations("annotations", e.Annotations)
	switch {
	case e.Families > AllFamilies:
		c.fail("families", uint8(e.Families), "must be IPv4, IPv6 or both")
	case e.Families != 0 && e.Service.Headless:
		c.fail("families", e.Families, "must be none: the service is headless")
	}
}

// annotations checks the keys of annotations, and how much they are.
func (c *checker) annotations(field string, m map[string]string) {
	size := 0
	for _, k := range slices.Sorted(maps.Keys(m)) {
		size += len(k) + len(m[k])
		switch {
		case !isQualified(k):
			c.fail(field, k, notKey)
		case !utf8.ValidString(m[k]):
			c.fail(field, k, "must have values of UTF-8")
		}
	}
	if size > maxAnnotations {
		c.fail(field, size, "must be at most %d bytes in all", maxAnnotations)
	}
}
