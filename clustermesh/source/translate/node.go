package translate

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"tombolo.io/tombolo/clustermesh"
)

// Node translates a Node. Only its internal addresses count: those are what
// the mesh routes.
func Node(n *corev1.Node) (*clustermesh.Node, error) {
	c := &checker{}
	c.name(&n.ObjectMeta, false)
	out := &clustermesh.Node{
		Name:     n.Name,
		PodCIDRs: c.podCIDRs(&n.Spec),
		Zone:     n.Labels[corev1.LabelTopologyZone],
		Labels:   n.Labels,
		BootID:   n.Status.NodeInfo.BootID,
		Draining: n.Spec.Unschedulable,
	}
	for i, a := range n.Status.Addresses {
		if a.Type != corev1.NodeInternalIP {
			continue
		}
		if ip, ok := c.addr(at("status.addresses", i)+".address", a.Address); ok && !slices.Contains(out.Addresses, ip) {
			out.Addresses = append(out.Addresses, ip)
		}
	}
	c.valid(out)
	if err := c.err(); err != nil {
		return nil, err
	}
	return out, nil
}

func (c *checker) podCIDRs(spec *corev1.NodeSpec) []netip.Prefix {
	if len(spec.PodCIDRs) == 0 && spec.PodCIDR != "" {
		if p, ok := c.prefix("spec.podCIDR", spec.PodCIDR); ok {
			return []netip.Prefix{p}
		}
		return nil
	}
	var out []netip.Prefix
	for i, s := range spec.PodCIDRs {
		if p, ok := c.prefix(at("spec.podCIDRs", i), s); ok && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}
