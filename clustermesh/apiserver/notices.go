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
	fresh []source.Event
	// statuses are for the objects, once all is stored; nil for nothing new.
	statuses *source.Statuses
	// begun: the first look of the term is over.
	begun bool
}

func newNotices() notices { return notices{told: map[source.Key]string{}} }

// take looks at services whose addresses or problems are others than before, and
// at the pools.
func (n *notices) take(t *term, services []clustermesh.ServiceName, now time.Time) {
	alloc := t.addresses.alloc
	n.takePools(alloc.Pools())
	for _, name := range services {
		n.takeService(name, alloc, now)
	}
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

func (n *notices) takeService(name clustermesh.ServiceName, alloc *ipam.Allocator, now time.Time) {
	e := source.Event{Object: serviceUnit(name), Reason: reasonGiven}
	o, ok := alloc.Outcome(name)
	if !ok {
		delete(n.told, e.Object)
		return
	}
	n.service(name, o, now)
	e.Message = textOf(o)
	if p := o.Lacking(); p != nil {
		e.Warning, e.Reason = true, string(p.Reason)
	} else if len(o.Problems) > 0 {
		e.Reason = string(o.Problems[0].Reason)
	}
	n.say(e)
}

func (n *notices) takePools(pools []ipam.PoolState) {
	if n.begun && slices.Equal(pools, n.pools) {
		return
	}
	for _, p := range pools {
		e := source.Event{Object: source.Key{Kind: source.AddressPool, Name: p.Name}, Reason: reasonNone, Message: "it overlaps with no older pool"}
		if p.Conflict != "" {
			e.Warning, e.Reason, e.Message = true, "Overlaps", overlap(p)
		} else if _, was := n.told[e.Object]; !was {
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

// say notes an event, if it is a new one. What is in order at the beginning of a
// term is known to whoever reads events and the log.
func (n *notices) say(e source.Event) {
	if n.told[e.Object] == e.Message {
		return
	}
	n.told[e.Object] = e.Message
	if !e.Warning && !n.begun || e.Message == "" {
		return
	}
	n.fresh = append(n.fresh, e)
	s := n.status()
	s.Events = append(s.Events, e)
}

// log writes what is new.
func (n *notices) log(l *slog.Logger) {
	for _, e := range n.fresh {
		level := slog.LevelInfo
		if e.Warning {
			level = slog.LevelWarn
		}
		l.Log(context.Background(), level, "load-balancer addresses", "of", e.Object.String(), "reason", e.Reason, "message", e.Message)
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
