package agent

import (
	"fmt"
	"net/netip"
	"slices"

	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/clustermesh/global"
)

// StepRoom is the step behind those of the selection: there is room for the endpoint in
// the maps.
const StepRoom global.Step = "room"

// explain adds the endpoints that the service does not use, and why. It merges the
// service anew, which is why nobody gets them who did not ask.
func (s *Service) explain(st *loadbalancer.ServiceStatus, failure loadbalancer.Failure) {
	_, e := global.Explain(*st.Input)
	for i := range e.Ports { // those that are balanced; they come first
		left := leftOutOf(&st.Merged.Ports[i], st, failure)
		s.Ports[i].Unused = unusedOf(e.Ports[i].Endpoints, s.Ports[i].Ejected, left)
	}
}

// unusedOf returns the endpoints that are in no table. Those that are ejected, and not
// only observed, are told of apart, with times.
func unusedOf(all []global.Outcome, ejected []Ejected, left leftOut) []global.Outcome {
	var out []global.Outcome
	for _, o := range all {
		at := netip.AddrPortFrom(o.Address, o.Port)
		if full, ok := left.of(o.Cluster, at, o.Table); ok {
			o.Table, o.Share, o.Step = "", 0, StepRoom
			o.Reason = fmt.Sprintf("the map of %s has no room for it", full)
		}
		apart := func(e Ejected) bool { return !e.Observed && e.Cluster == o.Cluster && e.Address == at }
		if o.Table == "" && !slices.ContainsFunc(ejected, apart) {
			out = append(out, o)
		}
	}
	return out
}

// leftOut are the backends of a port for which there is no room, with the map that is
// full; all of them while the port itself has none.
type leftOut struct {
	whole string
	some  map[leftKey]string
}

type leftKey struct {
	cluster string
	address netip.AddrPort
	table   string
}

// of returns which map has no room for a backend that is to be in a table.
func (l leftOut) of(cluster string, address netip.AddrPort, table string) (full string, ok bool) {
	if table == "" {
		return "", false
	}
	if l.whole != "" {
		return l.whole, true
	}
	full, ok = l.some[leftKey{cluster, address, table}]
	return full, ok
}

// leftOutOf returns those of a port.
func leftOutOf(p *global.Port, st *loadbalancer.ServiceStatus, failure loadbalancer.Failure) leftOut {
	in := statusOfPort(p, st)
	if in == nil {
		if len(failure.Full) == 0 {
			return leftOut{}
		}
		return leftOut{whole: failure.Full[0]}
	}
	out, names := leftOut{some: map[leftKey]string{}}, map[uint16]string{}
	for _, b := range slices.Concat(p.Primary, p.Backup) {
		names[b.ClusterID] = b.Cluster
	}
	for _, l := range in.LeftOut {
		out.some[leftKey{names[l.Cluster], l.Address, tierNames[l.Tier]}] = l.Full
	}
	return out
}
