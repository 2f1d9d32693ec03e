package inspect

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/etcd"
)

// Plan is what a drain would do, as one store knows the mesh.
type Plan struct {
	What clustermesh.DrainKind `json:"what"`
	Name string                `json:"name"`
	// Services are those that use something of it, by name.
	Services []Loss `json:"services"`
	// Withdrawn are the routes that would go.
	Withdrawn []Withdrawal `json:"withdrawn"`
}

// Loss is what one service would lose.
type Loss struct {
	Service string `json:"service"`
	// Backends are used now, Left would be; Share is the part of the capacity
	// that is left, by the weights, in percent. Without any the drained ones go
	// on, as a last resort.
	Backends int     `json:"backends"`
	Left     int     `json:"left"`
	Share    float64 `json:"share"`
}

// Withdrawal is an address that a node would no longer advertise.
type Withdrawal struct {
	Node    string     `json:"node"`
	Address netip.Addr `json:"address"`
	Service string     `json:"service"`
	// Last: no other node of this cluster advertises it.
	Last bool `json:"last,omitempty"`
}

// Refusal says why nobody should do this without being told twice, nil when
// nothing speaks against it.
func (p *Plan) Refusal() error {
	var without, unreachable []string
	for _, s := range p.Services {
		if s.Left == 0 {
			without = append(without, s.Service)
		}
	}
	for _, w := range p.Withdrawn {
		if w.Last {
			unreachable = append(unreachable, fmt.Sprintf("%v of %s", w.Address, w.Service))
		}
	}
	slices.Sort(unreachable)
	unreachable = slices.Compact(unreachable)
	var why []string
	if len(without) > 0 {
		why = append(why, "nothing else serves "+strings.Join(without, ", "))
	}
	if len(unreachable) > 0 {
		why = append(why, "no other node advertises "+strings.Join(unreachable, ", "))
	}
	if len(why) == 0 {
		return nil
	}
	return fmt.Errorf("draining %s %s: %s; --force does it all the same", p.What, p.Name, strings.Join(why, ", and "))
}

// PlanDrain says what draining something of the store's own cluster would do, where
// an agent has given some verdicts: whom it calls down serves nobody and advertises
// nothing.
func PlanDrain(ctx context.Context, c *etcd.Client, what clustermesh.DrainKind, name string, verdicts []clustermesh.Verdict) (*Plan, error) {
	v, err := read(ctx, c)
	if err != nil {
		return nil, err
	}
	d := &clustermesh.Drain{What: what, Name: name, Moved: clustermesh.DrainedWhole}
	if err := known(v, d); err != nil {
		return nil, err
	}
	return planOf(v, d, healthOf(verdicts)), nil
}

// known says why the store's cluster has no such thing.
func known(v *view.View, d *clustermesh.Drain) error {
	ok := false
	switch d.What {
	case clustermesh.DrainCluster:
		ok = d.Name == ours(v)
	case clustermesh.DrainNode:
		ok = v.Node(view.Ours, d.Name) != nil
	case clustermesh.DrainService:
		ok = v.Definition(d.Service()) != nil
	}
	if !ok {
		return fmt.Errorf("cluster %s has no %s %s of its own: %w", ours(v), d.What, d.Name, ErrNotFound)
	}
	return nil
}

// healthOf is what verdicts hold down.
func healthOf(verdicts []clustermesh.Verdict) global.Health {
	h := global.Health{Clusters: map[string]clustermesh.Families{}, Nodes: map[global.NodeName]global.NodeHealth{}}
	for _, v := range verdicts {
		if v.Node == "" {
			h.Clusters[v.Cluster] = v.AddressDown
		} else {
			h.Nodes[global.NodeName{Cluster: v.Cluster, Node: v.Node}] = global.NodeHealth{AddressDown: v.AddressDown, PodsDown: v.PodsDown}
		}
	}
	return h
}

// planOf compares every service before and after.
func planOf(v *view.View, d *clustermesh.Drain, h global.Health) *Plan {
	p := &Plan{What: d.What, Name: d.Name, Services: []Loss{}, Withdrawn: []Withdrawal{}}
	for name := range v.Services() {
		in := everywhere(v.Service(name))
		in.Health = h
		s := global.Merge(in)
		if l, ok := lossOf(&s, in.Self, d); ok {
			p.Services = append(p.Services, l)
		}
		p.Withdrawn = append(p.Withdrawn, withdrawals(v, in, &s, d)...)
	}
	slices.SortFunc(p.Services, func(a, b Loss) int { return cmp.Compare(a.Service, b.Service) })
	slices.SortFunc(p.Withdrawn, func(a, b Withdrawal) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), a.Address.Compare(b.Address), cmp.Compare(a.Service, b.Service))
	})
	return p
}

// everywhere returns an input that is the same on every node: what clients on
// one node prefer says nothing about what there is.
func everywhere(in global.Input) global.Input {
	in.Exports = slices.Clone(in.Exports)
	for i, e := range in.Exports {
		if e.Cluster == in.Self && e.Service != nil {
			def := *e.Service
			def.InternalPolicy, def.Distribution = clustermesh.TrafficCluster, clustermesh.Anywhere
			in.Exports[i].Service = &def
		}
	}
	return in
}

// lossOf counts the backends of a service, each pod once, and those that a
// drain would leave.
func lossOf(s *global.Service, self string, d *clustermesh.Drain) (l Loss, concerned bool) {
	l.Service = s.Name.String()
	seen := map[global.Pod]bool{}
	var all, left float64
	for _, p := range s.Ports {
		for _, b := range slices.Concat(p.Primary, p.Backup) {
			who := global.Pod{Cluster: b.Cluster, UID: b.PodUID}
			if who.UID == "" {
				who.Address = b.Address
			}
			if seen[who] || b.Terminating {
				continue
			}
			seen[who] = true
			l.Backends++
			all += float64(b.Weight)
			if drains(d, s.Name, self, &b) {
				concerned = true
				continue
			}
			l.Left++
			left += float64(b.Weight)
		}
	}
	if all > 0 {
		l.Share = 100 * left / all
	}
	return l, concerned
}

// drains reports whether a drain of our cluster is about a backend.
func drains(d *clustermesh.Drain, service clustermesh.ServiceName, self string, b *global.Backend) bool {
	switch {
	case b.Cluster != self:
		return false
	case d.What == clustermesh.DrainNode:
		return b.Node == d.Name
	case d.What == clustermesh.DrainService:
		return service == d.Service()
	}
	return true
}

// withdrawals returns the addresses of a service that nodes of our cluster can
// serve now, and would not any more.
func withdrawals(v *view.View, in global.Input, s *global.Service, d *clustermesh.Drain) []Withdrawal {
	if s.Definition == nil || s.Definition.Type != clustermesh.LoadBalancer || !advertised(v, s.Definition) {
		return nil
	}
	in.Drains = with(in.Drains, in.Self, d, in.Name)
	after := global.Merge(in)
	var out []Withdrawal
	for _, ip := range s.Definition.LoadBalancerIPs {
		var gone []Withdrawal
		stays := false
		for n := range v.Nodes(view.Ours) {
			switch {
			case !s.ServedBy(n.Name, ip) || v.Drained(n.Name) || dead(&in, n.Name, ip):
			case d.What == clustermesh.DrainCluster, d.What == clustermesh.DrainNode && d.Name == n.Name, !after.ServedBy(n.Name, ip):
				gone = append(gone, Withdrawal{Node: n.Name, Address: ip, Service: s.Name.String()})
			default:
				stays = true
			}
		}
		for i := range gone {
			gone[i].Last = !stays
		}
		out = append(out, gone...)
	}
	return out
}

// dead reports whether a node of our cluster is down by the family of an address, so
// that no router hears it.
func dead(in *global.Input, node string, ip netip.Addr) bool {
	of := in.Health.Nodes[global.NodeName{Cluster: in.Self, Node: node}]
	return (of.AddressDown | in.Health.Clusters[in.Self]).Has(clustermesh.FamilyOf(ip))
}

// advertised reports whether any advertisement asks for the addresses of a
// service.
func advertised(v *view.View, def *clustermesh.Service) bool {
	for _, a := range v.BGPAdvertisements() {
		if a.LoadBalancerIPs && a.ServiceSelector.Matches(def.Labels) {
			return true
		}
	}
	return false
}

// with returns drains and one more.
func with(ds global.Drains, self string, d *clustermesh.Drain, service clustermesh.ServiceName) global.Drains {
	switch {
	case d.What == clustermesh.DrainCluster:
		ds.Clusters = add(ds.Clusters, self)
	case d.What == clustermesh.DrainNode:
		ds.Nodes = add(ds.Nodes, global.NodeName{Cluster: self, Node: d.Name})
	case d.Service() == service:
		ds.Services = add(ds.Services, self)
	}
	return ds
}

// add returns a copy of a map in which k is drained wholly.
func add[K comparable](m map[K]global.Share, k K) map[K]global.Share {
	out := map[K]global.Share{k: global.Whole}
	for other, share := range m {
		if other != k {
			out[other] = share
		}
	}
	return out
}
