package global

import "tombolo.io/tombolo/clustermesh"

// proxyLabel names who serves a service in kube-proxy's place. kube-proxy leaves
// services that have it alone, whatever it says (KEP-2447).
const proxyLabel = "service.kubernetes.io/service-proxy-name"

// Taken reports whether Tombolo serves the service that this cluster defines: a global
// one, one of type LoadBalancer, and where it replaces kube-proxy every one that
// kube-proxy would serve.
func (s *Service) Taken() bool { return taken(s.Definition, s.Every) }

func taken(def *clustermesh.Service, every bool) bool {
	return def != nil && def.Type != clustermesh.ExternalName &&
		(def.Global || def.Type == clustermesh.LoadBalancer || every && !def.Headless && !proxied(def))
}

// Led reports whether packets from outside to the service are Tombolo's to lead: not
// where another implementation has its load-balancer IPs and kube-proxy leads them, as
// beside MetalLB, unless the service is global.
func (s *Service) Led() bool {
	def := s.Definition
	if !s.Taken() || def.Global {
		return s.Taken()
	}
	return s.Every && !proxied(def) ||
		!def.LoadBalancerOthers && (def.LoadBalancerClass == "" || def.LoadBalancerClass == clustermesh.LoadBalancerClass)
}

// proxied reports whether a service is for another than kube-proxy, and so for another
// than who replaces it.
func proxied(def *clustermesh.Service) bool {
	_, is := def.Labels[proxyLabel]
	return is
}
