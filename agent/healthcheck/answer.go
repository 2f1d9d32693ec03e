package healthcheck

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strconv"

	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
)

// answer is what one port says.
type answer struct {
	Service clustermesh.ServiceName
	// Local counts the addresses of endpoints on this node that take new connections.
	Local int
	// led: packets from outside are led to them.
	led bool
}

// answersOf returns what a node is to answer, by address and port. Of two services that
// name one port the older has it.
func answersOf(node string, services []*loadbalancer.ServiceStatus, led bool) map[netip.AddrPort]answer {
	services = slices.Clone(services)
	services = slices.DeleteFunc(services, func(st *loadbalancer.ServiceStatus) bool { return !asks(st.Merged) })
	slices.SortFunc(services, func(a, b *loadbalancer.ServiceStatus) int {
		return a.Merged.Definition.Age().Compare(b.Merged.Definition.Age())
	})
	out := map[netip.AddrPort]answer{}
	for _, st := range services {
		for _, address := range st.Input.NodeAddresses {
			at := netip.AddrPortFrom(address, st.Merged.Definition.HealthCheckNodePort)
			if _, taken := out[at]; !taken {
				out[at] = answer{st.Name, local(st.Merged, node), led}
			}
		}
	}
	return out
}

// asks reports whether nodes answer for a service.
func asks(s *global.Service) bool {
	def := s.Definition
	return s.Led() && def.HealthCheckNodePort != 0 && def.Type == clustermesh.LoadBalancer &&
		def.ExternalPolicy == clustermesh.TrafficLocal
}

// local counts the addresses on a node to which packets from outside are led. Those that
// end, or that the node moves away from, are none: who comes next is to go elsewhere.
func local(s *global.Service, node string) int {
	found := map[netip.Addr]struct{}{}
	for i := range s.Ports {
		if p := &s.Ports[i]; slices.Contains(p.LocalNodes, node) {
			for _, b := range p.Here {
				found[b.Address] = struct{}{}
			}
		}
	}
	return len(found)
}

// ServeHTTP says it in kube-proxy's words: 200 where there is an endpoint, else 503.
func (a answer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	var said struct {
		Service struct {
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
		} `json:"service"`
		LocalEndpoints      int  `json:"localEndpoints"`
		ServiceProxyHealthy bool `json:"serviceProxyHealthy"`
	}
	said.Service.Namespace, said.Service.Name = a.Service.Namespace, a.Service.Name
	said.LocalEndpoints, said.ServiceProxyHealthy = a.Local, a.led
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Load-Balancing-Endpoint-Weight", strconv.Itoa(a.Local))
	if a.Local == 0 || !a.led {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(said) // who went away needs no answer
}
