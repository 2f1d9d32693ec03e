package agent

import (
	"net/netip"
	"slices"

	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/clustermesh/global"
)

// explain adds the endpoints that the service does not use, and why. It merges the
// service anew, which is why nobody gets them who did not ask.
func (s *Service) explain(st *loadbalancer.ServiceStatus) {
	_, e := global.Explain(*st.Input)
	for i := range e.Ports { // those that are balanced; they come first
		s.Ports[i].Unused = unusedOf(e.Ports[i].Endpoints, s.Ports[i].Ejected)
	}
}

// unusedOf returns the endpoints that are in no table. Those that are ejected are
// told of apart, with times.
func unusedOf(all []global.Outcome, ejected []Ejected) []global.Outcome {
	var out []global.Outcome
	for _, o := range all {
		at := netip.AddrPortFrom(o.Address, o.Port)
		if o.Table == "" && !slices.ContainsFunc(ejected, func(e Ejected) bool { return e.Cluster == o.Cluster && e.Address == at }) {
			out = append(out, o)
		}
	}
	return out
}
