package translate

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	netutils "k8s.io/utils/net"
)

// sourceRanges returns from where a Service says that clients may come, and where it
// says it. The annotation is older than the field, and counts where that is empty, as
// for other load balancers of Kubernetes.
func sourceRanges(s *corev1.Service) (path, list []string) {
	if list := s.Spec.LoadBalancerSourceRanges; len(list) > 0 {
		return []string{"spec", "loadBalancerSourceRanges"}, list
	}
	const key = corev1.AnnotationLoadBalancerSourceRangesKey
	if text := strings.TrimSpace(s.Annotations[key]); text != "" {
		return []string{"metadata", "annotations", key}, strings.Split(text, ",")
	}
	return nil, nil
}

// sourceRanges reads from where clients may come, each range once. One that does not
// parse refuses the service: without it there would be too many or too few.
func (c *checker) sourceRanges(s *corev1.Service) []netip.Prefix {
	path, list := sourceRanges(s)
	var out []netip.Prefix
	for i, text := range list {
		p, ok := sourceRange(text)
		switch {
		case !ok && path[0] == "spec":
			c.wrongAt(append(slices.Clip(path), strconv.Itoa(i)), "%q is not a CIDR such as 10.1.0.0/24 or fd00:1::/64", text)
		case !ok:
			c.wrongAt(path, "%q is not a CIDR such as 10.1.0.0/24 or fd00:1::/64", text)
		case !slices.Contains(out, p):
			out = append(out, p)
		}
	}
	return out
}

// sourceRange reads a range as Kubernetes does: spaces around it, zeros before a number
// and bits behind its length are no mistake.
func sourceRange(text string) (netip.Prefix, bool) {
	_, n, err := netutils.ParseCIDRSloppy(strings.TrimSpace(text))
	if err != nil {
		return netip.Prefix{}, false
	}
	a, _ := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	if a.Is4In6() {
		a, bits = a.Unmap(), bits-96
	}
	p := netip.PrefixFrom(a, bits)
	return p, p.IsValid()
}
