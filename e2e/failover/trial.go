package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/deploy/lab"
	"tombolo.io/tombolo/deploy/lab/echo"
	"tombolo.io/tombolo/deploy/lab/objects"
	"tombolo.io/tombolo/deploy/lab/plan"
)

// The load of every trial, from the first pod of east.
const (
	client  = "east-1-a"
	rate    = 500
	hold    = 100
	timeout = 2 * time.Second
)

// settle is how long the mesh may get to know itself, under load, before a
// fault: nodes are watched only after they answered once.
const settle = 4 * time.Second

// bench makes labs and trials in them.
type bench struct {
	base, binary, name string
	family             string
	// outage is how long what harmless faults take away stays away.
	outage time.Duration
}

// trial is a lab under load.
type trial struct {
	*lab.Lab
	ctx    context.Context
	outage time.Duration
	// n counts the trials of a fault, from 0.
	n int
	// fault is when it happened.
	fault time.Time
	// lease is when the peer's node renewed its lease last, in Unix nanoseconds.
	lease *atomic.Int64
}

// run plays one trial of a fault in a lab of its own.
func (b bench) run(ctx context.Context, f fault, n int) (o Outcome, err error) {
	l, err := lab.New(b.base, b.binary, plan.Config{Lab: b.name, Clusters: 2, Nodes: 2, Pods: 2, Router: "builtin", Family: b.family})
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, lab.Down(context.WithoutCancel(ctx), b.base, b.name)) }()
	if err := l.Up(ctx, func(string, string, time.Duration) {}); err != nil {
		return o, fmt.Errorf("bringing the lab up: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t := &trial{Lab: l, ctx: ctx, n: n, outage: b.outage}
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
	if err := t.wait(settle); err != nil {
		return o, err
	}
	t.fault = time.Now()
	watched := t.watchVerdicts()
	if err := f.play(t); err != nil {
		return o, fmt.Errorf("breaking things: %w", err)
	}
	if err := t.wait(time.Until(t.fault.Add(f.span(b.outage)))); err != nil {
		return o, err
	}
	q := question{fault: t.fault, end: time.Now(), lost: func(echo.Pod) bool { return false }}
	if f.lost != nil {
		q.lost = func(p echo.Pod) bool { return f.lost(t, p) }
	}
	if f.strange != nil {
		q.strange = func(p echo.Pod) bool { return f.strange(t, p) }
	}
	if o.Verdicts, err = watched(); err != nil {
		return o, err
	}
	all, err := load.stop()
	if err != nil {
		return o, err
	}
	verdicts := o.Verdicts
	o = q.judge(all)
	o.Verdicts = verdicts
	return o, steady(all, q.fault)
}

// watchVerdicts looks at the maps of every node from now on, ten times a second,
// and tells at the end how many clusters and nodes were down at most.
func (t *trial) watchVerdicts() (watched func() (int, error)) {
	ctx, cancel := context.WithCancel(t.ctx)
	type seen struct {
		most int
		err  error
	}
	end := make(chan seen, 1)
	go func() {
		var s seen
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for s.err == nil {
			select {
			case <-ctx.Done():
				end <- s
				return
			case <-tick.C:
			}
			var n int
			n, s.err = t.down()
			s.most = max(s.most, n)
		}
		end <- s
	}()
	return func() (int, error) {
		cancel()
		s := <-end
		return s.most, s.err
	}
}

// down counts what the maps of all nodes hold for down.
func (t *trial) down() (int, error) {
	sum := 0
	for _, m := range t.Machines() {
		if m.Kind != plan.KindNode {
			continue
		}
		clusters, nodes, err := bpf.DownAt(t.BPFFS(m.Name))
		if err != nil {
			return 0, fmt.Errorf("looking at the verdicts of %s: %w", m.Name, err)
		}
		sum += clusters + nodes
	}
	return sum, nil
}

func (b bench) target(l *lab.Lab) netip.AddrPort {
	a := objects.EchoAddresses(l.Clusters[0])
	if b.family == "ipv6" {
		return netip.AddrPortFrom(a.IPv6, objects.EchoPort)
	}
	return netip.AddrPortFrom(a.IPv4, objects.EchoPort)
}

// steady says what was wrong before the fault already.
func steady(all []echo.Connection, fault time.Time) error {
	new, failed, long := 0, 0, 0
	for _, c := range all {
		switch {
		case c.Long && c.Start.Before(fault) && c.End.After(fault):
			long++
		case !c.Long && c.End.Before(fault):
			if new++; c.Error != "" {
				failed++
			}
		}
	}
	if failed > 0 || long < hold*9/10 || float64(new) < rate*settle.Seconds()/2 {
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

// load is a client in a pod.
type load struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	done   chan error
	all    []echo.Connection
}

func (t *trial) load(target netip.AddrPort) (*load, error) {
	c, err := t.Command(client, []string{"tombolo", "connections", "--target", target.String(),
		"--rate", strconv.Itoa(rate), "--hold", strconv.Itoa(hold), "--timeout", timeout.String()})
	if err != nil {
		return nil, err
	}
	l := &load{done: make(chan error, 1)}
	out, in := io.Pipe()
	if l.cmd, err = c.Child(nil, in, &l.stderr); err != nil {
		return nil, fmt.Errorf("starting the load: %w", err)
	}
	cmd := l.cmd
	go func() {
		err := cmd.Wait()
		in.CloseWithError(err) // nil becomes io.EOF
	}()
	go func() {
		dec := json.NewDecoder(out)
		for {
			var c echo.Connection
			if err := dec.Decode(&c); err != nil {
				out.CloseWithError(err)
				l.done <- err
				return
			}
			l.all = append(l.all, c)
		}
	}()
	return l, nil
}

// stop ends the load and returns what became of its connections; a second call
// returns the same.
func (l *load) stop() ([]echo.Connection, error) {
	if l.cmd == nil {
		return l.all, nil
	}
	l.cmd.Process.Signal(syscall.SIGTERM) // fails for one that ended by itself, which its output says
	l.cmd = nil
	if err := <-l.done; !errors.Is(err, io.EOF) {
		return l.all, fmt.Errorf("the load ended: %w: %s", err, strings.TrimSpace(l.stderr.String()))
	}
	return l.all, nil
}
