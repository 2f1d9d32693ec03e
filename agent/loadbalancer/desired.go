package loadbalancer

import (
	"net/netip"
	"slices"
	"time"

	"tombolo.io/tombolo/agent/maglev"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
)

// portID tells the ports of one service apart.
type portID struct {
	protocol clustermesh.Protocol
	port     uint16
	ipv6     bool
	// outside: only clients that dial a load-balancer IP come here, because
	// those that dial the cluster IP select differently.
	outside bool
	// here: only packets from outside come here, for who is on this node: under an external
	// policy Local, or because another node sent them.
	here bool
	// guarded: clients that dial a load-balancer IP come here, as far as they are in
	// range.
	guarded bool
}

// desired is a port of a service as it should lie in the maps.
type desired struct {
	id        portID
	frontends []Frontend
	tiers     [tiers][]share
	// built are the tables of tiers, with indices into them, as far as they were
	// built ahead.
	built [tiers][]uint32
	// aside are endpoints in no table, with the standing that those of them get
	// which have an entry.
	aside []bystander
	// size is the number of slots of each table that has a share.
	size uint32
	// merged: the backends of other clusters count too, as far as they share.
	merged bool
	// affinity is how long a client stays on its backend.
	affinity time.Duration
	// outliers: failures of its backends are counted.
	outliers bool
	// drops: who is led nowhere is not refused, but dropped.
	drops bool
	// guard says whom it keeps out, ranges from where clients may come, in guarded
	// ports.
	guard  Guard
	ranges []netip.Prefix
	// age is the service's.
	age clustermesh.Age
}

// share is a backend and its weight in one tier.
type share struct {
	endpoint
	weight uint32
}

// bystander is an endpoint that takes no new connection.
type bystander struct {
	endpoint
	standing Standing
	// gone is since when it is gone, zero while it is not.
	gone time.Time
}

// endpoint is who a backend is, together with where it runs: one that moves to
// another node under the same address is another backend.
type endpoint struct {
	cluster uint16
	address netip.AddrPort
	node    string
	// onNode: the address is one of the node itself, not of its pods.
	onNode bool
	// pinned: found in the maps, where the node's name is not; what is known of
	// it there holds.
	pinned bool
}

// wish is what, beside the service, decides what should lie in the maps.
type wish struct {
	// outliers: failures are counted where a service asks for it.
	outliers bool
	// packets: load-balancer IPs are for packets from outside, too, as far as they
	// are ours to lead.
	packets bool
	// direct: other nodes of the cluster send packets here for this node's endpoints.
	direct bool
	// cluster and node are who looks: under an external policy Local a packet goes
	// to endpoints of the node.
	cluster, node string
	// inside is from where its sockets come.
	inside *inside
}

// desire returns the ports of a service as they should lie in the maps: those of the
// service first, in their order.
func desire(s *global.Service, w wish) []desired {
	out := make([]desired, 0, len(s.Ports))
	w.packets = w.packets && s.Led()
	for i := range s.Ports {
		p := &s.Ports[i]
		d := desired{
			id: portID{
				protocol: p.Protocol,
				port:     p.Port,
				ipv6:     p.Frontends[0].Address.Is6(),
				outside:  p.Frontends[0].Scope == global.External,
				guarded:  p.Guarded,
			},
			merged:   s.Definition.Global,
			age:      s.Definition.Age(),
			outliers: w.outliers && s.Definition.Outliers.On() && p.Protocol == clustermesh.TCP,
			affinity: (s.Definition.SessionAffinity + time.Second - 1).Truncate(time.Second),
			size:     tableSize(s.Definition.TableSize, max(len(p.Primary), len(p.Backup))),
		}
		if p.Guarded {
			d.guard, d.ranges = w.inside.guard(p.Ranges, d.id.ipv6), p.Ranges
		}
		for _, f := range p.Frontends {
			d.lead(f, Sockets)
			if w.packets && f.Scope == global.External && s.Definition.ExternalPolicy == clustermesh.TrafficCluster {
				d.lead(f, Outside)
			}
		}
		d.aside = slices.Grow(d.aside, len(p.Aside))
		for j := range p.Aside {
			standing := Silent
			switch {
			case p.Aside[j].Ended:
				standing = Ended
			case p.Aside[j].Serving:
				standing = Draining
			}
			d.aside = append(d.aside, bystander{endpoint: endpointOf(&p.Aside[j]), standing: standing})
		}
		d.tiers[Primary], d.tiers[Backup] = shares(p.Primary), shares(p.Backup)
		out = append(out, d)
	}
	switch {
	case !w.packets:
	case s.Definition.ExternalPolicy == clustermesh.TrafficLocal:
		out = appendHere(out, s, w, Outside)
	case w.direct:
		out = appendHere(out, s, w, Nodes)
	}
	return out
}

// lead adds a frontend, once: a cluster IP may be a load-balancer IP too.
func (d *desired) lead(f global.Frontend, scope Scope) {
	lead := Frontend{netip.AddrPortFrom(f.Address, f.Port), f.Protocol, scope}
	if !slices.Contains(d.frontends, lead) {
		d.frontends = append(d.frontends, lead)
	}
}

// appendHere appends what packets find that came for this node alone, of each port with a
// load-balancer IP the endpoints on this node: from outside under the external policy
// Local, or from other nodes. Where there is none packets are dropped, as long as another
// node has one: routers and nodes may send some before they know. A reset would tell the
// client that nobody has. Other nodes know which have none, and send them nothing.
func appendHere(out []desired, s *global.Service, w wish, scope Scope) []desired {
	for i := range s.Ports {
		p := &s.Ports[i]
		d := out[i]
		d.id.outside, d.id.here = true, true
		d.frontends, d.merged = nil, false
		for _, f := range p.Frontends {
			if f.Scope == global.External {
				d.lead(f, scope)
			}
		}
		if len(d.frontends) == 0 {
			continue
		}
		here := slices.Clone(p.Here)
		for j := range here {
			here[j].Weight = usualWeight // of one cluster and node: all alike
		}
		d.tiers = [tiers][]share{Primary: shares(here)}
		if d.aside = asideHere(d.aside, p, w); scope == Nodes && len(here)+len(d.aside) == 0 {
			continue
		}
		d.drops = len(here) == 0 && len(p.Primary) > 0
		d.size = tableSize(s.Definition.TableSize, len(here))
		out = append(out, d)
	}
	return out
}

// asideHere leaves of the bystanders of a port those on this node that packets from
// outside are not led to.
func asideHere(aside []bystander, p *global.Port, w wish) []bystander {
	var out []bystander
	for i, b := range aside { // in the order of p.Aside
		led := slices.ContainsFunc(p.Here, func(h global.Backend) bool { return endpointOf(&h) == b.endpoint })
		if a := &p.Aside[i]; a.Cluster == w.cluster && a.Node == w.node && !led {
			out = append(out, b)
		}
	}
	return out
}

func shares(backends []global.Backend) []share {
	out := make([]share, len(backends))
	for i := range backends {
		out[i] = share{endpointOf(&backends[i]), backends[i].Weight}
	}
	return out
}

func endpointOf(b *global.Backend) endpoint {
	return endpoint{cluster: b.ClusterID, address: netip.AddrPortFrom(b.Address, b.Port), node: b.Node, onNode: b.OnNode}
}

// tableSize returns the size that the leader gave out, while every backend gets
// a slot in it; else the one that every node finds by itself.
func tableSize(given uint32, backends int) uint32 {
	if fit := maglev.Fit(given); given > 0 && int(fit) >= backends {
		return fit
	}
	return maglev.SizeFor(backends)
}
