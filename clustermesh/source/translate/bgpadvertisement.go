package translate

import (
	"math"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation"

	"tombolo.io/tombolo/api/v1alpha1"
	"tombolo.io/tombolo/clustermesh"
)

// BGPAdvertisement translates a BGPAdvertisement.
func BGPAdvertisement(a *v1alpha1.BGPAdvertisement) (*clustermesh.BGPAdvertisement, error) {
	c := &checker{}
	c.name(&a.ObjectMeta, false)
	spec := &a.Spec
	out := &clustermesh.BGPAdvertisement{
		Name:            a.Name,
		PodCIDRs:        spec.PodCIDRs,
		LoadBalancerIPs: spec.LoadBalancerIPs,
		ServiceSelector: c.selector("spec.serviceSelector", spec.ServiceSelector),
		Peers:           slices.Clone(spec.Peers),
		NodeSelector:    c.selector("spec.nodeSelector", spec.NodeSelector),
		Communities:     slices.Clone(spec.Communities),
		LocalPref:       between[uint32](c, "spec.localPref", spec.LocalPref, 0, math.MaxUint32),
	}
	if !spec.PodCIDRs && !spec.LoadBalancerIPs {
		c.wrong("spec", "advertises nothing; set podCIDRs or loadBalancerIPs")
	}
	for i, p := range spec.Peers {
		if len(validation.IsDNS1123Subdomain(p)) > 0 {
			c.wrong(at("spec.peers", i), "%q is not the name of a BGPPeer", p)
		}
	}
	c.valid(out)
	if err := c.err(); err != nil {
		return nil, err
	}
	return out, nil
}
