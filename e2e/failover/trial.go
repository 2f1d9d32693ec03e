package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"tombolo.io/tombolo/deploy/lab"
	"tombolo.io/tombolo/deploy/lab/echo"
	"tombolo.io/tombolo/deploy/lab/objects"
	"tombolo.io/tombolo/deploy/lab/plan"
)

// The load of every trial, from the first pod of east.
const (
	client  = "east-1-a"
	rate    = 500 // new connections a second
	hold    = 100
	timeout = 2 * time.Second
)

// settle is for how long there is load before a fault: by that the load is judged.
const settle = 4 * time.Second

// bench makes labs and trials in them.
type bench struct {
	base, binary, name string
	family             string
	// rate is of the load: new connections a second.
	rate int
	// outage is how long what harmless faults take away stays away.
	outage time.Duration
	// strict: a figure that is short of its goal is an error.
	strict bool
}

// trial is a lab under load.
type trial struct {
	*lab.Lab
	ctx    context.Context
	rate   int
	outage time.Duration
	// variant of the fault that is played.
	variant string
	// wrong is what was not as it should be, besides what the load and the maps say.
	wrong []string
	// fault is when it happened.
	fault time.Time
	// back is when what was away is back, for faults whose trial lasts from then on; zero
	// for the others.
	back time.Time
	// lease is when the peer's node renewed its lease last, in Unix nanoseconds.
	lease *atomic.Int64
}

// run plays a variant of a fault once, in a lab of its own.
func (b bench) run(ctx context.Context, f fault, variant string) (o Outcome, err error) {
	l, err := lab.New(b.base, b.binary, f.size(b.name, b.family))
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, lab.Down(context.WithoutCancel(ctx), b.base, b.name)) }()
	if err := l.Up(ctx, func(string, string, time.Duration) {}); err != nil {
		return o, fmt.Errorf("bringing the lab up: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t := &trial{Lab: l, ctx: ctx, variant: variant, rate: b.rate, outage: b.outage}
	if f.before != nil {
		if err := f.before(t); err != nil {
			return o, fmt.Errorf("preparing: %w", err)
		}
	}
	target := b.target(l)
	if f.target.IsValid() {
		target = f.target
	}
	load, err := t.load(target)
	if err != nil {
		return o, err
	}
	defer load.stop()
	if err := t.awaitHeard(); err != nil {
		return o, err
	}
	if err := t.wait(settle); err != nil {
		return o, err
	}
	watched, err := t.watchMaps()
	if err != nil {
		return o, err
	}
	t.fault = time.Now()
	if err := f.play(t); err != nil {
		return o, fmt.Errorf("breaking things: %w", err)
	}
	from := t.fault
	if !t.back.IsZero() {
		from = t.back
	}
	if err := t.wait(time.Until(from.Add(f.span(b.outage)))); err != nil {
		return o, err
	}
	q := question{fault: t.fault, end: time.Now(), lost: func(echo.Pod) bool { return false }}
	if f.lost != nil {
		q.lost = func(p echo.Pod) bool { return f.lost(t, p) }
	}
	if f.strange != nil {
		q.strange = func(p echo.Pod) bool { return f.strange(t, p) }
	}
	seen, err := watched()
	if err != nil {
		return o, err
	}
	all, err := load.stop()
	if err != nil {
		return o, err
	}
	o = q.judge(all)
	if o.Wrong, err = f.wrong(t, seen); err != nil {
		return o, err
	}
	return o, t.steady(all)
}

// wrong says what was seen besides the load and should not have been, or not seen
// and should have.
func (f fault) wrong(t *trial, seen *watch) ([]string, error) {
	var text string
	if f.down != nil {
		text = f.down(t)
	}
	want, err := readWish(t.Plan, text)
	if err != nil {
		return nil, err
	}
	out := slices.Concat(t.wrong, want.wrong(seen.held))
	if f.harmless {
		for _, d := range slices.Sorted(maps.Keys(seen.dropped)) {
			out = append(out, "backend missing in the maps of "+d)
		}
	}
	return out, nil
}

// size is that of the fault's lab.
func (f fault) size(name, family string) plan.Config {
	return plan.Config{Lab: name, Clusters: cmp.Or(f.clusters, 2), Nodes: cmp.Or(f.nodes, 2), Pods: 2, Router: "builtin", Family: family, ExternalEtcd: f.external}
}

func (b bench) target(l *lab.Lab) netip.AddrPort {
	a := objects.EchoAddresses(l.Clusters[0])
	if b.family == "ipv6" {
		return netip.AddrPortFrom(a.IPv6, objects.EchoPort)
	}
	return netip.AddrPortFrom(a.IPv4, objects.EchoPort)
}

// steady says what was wrong before the fault already.
func (t *trial) steady(all []echo.Connection) error {
	new, failed, long := 0, 0, 0
	for _, c := range all {
		switch {
		case c.Long && c.Start.Before(t.fault) && c.End.After(t.fault):
			long++
		case !c.Long && c.End.Before(t.fault):
			if new++; c.Error != "" {
				failed++
			}
		}
	}
	if failed > 0 || long < hold*9/10 || float64(new) < float64(t.rate)*settle.Seconds()/2 {
		return fmt.Errorf("before the fault there were %d new connections, %d failed, and %d long ones: this is no load to measure with", new, failed, long)
	}
	return nil
}

// wait lets time pass.
func (t *trial) wait(d time.Duration) error {
	select {
	case <-t.ctx.Done():
		return context.Cause(t.ctx)
	case <-time.After(d):
		return nil
	}
}
