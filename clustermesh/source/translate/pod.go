package translate

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"tombolo.io/tombolo/clustermesh/source"
)

// Pod translates a Pod.
func Pod(p *corev1.Pod) (*source.Workload, error) {
	c := &checker{}
	c.name(&p.ObjectMeta, true)
	out := &source.Workload{
		Namespace:      p.Namespace,
		Name:           p.Name,
		UID:            string(p.UID),
		Node:           p.Spec.NodeName,
		Addresses:      c.podIPs(p),
		Labels:         p.Labels,
		ServiceAccount: p.Spec.ServiceAccountName,
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	return out, nil
}

// podIPs returns the addresses that are the pod's own while it lives: those of
// a pod in its node's network are the node's, those of one that ended may be
// another's already.
func (c *checker) podIPs(p *corev1.Pod) []netip.Addr {
	ended := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	if p.Spec.HostNetwork || ended {
		return nil
	}
	if len(p.Status.PodIPs) == 0 && p.Status.PodIP != "" {
		if a, ok := c.addr("status.podIP", p.Status.PodIP); ok {
			return []netip.Addr{a}
		}
		return nil
	}
	var out []netip.Addr
	for i, ip := range p.Status.PodIPs {
		if a, ok := c.addr(at("status.podIPs", i)+".ip", ip.IP); ok && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// Namespace translates a Namespace.
func Namespace(n *corev1.Namespace) (*source.Labels, error) {
	c := &checker{}
	c.name(&n.ObjectMeta, false)
	if err := c.err(); err != nil {
		return nil, err
	}
	return &source.Labels{Namespace: n.Name, Labels: n.Labels}, nil
}
