package apiserver

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/ipam"
	"tombolo.io/tombolo/clustermesh/source"
)

// ServiceAddresses is what a service has, and what it lacks and why.
type ServiceAddresses struct {
	Service   string         `json:"service"`
	Addresses []netip.Addr   `json:"addresses,omitempty"`
	Ready     bool           `json:"ready"`
	Problems  []ipam.Problem `json:"problems,omitempty"`
}

// notices are what people should know of the addresses that a term gives out.
type notices struct {
	// pools and troubled are for the status.
	pools    []ipam.PoolState
	troubled []ServiceAddresses
	// told is what was last said of each service and pool, for the log to have
	// what changes; fresh is what is to be said.
	told  map[source.Key]string
	fresh []notice
	// judged are the services of which something is said, renewed those that are others
	// by now.
	judged  map[clustermesh.ServiceName]source.Judged
	renewed map[clustermesh.ServiceName]struct{}
	// statuses are for the objects, once all is stored; nil for nothing new.
	statuses *source.Statuses
	// begun: the first look of the term is over.
	begun bool
}

// notice is what is to be said of an object, once.
type notice struct {
	object source.Key
	// warning: its owner should look.
	warning         bool
	reason, message string
}

func newNotices() notices {
	return notices{told: map[source.Key]string{}, judged: map[clustermesh.ServiceName]source.Judged{}, renewed: map[clustermesh.ServiceName]struct{}{}}
}

// take looks at services whose addresses or problems are others than before, and
// at the pools.
func (n *notices) take(t *term, services []clustermesh.ServiceName, now time.Time) {
	alloc := t.addresses.alloc
	if !n.begun {
		n.status() // that there is nothing to say is to be told too
	}
	n.takePools(alloc.Pools())
	for _, name := range services {
		delete(n.renewed, name)
		n.takeService(t, name, now)
	}
	for name := range n.renewed {
		n.takeService(t, name, now)
	}
	clear(n.renewed)
	n.begun = true
	if len(services) == 0 {
		return
	}
	n.troubled = nil
	for _, name := range alloc.Troubled() {
		if s := t.catalog.service(name); !t.addresses.pools && (s == nil || s.LoadBalancerClass == "") {
			continue // nobody asked us for anything
		}
		o, _ := alloc.Outcome(name)
		n.troubled = append(n.troubled, ServiceAddresses{name.String(), o.Addresses(), o.Ready, o.Problems})
	}
}

func (n *notices) takeService(t *term, name clustermesh.ServiceName, now time.Time) {
	alloc := t.addresses.alloc
	e := notice{object: serviceUnit(name), reason: reasonGiven}
	o, ok := alloc.Outcome(name)
	if !ok {
		delete(n.told, e.object)
		n.leaves(name)
		return
	}
	switch s := t.catalog.service(name); {
	case s == nil: // it is not known, and what was said of it stays
	case s.LoadBalancerOthers:
		n.leaves(name)
	default:
		n.service(s, o, now)
	}
	e.message = textOf(o)
	if p := o.Lacking(); p != nil {
		e.warning, e.reason = true, string(p.Reason)
	} else if len(o.Problems) > 0 {
		e.reason = string(o.Problems[0].Reason)
	}
	n.say(e)
}

func (n *notices) takePools(pools []ipam.PoolState) {
	if n.begun && slices.Equal(pools, n.pools) {
		return
	}
	for _, p := range pools {
		e := notice{source.Key{Kind: source.AddressPool, Name: p.Name}, false, reasonNone, "it overlaps with no older pool"}
		if p.Conflict != "" {
			e.warning, e.reason, e.message = true, "Overlaps", overlap(p)
		} else if _, was := n.told[e.object]; !was {
			continue // as it should be
		}
		n.say(e)
	}
	n.pools = pools
}

func overlap(p ipam.PoolState) string {
	return "it overlaps with pool " + p.Conflict + ", which is older, and gives nothing out: change the addresses of one of them"
}

// textOf puts an outcome into a sentence.
func textOf(o *ipam.Outcome) string {
	var parts []string
	if len(o.Grants) > 0 {
		var all []string
		for _, g := range o.Grants {
			all = append(all, g.Address.String())
		}
		parts = append(parts, "it has "+strings.Join(all, ", "))
	}
	for _, p := range o.Problems {
		parts = append(parts, p.Message)
	}
	return strings.Join(parts, "; ")
}

// say notes what is to be said, if it is new. What is in order at the beginning of a
// term is known to whoever reads the log.
func (n *notices) say(e notice) {
	if n.told[e.object] == e.message {
		return
	}
	n.told[e.object] = e.message
	if !e.warning && !n.begun || e.message == "" {
		return
	}
	n.fresh = append(n.fresh, e)
}

// log writes what is new.
func (n *notices) log(l *slog.Logger) {
	for _, e := range n.fresh {
		level := slog.LevelInfo
		if e.warning {
			level = slog.LevelWarn
		}
		l.Log(context.Background(), level, "load-balancer addresses", "of", e.object.String(), "reason", e.reason, "message", e.message)
	}
	n.fresh = nil
}

// reasons are what is not as its owner asked for it.
func (n *notices) reasons() []string {
	var out []string
	for _, p := range n.pools {
		if p.Conflict != "" {
			out = append(out, "pool "+p.Name+": "+overlap(p))
		}
	}
	lacking := slices.DeleteFunc(slices.Clone(n.troubled), func(s ServiceAddresses) bool { return !s.Problems[0].Reason.Lacks() })
	for _, s := range lacking[:min(len(lacking), maxReasons)] {
		out = append(out, fmt.Sprintf("service %s lacks an address: %s", s.Service, s.Problems[0].Message))
	}
	if more := len(lacking) - maxReasons; more > 0 {
		out = append(out, fmt.Sprintf("%d more services lack an address: see tombolo ipam services", more))
	}
	return out
}
