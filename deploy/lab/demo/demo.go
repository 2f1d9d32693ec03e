// Package demo plays Tombolo's promises on a lab and measures each with a real
// client in a pod: what a step claims is what that client saw, or what the
// kernel of a router had, never what our own processes say of themselves.
//
// A step is a function in a file of its own. It brings about what it needs,
// prints what it measured, and returns an error that says what was expected
// and what was seen; the steps after it are played all the same.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"tombolo.io/tombolo/deploy/lab"
	"tombolo.io/tombolo/deploy/lab/objects"
	"tombolo.io/tombolo/deploy/lab/plan"
)

// Config is what a demo needs.
type Config struct {
	// Lab is planned and not up; the demo brings it up. It has two clusters: the
	// client's, and the one that takes over.
	Lab *lab.Lab
	Out io.Writer
	// Down removes the lab; nil keeps it.
	Down func(context.Context) error
}

// Demo is a demo that is being played.
type Demo struct {
	Config
	// here is the cluster of the client, there the one that takes over.
	here, there plan.Cluster
	// client is the pod that asks.
	client string
}

// stepTime bounds a step: what takes longer does not hold. That is several times what
// steps take, for a machine that is busy with something else.
const stepTime = 90 * time.Second

// upTime bounds how long the lab takes to come up, with Kubernetes and on a busy machine.
const upTime = 3 * time.Minute

// ErrNotHeld is returned when a step did not hold; which and why was printed.
var ErrNotHeld = errors.New("not every step held")

// step is one promise.
type step struct {
	title string
	play  func(context.Context, *Demo) error
}

var steps = []step{
	{"a global service is answered by both clusters in even shares", shares},
	{"affinity local: only this cluster answers; remote: only the other", affinity},
	{"the local endpoints go unready: the other cluster answers, and back again", failover},
	{"the routers know every pod and LoadBalancer address, while someone is there to answer", routes},
	{"an agent is killed with -9 and started again: no request fails, no route leaves the routers", killedAgent},
	{"a speaker is killed with -9 and started again: no request fails, no route leaves the routers", killedSpeaker},
}

// Run brings the lab up, plays every step, removes the lab and sums up. It is
// ErrNotHeld when a step did not hold, and another error when the lab could
// not be brought up or removed.
func Run(ctx context.Context, c Config) (err error) {
	if len(c.Lab.Clusters) != 2 {
		return fmt.Errorf("the demo plays on two clusters, the lab has %d", len(c.Lab.Clusters))
	}
	d := &Demo{Config: c}
	if c.Down != nil {
		defer func() {
			// Also when we were interrupted.
			err = errors.Join(err, c.Down(context.WithoutCancel(ctx)))
		}()
	}
	if err := up(ctx, c.Lab, d.progress); err != nil {
		return fmt.Errorf("bringing the lab up: %w", err)
	}
	// With Kubernetes it has its pods only now.
	d.here, d.there = c.Lab.Clusters[0], c.Lab.Clusters[1]
	d.client = d.here.Nodes[0].Pods[0].Name
	return d.play(ctx, steps)
}

// up brings the lab up within upTime.
func up(ctx context.Context, l *lab.Lab, progress lab.Progress) error {
	ctx, cancel := context.WithTimeoutCause(ctx, upTime, fmt.Errorf("%v are over", upTime))
	defer cancel()
	return l.Up(ctx, progress)
}

// play plays the steps one after the other, and sums up.
func (d *Demo) play(ctx context.Context, steps []step) error {
	began := time.Now()
	held := 0
	for i, s := range steps {
		if d.step(ctx, i+1, s) {
			held++
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	fmt.Fprintf(d.Out, "\n%d of %d steps held, %.1f s\n", held, len(steps), time.Since(began).Seconds())
	if held < len(steps) {
		return ErrNotHeld
	}
	return nil
}

func (d *Demo) step(ctx context.Context, n int, s step) bool {
	fmt.Fprintf(d.Out, "\n%d  %s\n", n, s.title)
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, stepTime, fmt.Errorf("%v are over", stepTime))
	defer cancel()
	if err := s.play(ctx, d); err != nil {
		d.say("NOT HELD: %v", err)
		return false
	}
	d.say("held (%.1f s)", time.Since(began).Seconds())
	return true
}

func (d *Demo) progress(stage, what string, took time.Duration) {
	fmt.Fprintf(d.Out, "%-9s %6d ms  %s\n", stage, took.Milliseconds(), what)
}

// say prints a line of a step.
func (d *Demo) say(format string, args ...any) {
	fmt.Fprintf(d.Out, "   "+format+"\n", args...)
}

// apply writes a service into a cluster and returns when that began.
func (d *Demo) apply(ctx context.Context, c plan.Cluster, s objects.Service) (time.Time, error) {
	at := time.Now()
	return at, d.Lab.Serve(ctx, c.Name, s)
}

// echo is the service of every lab, as it is before a step changes it.
func (d *Demo) echo() objects.Service {
	return objects.Service{Name: objects.Echo, Addresses: objects.EchoAddresses(d.here)}
}

// millis is a duration for people.
func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
