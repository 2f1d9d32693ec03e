package clustermesh

import "strings"

// ServiceImport is the service that the exports of all clusters make, as this cluster
// reaches it: under an address of its own, the clusterset IP, that is none of the
// Service of its name.
type ServiceImport struct {
	// Service says how it is reached: its name, the clusterset IPs as its cluster IPs,
	// at least one, ports, session affinity, policies, and what this cluster's own
	// Service of the name wishes. It is global and shared, which all exports are.
	Service Service
	// Clusters are those that offer it, sorted, at least one.
	Clusters []string
}

// clusterSetSuffix tells the name of an import from that of a service. No service has
// a dot in its name.
const clusterSetSuffix = ".clusterset"

// ClusterSet is the name of the import of a service among services.
func (n ServiceName) ClusterSet() ServiceName {
	return ServiceName{n.Namespace, n.Name + clusterSetSuffix}
}

// Imports returns of which service this is the name of the import, and false for any
// other name.
func (n ServiceName) Imports() (ServiceName, bool) {
	name, ok := strings.CutSuffix(n.Name, clusterSetSuffix)
	return ServiceName{n.Namespace, name}, ok
}

// ParseReachable reads the name of a service or of an import.
func ParseReachable(s string) (ServiceName, error) {
	base, imported := strings.CutSuffix(s, clusterSetSuffix)
	n, err := ParseServiceName(base)
	if imported && err == nil {
		n = n.ClusterSet()
	}
	return n, err
}

func (i *ServiceImport) check(c *checker) {
	c.enter("service", -1)
	i.Service.check(c)
	c.leave()
	switch s := &i.Service; {
	case s.Type != ClusterIP:
		c.fail("service.type", s.Type, "must be ClusterIP")
	case len(s.ClusterIPs) == 0:
		c.fail("service.cluster IPs", s.ClusterIPs, "must not be empty")
	case !s.Global || !s.Shared:
		c.fail("service.global", s.Global, "must be true, and the service shared")
	}
	if len(i.Clusters) == 0 {
		c.fail("clusters", i.Clusters, "must not be empty")
	}
	c.sortedLabels("clusters", i.Clusters, MaxClusterID)
}
