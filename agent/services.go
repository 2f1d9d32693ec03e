package agent

import (
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
	"tombolo.io/tombolo/internal/control"
)

// Service is a service as this node balances it, for people.
type Service struct {
	// Name is namespace/name.
	Name string `json:"name"`
	// State is one word: OK, NoBackends, Partial (some ports are of a protocol
	// that is not balanced), Unused (nothing of it is balanced here), or Failed;
	// Reason says why it is not OK.
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
	Ports  []Port `json:"ports,omitempty"`
	// Clusters say what each cluster adds.
	Clusters []Part `json:"clusters,omitempty"`
	// Refused are endpoints whose address another cluster has.
	Refused []string `json:"refused,omitempty"`
	// FailedSince is when writing it first failed, Attempts how often it did.
	FailedSince time.Time `json:"failedSince,omitzero"`
	Attempts    int       `json:"attempts,omitempty"`
}

// The states of a Service.
const (
	StateOK         = "OK"
	StateNoBackends = "NoBackends"
	StatePartial    = "Partial"
	StateUnused     = "Unused"
	StateFailed     = "Failed"
)

// Port is a port of a service in one address family.
type Port struct {
	Name     string `json:"name,omitempty"`
	Protocol string `json:"protocol"`
	Port     uint16 `json:"port"`
	Scope    string `json:"scope"`
	// Number is the service's in the maps; zero while it is not there.
	Number    uint32   `json:"number"`
	Frontends []string `json:"frontends"`
	// Tables are the slots of the primary and the backup table; zero is none.
	Tables struct {
		Primary uint32 `json:"primary"`
		Backup  uint32 `json:"backup"`
	} `json:"tables"`
	SessionAffinity string `json:"sessionAffinity,omitempty"`
	// SourceRanges are from where clients may come, nil for everywhere; KeptOut says
	// which sockets of this node are refused for that.
	SourceRanges []netip.Prefix `json:"sourceRanges,omitempty"`
	KeptOut      []string       `json:"keptOut,omitempty"`
	// Guarded: only clients from SourceRanges may come, be it none.
	Guarded  bool      `json:"guarded,omitempty"`
	Backends []Backend `json:"backends"`
	// Ejected are backends that are left out because connections to them fail.
	Ejected []Ejected `json:"ejected,omitempty"`
	// Unused are all other endpoints that clusters name and the port does not use,
	// and why, for those who ask for them.
	Unused []global.Outcome `json:"unused,omitempty"`
	// Retained: backends are kept besides that were found in the maps, because
	// their cluster's tables are not synced.
	Retained bool `json:"retained,omitempty"`
	// Unserved is why the port is not balanced, empty when it is.
	Unserved string `json:"unserved,omitempty"`
}

// Backend is an endpoint that a port uses.
type Backend struct {
	Tier    string         `json:"tier"`
	Cluster string         `json:"cluster"`
	Address netip.AddrPort `json:"address"`
	Node    string         `json:"node,omitempty"`
	Zone    string         `json:"zone,omitempty"`
	Weight  uint32         `json:"weight"`
	// Share is the part of new connections that it gets while its table is used,
	// in percent.
	Share float64 `json:"share"`
	// Ending is set for a last resort, an endpoint that ends but still serves.
	Ending bool `json:"ending,omitempty"`
}

// Part is what one cluster adds to a service.
type Part struct {
	Cluster  string `json:"cluster"`
	Ready    int    `json:"ready"`
	Ending   int    `json:"ending"`
	NotReady int    `json:"notReady"`
	// Reason says why none of them is used.
	Reason string `json:"reason,omitempty"`
}

// services answers /services, and with ?name=namespace/name for one of them; with
// ?unused=true also which endpoints are not used.
func (a *Agent) services(r *http.Request) (any, error) {
	snap := &loadbalancer.Snapshot{}
	if b := a.balancer.Load(); b != nil {
		snap = b.Snapshot()
	}
	name := r.URL.Query().Get("name")
	out := servicesOf(snap, name, r.URL.Query().Get("unused") == "true")
	if name != "" && len(out) == 0 {
		return nil, fmt.Errorf("service %s: %w", name, control.ErrNotFound)
	}
	return out, nil
}

// why answers /services/why?name=namespace/name: how Merge came to a service.
func (a *Agent) why(r *http.Request) (any, error) {
	name := r.URL.Query().Get("name")
	if b := a.balancer.Load(); b != nil {
		for _, st := range b.Snapshot().Services() {
			if st.Name.String() == name {
				_, e := global.Explain(*st.Input)
				return e, nil
			}
		}
	}
	return nil, fmt.Errorf("service %s: %w", name, control.ErrNotFound)
}

// servicesOf returns the services of a snapshot, or one of them, with the endpoints
// that they do not use or without.
func servicesOf(snap *loadbalancer.Snapshot, name string, unused bool) []Service {
	failures := map[string]loadbalancer.Failure{}
	for _, f := range snap.Failures() {
		failures[f.Service.String()] = f
	}
	out := []Service{}
	for _, st := range snap.Services() {
		if name == "" || name == st.Name.String() {
			s := serviceOf(st, failures[st.Name.String()])
			if unused {
				s.explain(st, failures[st.Name.String()])
			}
			out = append(out, s)
		}
	}
	return out
}

func serviceOf(st *loadbalancer.ServiceStatus, failure loadbalancer.Failure) Service {
	s := Service{Name: st.Name.String(), State: StateOK, FailedSince: failure.Since, Attempts: failure.Attempts}
	for _, p := range st.Merged.Parts {
		s.Clusters = append(s.Clusters, Part{p.Cluster, p.Ready, p.Ending, p.NotReady, p.Reason})
	}
	for _, c := range st.Merged.Conflicts {
		s.Refused = append(s.Refused, fmt.Sprintf("%v of %s: %s has this address", c.Address, c.Cluster, c.Holder))
	}
	empty := 0
	for i := range st.Merged.Ports {
		p := portOf(&st.Merged.Ports[i], st, failure)
		s.Ports = append(s.Ports, p)
		if len(p.Backends) == 0 && !p.Retained {
			empty++
		}
	}
	balanced := len(s.Ports)
	if st.Merged.Reason == "" {
		s.Ports = append(s.Ports, unserved(st.Merged.Definition)...)
	}
	switch {
	case failure.Err != nil:
		s.State, s.Reason = StateFailed, failure.Err.Error()
	case st.Merged.Reason != "":
		s.State, s.Reason = StateUnused, st.Merged.Reason
	case empty > 0:
		s.State, s.Reason = StateNoBackends, fmt.Sprintf("%d of %d ports have no backend", empty, balanced)
	case balanced < len(s.Ports):
		s.State, s.Reason = StatePartial, fmt.Sprintf("%d of %d ports are not served: %s", len(s.Ports)-balanced, len(s.Ports), s.Ports[balanced].Unserved)
	}
	return s
}

// unserved returns the ports of a definition that are not balanced.
func unserved(def *clustermesh.Service) []Port {
	var out []Port
	for _, p := range def.Ports {
		if !global.Balanced(p.Protocol) {
			out = append(out, Port{
				Name: p.Name, Protocol: p.Protocol.String(), Port: p.Port, Frontends: []string{}, Backends: []Backend{},
				Unserved: p.Protocol.String() + " is not balanced",
			})
		}
	}
	return out
}

// tierNames are those of the tables of a port.
var tierNames = map[loadbalancer.Tier]string{loadbalancer.Primary: "primary", loadbalancer.Backup: "backup"}

// portOf joins what a port should be with what the maps hold of it.
func portOf(p *global.Port, st *loadbalancer.ServiceStatus, failure loadbalancer.Failure) Port {
	out := Port{
		Name: p.Name, Protocol: p.Protocol.String(), Port: p.Port, Scope: p.Frontends[0].Scope.String(),
		Frontends: []string{}, Backends: []Backend{},
	}
	if d := st.Merged.Definition.SessionAffinity; d > 0 {
		out.SessionAffinity = d.String()
	}
	if in := statusOfPort(p, st); in != nil {
		out.Number, out.Retained = in.Number, in.Retained
		out.Tables.Primary, out.Tables.Backup = in.Primary, in.Backup
		out.Guarded, out.SourceRanges, out.KeptOut = in.Guarded, in.Ranges, keptOut(in.KeepsOut)
		for _, f := range in.Frontends {
			if f.Scope == loadbalancer.Sockets { // those for packets are the same
				out.Frontends = append(out.Frontends, f.String())
			}
		}
	}
	left := leftOutOf(p, st, failure)
	out.Backends = appendBackends(out.Backends, tierNames[loadbalancer.Primary], p.Primary, left)
	out.Backends = appendBackends(out.Backends, tierNames[loadbalancer.Backup], p.Backup, left)
	out.Ejected = ejectedOf(p, st)
	return out
}

// keptOut names the sockets that a port refuses.
func keptOut(g loadbalancer.Guard) []string {
	var out []string
	if g.Node {
		out = append(out, "its own")
	}
	if g.Pods {
		out = append(out, "those of its pods")
	}
	return out
}

// statusOfPort returns what the maps hold of a port, nil for nothing.
func statusOfPort(p *global.Port, st *loadbalancer.ServiceStatus) *loadbalancer.PortStatus {
	first := p.Frontends[0]
	for i := range st.Ports {
		in := &st.Ports[i]
		if in.Protocol == p.Protocol && in.Port == p.Port && in.IPv6 == first.Address.Is6() && in.External == (first.Scope == global.External) && in.Guarded == p.Guarded && !in.Here {
			return in
		}
	}
	return nil
}

// appendBackends appends those of a table for whom there is room.
func appendBackends(out []Backend, tier string, table []global.Backend, left leftOut) []Backend {
	var used []global.Backend
	for i := range table {
		if _, without := left.of(table[i].Cluster, netip.AddrPortFrom(table[i].Address, table[i].Port), tier); !without {
			used = append(used, table[i])
		}
	}
	for i, share := range global.Shares(used) {
		b := &used[i]
		out = append(out, Backend{tier, b.Cluster, netip.AddrPortFrom(b.Address, b.Port), b.Node, b.Zone, b.Weight, share, b.Terminating})
	}
	return out
}
