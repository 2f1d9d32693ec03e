package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"tombolo.io/tombolo/deploy/lab"
	"tombolo.io/tombolo/deploy/lab/echo"
	"tombolo.io/tombolo/deploy/lab/objects"
	"tombolo.io/tombolo/deploy/lab/router"
)

// killedAgent kills the agent of the client's node. The new one must work as well as
// the old: a change that it alone can bring about is asked of it.
func killedAgent(ctx context.Context, d *Demo) (err error) {
	defer func() { err = errors.Join(err, d.restore(ctx, d.echo())) }()
	return d.killAdvertising(ctx, lab.Agent, d.web(2), d.web(3), func(s *stream) error {
		local := d.echo()
		local.Affinity = "local"
		return d.prefer(ctx, s, local, d.here.Name)
	})
}

// killedSpeaker kills the speaker of the client's node.
func killedSpeaker(ctx context.Context, d *Demo) error {
	return d.killAdvertising(ctx, lab.Speaker, d.web(4), d.web(5), func(*stream) error { return nil })
}

// killAdvertising kills a process of a node that advertises pods and the address of a
// LoadBalancer service, under load, while every change of the routers' kernels is
// watched. The new one is then tried, and has to advertise a later service. Both are new:
// for as long as an agent still speaks of one that was deleted, one of the same name is
// advertised by that, and held again before it has endpoints.
func (d *Demo) killAdvertising(ctx context.Context, role lab.Role, held, later objects.Service, try func(*stream) error) (err error) {
	defer func() { err = errors.Join(err, d.withdraw(ctx, held)) }()
	if err := d.advertise(ctx, held); err != nil {
		return err
	}
	lost, err := d.watch(ctx)
	if err != nil {
		return err
	}
	s, err := d.ask(objects.EchoAddresses(d.here).IPv4)
	if err != nil {
		return err
	}
	defer s.stop()
	if err := d.killUnderLoad(ctx, s, role); err != nil {
		return err
	}
	if err := try(s); err != nil {
		return err
	}
	// A path to another service proves of a new speaker that its session is there, and
	// that the router has judged what it kept of the old one: that comes first. Of a new
	// agent it proves that the speaker hears it: nobody else says that it leads there.
	defer func() { err = errors.Join(err, d.withdraw(ctx, later)) }()
	if err := d.advertise(ctx, later); err != nil {
		return err
	}
	gone := lost()
	d.say("with the new %s another service is advertised; routes that left a router meanwhile: %d", role, len(gone))
	if len(gone) > 0 {
		return fmt.Errorf("expected no route to leave, saw %v", gone)
	}
	return failures(s.stop())
}

// killUnderLoad kills a process of the client's node, starts it again, and wants
// no request to fail before, between and after.
func (d *Demo) killUnderLoad(ctx context.Context, s *stream, role lab.Role) error {
	node := d.here.Nodes[0].Name
	if _, err := s.more(ctx, requests/2); err != nil {
		return err
	}
	if err := d.Lab.Kill(ctx, node, role, syscall.SIGKILL); err != nil {
		return err
	}
	killed := time.Now()
	if _, err := s.more(ctx, requests); err != nil {
		return err
	}
	started := time.Now()
	if err := d.Lab.Start(ctx, node, role); err != nil {
		return err
	}
	ready := time.Now()
	all, err := s.more(ctx, requests)
	if err != nil {
		return err
	}
	d.say("%s of %s killed: %d requests without it, %d while it started (%s), %d with the new one, %d of all failed", role, node,
		between(all, killed, started), between(all, started, ready), millis(ready.Sub(started)), between(all, ready, time.Now()),
		echo.Summarize(all).Failed)
	return failures(all)
}

// between counts the requests that began in a span of time.
func between(all []echo.Sample, from, to time.Time) int {
	n := 0
	for _, s := range all {
		if s.Start.After(from) && s.Start.Before(to) {
			n++
		}
	}
	return n
}

// advertise applies a LoadBalancer service and waits until it is advertised.
func (d *Demo) advertise(ctx context.Context, service objects.Service) error {
	if _, err := d.apply(ctx, d.here, service); err != nil {
		return err
	}
	return d.advertised(ctx, service)
}

// advertised waits until the cluster's router has a path to a LoadBalancer
// service by every node.
func (d *Demo) advertised(ctx context.Context, service objects.Service) error {
	var hops [2][]netip.Addr
	for _, n := range d.here.Nodes {
		for i, a := range n.Addresses.List() {
			hops[i] = append(hops[i], a)
		}
	}
	for i, p := range hosts(service.LoadBalancer) {
		if err := d.awaitHops(ctx, d.here.Router.Name, p, hops[i]); err != nil {
			return err
		}
	}
	return nil
}

// watch notes every route that leaves the kernel of a router, until ctx ends.
func (d *Demo) watch(ctx context.Context) (lost func() []string, err error) {
	// The watchers call from goroutines of their own, and lost is asked from
	// ours: a list between them has no owner but its lock.
	var lock sync.Mutex
	var gone []string
	note := func(format string, args ...any) {
		lock.Lock()
		defer lock.Unlock()
		gone = append(gone, fmt.Sprintf(format, args...))
	}
	for _, c := range d.Lab.Clusters {
		name := c.Router.Name
		err := router.Watch(ctx, d.Lab.Namespace(name), func(change router.Change) {
			if change.Deleted {
				note("%s from %s", change.Prefix, name)
			}
		}, func(err error) { note("%s: %v", name, err) })
		if err != nil {
			return nil, err
		}
	}
	return func() []string {
		lock.Lock()
		defer lock.Unlock()
		return append([]string(nil), gone...)
	}, nil
}
