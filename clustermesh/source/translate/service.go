package translate

import (
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"tombolo.io/tombolo/clustermesh"
)

// defaultSessionAffinity is Kubernetes' timeout of ClientIP affinity.
const defaultSessionAffinity = 3 * time.Hour

// Service translates a Service.
func Service(s *corev1.Service) (*clustermesh.Service, error) {
	c := &checker{}
	c.name(&s.ObjectMeta, true)
	w := c.wishes(s.Annotations, headless(&s.Spec))
	out := &clustermesh.Service{
		Name:             clustermesh.ServiceName{Namespace: s.Namespace, Name: s.Name},
		Type:             c.serviceType(s.Spec.Type),
		Ports:            c.servicePorts(s.Spec.Ports),
		ClusterIPs:       c.clusterIPs(&s.Spec),
		Headless:         headless(&s.Spec),
		ExternalPolicy:   c.policy("spec.externalTrafficPolicy", string(s.Spec.ExternalTrafficPolicy)),
		Global:           w.global,
		Shared:           w.global && w.shared,
		Affinity:         w.affinity,
		Priority:         w.priority,
		Weight:           w.weight,
		Overprovisioning: w.overprovisioning,
		Outliers:         w.outliers,
		SessionAffinity:  c.sessionAffinity(&s.Spec),
		PublishNotReady:  s.Spec.PublishNotReadyAddresses,
		Labels:           s.Labels,
		Created:          s.CreationTimestamp.UTC().Truncate(time.Second),
	}
	if out.Type != clustermesh.ExternalName {
		out.ExternalIPs = c.externalIPs(&s.Spec)
	}
	if p := s.Spec.InternalTrafficPolicy; p != nil {
		out.InternalPolicy = c.policy("spec.internalTrafficPolicy", string(*p))
	}
	if d := s.Spec.TrafficDistribution; d != nil {
		out.Distribution = c.distribution(*d)
	}
	if out.Type == clustermesh.LoadBalancer {
		out.LoadBalancerIPs = c.loadBalancerIPs(s)
		out.SourceRanges = c.sourceRanges(s)
		out.HealthCheckNodePort = between[uint16](c, "spec.healthCheckNodePort", int64(s.Spec.HealthCheckNodePort), 0, 65535)
		out.Request = c.addressRequest(s)
		if class := s.Spec.LoadBalancerClass; class != nil {
			out.LoadBalancerClass = *class
		}
	}
	if path, list := sourceRanges(s); out.Type != clustermesh.LoadBalancer && len(list) > 0 {
		c.wrongAt(path, "may only be used when the type is LoadBalancer")
	}
	c.valid(out)
	if err := c.err(); err != nil {
		return nil, err
	}
	return out, nil
}

func (c *checker) serviceType(t corev1.ServiceType) clustermesh.ServiceType {
	switch t {
	case "", corev1.ServiceTypeClusterIP:
		return clustermesh.ClusterIP
	case corev1.ServiceTypeNodePort:
		return clustermesh.NodePort
	case corev1.ServiceTypeLoadBalancer:
		return clustermesh.LoadBalancer
	case corev1.ServiceTypeExternalName:
		return clustermesh.ExternalName
	}
	c.wrong("spec.type", "%q is not ClusterIP, NodePort, LoadBalancer or ExternalName", t)
	return clustermesh.ClusterIP
}

func (c *checker) policy(path, p string) clustermesh.TrafficPolicy {
	switch p {
	case "", "Cluster":
		return clustermesh.TrafficCluster
	case "Local":
		return clustermesh.TrafficLocal
	}
	c.wrong(path, "%q is not Cluster or Local", p)
	return clustermesh.TrafficCluster
}

func (c *checker) distribution(d string) clustermesh.Distribution {
	switch d {
	case corev1.ServiceTrafficDistributionPreferClose, corev1.ServiceTrafficDistributionPreferSameZone:
		return clustermesh.PreferSameZone
	case corev1.ServiceTrafficDistributionPreferSameNode:
		return clustermesh.PreferSameNode
	}
	c.wrong("spec.trafficDistribution", "%q is not PreferClose, PreferSameZone or PreferSameNode", d)
	return clustermesh.Anywhere
}

func (c *checker) servicePorts(in []corev1.ServicePort) []clustermesh.ServicePort {
	var out []clustermesh.ServicePort
	names := map[string]bool{}
	for i, p := range in {
		path := at("spec.ports", i)
		switch {
		case p.Name == "" && len(in) > 1:
			c.wrong(path+".name", "is missing; each of several ports needs one")
		case names[p.Name]:
			c.wrong(path+".name", "%q is another port's", p.Name)
		}
		names[p.Name] = true
		out = append(out, clustermesh.ServicePort{
			Name:     p.Name,
			Protocol: c.protocol(path+".protocol", p.Protocol),
			Port:     between[uint16](c, path+".port", int64(p.Port), 1, 65535),
			NodePort: between[uint16](c, path+".nodePort", int64(p.NodePort), 0, 65535),

			AppProtocol: deref(p.AppProtocol, ""),
		})
	}
	return out
}

func (c *checker) protocol(path string, p corev1.Protocol) clustermesh.Protocol {
	switch p {
	case "", corev1.ProtocolTCP:
		return clustermesh.TCP
	case corev1.ProtocolUDP:
		return clustermesh.UDP
	case corev1.ProtocolSCTP:
		return clustermesh.SCTP
	}
	c.wrong(path, "%q is not TCP, UDP or SCTP", p)
	return clustermesh.TCP
}

// headless says whether a service is to have no cluster IP.
func headless(spec *corev1.ServiceSpec) bool {
	return len(spec.ClusterIPs) == 1 && spec.ClusterIPs[0] == corev1.ClusterIPNone ||
		len(spec.ClusterIPs) == 0 && spec.ClusterIP == corev1.ClusterIPNone
}

func (c *checker) clusterIPs(spec *corev1.ServiceSpec) []netip.Addr {
	path, in := "spec.clusterIPs", spec.ClusterIPs
	if len(in) == 0 && spec.ClusterIP != "" {
		path, in = "spec.clusterIP", []string{spec.ClusterIP}
	}
	if headless(spec) {
		return nil
	}
	var out []netip.Addr
	for i, s := range in {
		p := path
		if path == "spec.clusterIPs" {
			p = at(path, i)
		}
		if a, ok := c.addr(p, s); ok && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// loadBalancerIPs returns the addresses that the service has by its status.
func (c *checker) loadBalancerIPs(s *corev1.Service) []netip.Addr {
	var out []netip.Addr
	for i, in := range s.Status.LoadBalancer.Ingress {
		if in.IP == "" {
			continue // a host name: nothing that we could serve or advertise
		}
		if a, ok := c.addr(at("status.loadBalancer.ingress", i)+".ip", in.IP); ok && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// externalIPs returns the addresses that somebody else brings to the nodes.
func (c *checker) externalIPs(spec *corev1.ServiceSpec) []netip.Addr {
	var out []netip.Addr
	for i, in := range spec.ExternalIPs {
		if a, ok := c.addr(at("spec.externalIPs", i), in); ok && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

func (c *checker) sessionAffinity(spec *corev1.ServiceSpec) time.Duration {
	switch spec.SessionAffinity {
	case "", corev1.ServiceAffinityNone:
		return 0
	case corev1.ServiceAffinityClientIP:
	default:
		c.wrong("spec.sessionAffinity", "%q is not None or ClientIP", spec.SessionAffinity)
		return 0
	}
	cfg := spec.SessionAffinityConfig
	if cfg == nil || cfg.ClientIP == nil || cfg.ClientIP.TimeoutSeconds == nil {
		return defaultSessionAffinity
	}
	s := between[uint32](c, "spec.sessionAffinityConfig.clientIP.timeoutSeconds", int64(*cfg.ClientIP.TimeoutSeconds), 1, 86400)
	return time.Duration(s) * time.Second
}
