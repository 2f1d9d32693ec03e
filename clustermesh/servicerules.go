package clustermesh

import (
	"net/netip"
	"time"
)

func (n ServiceName) check(c *checker) {
	c.label("namespace", n.Namespace)
	c.label("name", n.Name)
}

func (s *Service) check(c *checker) {
	s.Name.check(c)
	atMost(c, "type", s.Type, ExternalName)
	s.checkPorts(c)
	c.addresses("cluster IPs", s.ClusterIPs, 2)
	if len(s.ClusterIPs) == 2 && s.ClusterIPs[0].Is4() == s.ClusterIPs[1].Is4() {
		c.fail("cluster IPs", s.ClusterIPs[1], "must be of another family than the first")
	}
	if s.Headless && len(s.ClusterIPs) > 0 {
		c.fail("cluster IPs", s.ClusterIPs[0], "must be none: the service is headless")
	}
	c.addresses("load balancer IPs", s.LoadBalancerIPs, maxAddresses)
	c.ranges("source ranges", s.SourceRanges)
	c.addresses("external IPs", s.ExternalIPs, maxAddresses)
	c.enter("request", -1)
	s.Request.check(c)
	c.leave()
	if s.LoadBalancerClass != "" && !isQualified(s.LoadBalancerClass) {
		c.fail("load balancer class", s.LoadBalancerClass, "must be a qualified name")
	}
	atMost(c, "external policy", s.ExternalPolicy, TrafficLocal)
	atMost(c, "internal policy", s.InternalPolicy, TrafficLocal)
	atMost(c, "distribution", s.Distribution, PreferSameNode)
	if n := s.Overprovisioning; n != 0 && (n < MinOverprovisioning || n > MaxOverprovisioning) {
		c.fail("overprovisioning", n, "must be zero or from %d to %d", MinOverprovisioning, MaxOverprovisioning)
	}
	atMost(c, "affinity", s.Affinity, AffinityRemote)
	c.enter("outliers", -1)
	s.Outliers.check(c)
	c.leave()
	c.seconds("session affinity", s.SessionAffinity, time.Second, 24*time.Hour)
	if n := s.TableSize; n != 0 && (n < MinTableSize || n > MaxTableSize || !isPrime(n)) {
		c.fail("table size", n, "must be zero or a prime from %d to %d", MinTableSize, MaxTableSize)
	}
	c.labels("labels", s.Labels)
	if s.Created.Nanosecond() != 0 {
		c.fail("created", s.Created, "must be a whole second")
	}
}

// ranges checks from where clients may come: any addresses, and one range may be
// within another.
func (c *checker) ranges(field string, ps []netip.Prefix) {
	c.count(field, len(ps), MaxSourceRanges)
	seen := make(map[netip.Prefix]bool, len(ps))
	for _, p := range ps[:min(len(ps), MaxSourceRanges)] {
		switch {
		case !p.IsValid() || p.Addr().Is4In6():
			c.fail(field, p, "must be an address of 4 or 16 bytes and a length that fits it")
		case p.Masked() != p:
			c.fail(field, p, "must be %s: bits are set beyond its length", p.Masked())
		case seen[p]:
			c.fail(field, p, "must not occur twice")
		}
		seen[p] = true
	}
}

func (s *Service) checkPorts(c *checker) {
	type number struct {
		protocol Protocol
		port     uint16
	}
	c.count("ports", len(s.Ports), maxPorts)
	names := make(map[string]bool, len(s.Ports))
	ports := make(map[number]bool, len(s.Ports))
	nodePorts := map[number]bool{}
	for i, p := range s.Ports[:min(len(s.Ports), maxPorts)] {
		c.enter("ports", i)
		c.portName(p.Name, names, len(s.Ports))
		c.protocol(p.Protocol)
		c.nonZero("port", p.Port)
		if p.AppProtocol != "" && !isQualified(p.AppProtocol) {
			c.fail("app protocol", p.AppProtocol, "must be a qualified name")
		}
		if n := (number{p.Protocol, p.Port}); ports[n] {
			c.fail("port", p.Port, "must not occur twice with the same protocol")
		} else {
			ports[n] = true
		}
		if n := (number{p.Protocol, p.NodePort}); p.NodePort != 0 && nodePorts[n] {
			c.fail("node port", p.NodePort, "must not occur twice with the same protocol")
		} else if p.NodePort != 0 {
			nodePorts[n] = true
		}
		c.leave()
	}
}

// portName checks the name of one of n ports.
func (c *checker) portName(name string, seen map[string]bool, n int) {
	switch {
	case name == "" && n > 1:
		c.fail("name", name, "must not be empty where there are several ports")
	case name != "":
		c.label("name", name)
	}
	if seen[name] {
		c.fail("name", name, "must not occur twice")
	}
	seen[name] = true
}

func (s *EndpointSlice) check(c *checker) {
	c.enter("service", -1)
	s.Service.check(c)
	c.leave()
	c.subdomain("name", s.Name)
	c.count("ports", len(s.Ports), maxPorts)
	names := make(map[string]bool, len(s.Ports))
	for i, p := range s.Ports[:min(len(s.Ports), maxPorts)] {
		c.enter("ports", i)
		c.portName(p.Name, names, len(s.Ports))
		c.protocol(p.Protocol)
		c.nonZero("port", p.Port)
		c.leave()
	}
	s.checkEndpoints(c)
}

func (s *EndpointSlice) checkEndpoints(c *checker) {
	c.count("endpoints", len(s.Endpoints), MaxSliceEndpoints)
	type pod struct {
		address netip.Addr
		uid     string
	}
	pods := make(map[pod]bool, len(s.Endpoints))
	for i, e := range s.Endpoints[:min(len(s.Endpoints), MaxSliceEndpoints)] {
		c.enter("endpoints", i)
		e.check(c)
		if e.Address.Is4() != s.Endpoints[0].Address.Is4() {
			c.fail("address", e.Address, "must be of the family of the slice's first")
		}
		if p := (pod{e.Address, e.PodUID}); pods[p] {
			c.fail("address", e.Address, "must not occur twice with the same pod UID")
		} else {
			pods[p] = true
		}
		c.leave()
	}
}

func (e *Endpoint) check(c *checker) {
	c.address("address", e.Address)
	c.token("pod UID", e.PodUID)
	if e.Node != "" {
		c.subdomain("node", e.Node)
	}
	c.value("zone", e.Zone)
	if e.Hostname != "" {
		c.label("hostname", e.Hostname)
	}
	if e.Ready && e.Terminating {
		c.fail("ready", e.Ready, "must be false: the endpoint is terminating")
	}
}
