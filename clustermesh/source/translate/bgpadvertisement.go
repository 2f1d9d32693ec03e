package translate

import (
	"math"

	"tombolo.io/tombolo/api/v1alpha1"
	"tombolo.io/tombolo/clustermesh"
)

// maxListed bounds the lists of an advertisement, as its schema does.
const maxListed = 256

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
		Peers:           texts(spec.Peers),
		NodeSelector:    c.selector("spec.nodeSelector", spec.NodeSelector),
		Communities:     texts(spec.Communities),
		LocalPref:       between[uint32](c, "spec.localPref", spec.LocalPref, 0, math.MaxUint32),
	}
	if !spec.PodCIDRs && !spec.LoadBalancerIPs {
		c.wrong("spec", "advertises nothing; set podCIDRs or loadBalancerIPs")
	}
	if spec.ServiceSelector != nil && !spec.LoadBalancerIPs {
		c.wrong("spec.serviceSelector", "picks services of which nothing is advertised; set loadBalancerIPs to true, or remove it")
	}
	for i, p := range out.Peers {
		if !isSubdomain(p) {
			c.wrong(at("spec.peers", i), "%q is not the name of a BGPPeer", p)
		}
	}
	for i, s := range out.Communities {
		if _, err := clustermesh.ParseCommunity(s); err != nil {
			c.wrong(at("spec.communities", i), "%q is not A:B (16 bits each), A:B:C (32 bits each) or a well-known name, such as no-export", s)
		}
	}
	once(c, "spec.peers", spec.Peers)
	once(c, "spec.communities", spec.Communities)
	c.atMost("spec.peers", len(spec.Peers), maxListed)
	c.atMost("spec.communities", len(spec.Communities), maxListed)
	c.valid(out)
	if err := c.err(); err != nil {
		return nil, err
	}
	return out, nil
}
