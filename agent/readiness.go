package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/agent/packets"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/clustermesh"
)

// A new word is looked for every readinessEvery, and one who waits for it is
// answered after readinessWait at the latest.
const (
	readinessEvery = 50 * time.Millisecond
	readinessWait  = 2 * time.Second
)

// word is what the agent says of its readiness until it is replaced.
type word struct {
	said     clustermesh.Readiness
	replaced chan struct{} // closed then
}

// speak says what the data path serves whenever that changes. It says nothing
// before the programs run and the maps were filled: who knew what an agent before
// this one said goes on believing that.
func (a *Agent) speak(ctx context.Context, p *parts, attached <-chan struct{}) error {
	if !serves(ctx, p.balancer, attached) {
		return nil
	}
	tick := time.NewTicker(readinessEvery)
	defer tick.Stop()
	var seen *loadbalancer.Snapshot
	var seenLed outside
	watch := a.watchOutside(p)
	for n := 0; ; {
		if s, led := p.balancer.Snapshot(), watch(time.Now()); s != seen || led != seenLed {
			seen, seenLed = s, led
			said := readinessOf(s, a.config.Node, bpf.LinkPins(a.config.DataPath), led)
			if old := a.word.Load(); old == nil || !old.said.Same(&said) {
				n++
				said.Version = fmt.Sprintf("%d-%d", a.started.UnixNano(), n)
				if a.word.Store(&word{said, make(chan struct{})}); old != nil {
					close(old.replaced)
				}
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// serves waits until the programs run and the maps were filled; false when ctx ended
// before that.
func serves(ctx context.Context, balancer *loadbalancer.LoadBalancer, attached <-chan struct{}) bool {
	for _, begun := range []<-chan struct{}{attached, balancer.Filled()} {
		select {
		case <-begun:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// outside says how packets from outside come to backends.
type outside int

const (
	byOthers outside = iota // not by this agent: --packet-devices none
	nowhere                 // by this agent, but no uplink has a program
	byUs
)

// lookAtUplinks is how often the kernel is asked which uplinks have a program, when
// nothing else says that it may be others.
const lookAtUplinks = time.Second

// watchOutside returns what says how packets are led by now. The kernel is asked: what
// an agent before this one attached leads on until this one's takes its place.
func (a *Agent) watchOutside(p *parts) func(now time.Time) outside {
	var seen *packets.Snapshot
	var looked time.Time
	led := nowhere
	return func(now time.Time) outside {
		if !a.config.leadsPackets() {
			return byOthers
		}
		var s *packets.Snapshot
		if p.packets != nil {
			s = p.packets.Snapshot()
		}
		if s == seen && now.Sub(looked) < lookAtUplinks {
			return led
		}
		seen, looked = s, now
		switch is, err := bpf.PacketsAttached(a.config.DataPath.BPFFS); {
		case err != nil: // what was the case is the best guess
			a.log.Warn("which uplinks lead packets is not known", "error", err)
		case is:
			led = byUs
		default:
			led = nowhere
		}
		return led
	}
}

// readinessOf says what a snapshot of the maps means for clients from outside.
func readinessOf(s *loadbalancer.Snapshot, node string, pins []string, led outside) clustermesh.Readiness {
	r := clustermesh.Readiness{Pins: pins, Addresses: []clustermesh.ServedAddress{}}
	for _, st := range s.Services() {
		if st.Merged.Definition == nil {
			continue
		}
		for _, ip := range st.Merged.Definition.LoadBalancerIPs {
			if written(st, ip, led) {
				r.Addresses = append(r.Addresses, clustermesh.ServedAddress{Service: st.Name, Address: ip, Ready: st.Merged.ServedBy(node, ip)})
			}
		}
	}
	slices.SortStableFunc(r.Addresses, func(a, b clustermesh.ServedAddress) int {
		return cmp.Or(cmp.Compare(a.Service.String(), b.Service.String()), a.Address.Compare(b.Address))
	})
	return r
}

// written reports whether the maps lead an address to a service: for packets from outside
// where those are ours to lead, which needs an uplink with the program, and for sockets
// where others lead packets.
func written(st *loadbalancer.ServiceStatus, ip netip.Addr, led outside) bool {
	ours := led != byOthers && st.Merged.Led()
	if ours && led == nowhere {
		return false
	}
	return slices.ContainsFunc(st.Ports, func(p loadbalancer.PortStatus) bool {
		return slices.ContainsFunc(p.Frontends, func(f loadbalancer.Frontend) bool {
			return f.Address.Addr() == ip && (f.Scope == loadbalancer.Outside || !ours)
		})
	})
}

// readiness answers /readiness?after=VERSION: the next word after one, or the
// same again after a while.
func (a *Agent) readiness(r *http.Request) (any, error) {
	late := time.After(readinessWait)
	for {
		w := a.word.Load()
		if w == nil {
			return nil, errors.New("the programs do not run on filled maps yet")
		}
		if w.said.Version != r.URL.Query().Get("after") {
			return &w.said, nil
		}
		select {
		case <-w.replaced:
		case <-late:
			return &w.said, nil
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
}
