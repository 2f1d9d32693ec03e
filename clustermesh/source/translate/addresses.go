package translate

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"tombolo.io/tombolo/clustermesh"
)

// The annotations by which a Service asks for load-balancer addresses. Those of
// MetalLB and Cilium, under their older names too, mean the same; of several the
// first holds.
var (
	annotationAddresses = []string{
		own + "load-balancer-ips",
		"metallb.io/loadBalancerIPs", "metallb.universe.tf/loadBalancerIPs",
		"lbipam.cilium.io/ips", "io.cilium/lb-ipam-ips",
	}
	annotationSharingKey = []string{
		own + "load-balancer-sharing-key",
		"metallb.io/allow-shared-ip", "metallb.universe.tf/allow-shared-ip",
		"lbipam.cilium.io/sharing-key", "io.cilium/lb-ipam-sharing-key",
	}
	annotationSharingNamespaces = []string{
		own + "load-balancer-sharing-namespaces",
		"lbipam.cilium.io/sharing-cross-namespace", "io.cilium/lb-ipam-sharing-cross-namespace",
	}
)

// addressRequest returns what a service says about the addresses that a pool is
// to give it.
func (c *checker) addressRequest(s *corev1.Service) clustermesh.AddressRequest {
	var r clustermesh.AddressRequest
	r.Families, r.Required = c.wantedFamilies(&s.Spec)
	key, list := firstOf(s.Annotations, annotationAddresses)
	for _, text := range list {
		a, err := netip.ParseAddr(text)
		if a = a.Unmap(); err != nil || a.Zone() != "" {
			c.annotation(key, s.Annotations[key], "a list of IP addresses, such as 192.0.2.1,2001:db8::1")
			break
		}
		if !slices.Contains(r.Addresses, a) {
			r.Addresses = append(r.Addresses, a)
		}
	}
	if len(list) == 0 && s.Spec.LoadBalancerIP != "" {
		if a, ok := c.addr("spec.loadBalancerIP", s.Spec.LoadBalancerIP); ok {
			r.Addresses = append(r.Addresses, a)
		}
	}
	sharing, list := firstOf(s.Annotations, annotationSharingKey)
	if len(list) > 0 {
		r.SharingKey = strings.TrimSpace(s.Annotations[sharing])
	}
	with, namespaces := firstOf(s.Annotations, annotationSharingNamespaces)
	r.SharingNamespaces = namespaces
	c.annotated = map[string]string{"request.addresses": key, "request.sharing key": sharing, "request.sharing namespaces": with}
	if key == "" {
		delete(c.annotated, "request.addresses") // they are those of spec.loadBalancerIP
	}
	return r
}

// firstOf returns the first annotation that is set, and the parts of its value.
func firstOf(annotations map[string]string, keys []string) (key string, parts []string) {
	for _, key := range keys {
		if v, ok := annotations[key]; ok {
			parts = strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' })
			return key, parts
		}
	}
	return "", nil
}

// wantedFamilies returns in which families a service wants addresses, none for any
// one of them, and whether it wants all or none.
func (c *checker) wantedFamilies(spec *corev1.ServiceSpec) (f clustermesh.Families, required bool) {
	var all []clustermesh.Families
	for i, name := range spec.IPFamilies {
		switch name {
		case corev1.IPv4Protocol:
			all = append(all, clustermesh.IPv4)
		case corev1.IPv6Protocol:
			all = append(all, clustermesh.IPv6)
		default:
			c.wrong(at("spec.ipFamilies", i), "%q is not IPv4 or IPv6", name)
		}
	}
	if len(spec.IPFamilies) == 0 {
		for _, s := range append(spec.ClusterIPs, spec.ClusterIP) {
			if a, err := netip.ParseAddr(s); err == nil { // clusterIPs reports the others
				all = append(all, clustermesh.FamilyOf(a.Unmap()))
			}
		}
	}
	for _, one := range all {
		f |= one
	}
	if spec.IPFamilyPolicy == nil {
		return f, false
	}
	switch *spec.IPFamilyPolicy {
	case corev1.IPFamilyPolicySingleStack:
		if len(all) > 0 {
			f = all[0]
		}
		return f, false
	case corev1.IPFamilyPolicyPreferDualStack:
		return clustermesh.AllFamilies, false
	case corev1.IPFamilyPolicyRequireDualStack:
		return clustermesh.AllFamilies, true
	}
	c.wrong("spec.ipFamilyPolicy", "%q is not SingleStack, PreferDualStack or RequireDualStack", *spec.IPFamilyPolicy)
	return f, false
}
