package lab

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"tombolo.io/tombolo/deploy/lab/echo"
	"tombolo.io/tombolo/deploy/lab/plan"
)

// up brings a lab up and returns the stages it went through.
func up(t *testing.T, l *Lab) (stages string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all []string
	err = l.Up(ctx, func(stage, _ string, _ time.Duration) { all = append(all, stage) })
	return strings.Join(all, " "), err
}

// A whole lab: pods reach each other over what speakers advertise, and a
// service by the agents; a second Up leaves it alone, and one after a death
// begins anew.
func TestUp(t *testing.T) {
	l := newLab(t, base(t), "up")
	const whole = "machines objects pods routers clusters routes mesh"
	if got, err := up(t, l); err != nil || got != whole {
		t.Fatalf("stages %s, %v", got, err)
	}
	for _, far := range l.Clusters[1].Nodes[0].Pods[0].Addresses.List() {
		for _, from := range []string{"east-1-b", "client"} {
			if r := ask(t, l, from, join(far), echo.HTTP); r.Pods["west-1-a"] != 20 {
				t.Errorf("from %s to %s: %+v", from, far, r)
			}
		}
	}
	// Both at once, without waiting for anything: up is when the mesh is.
	if err := l.Kill(t.Context(), "east-1", APIServer, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if r := ask(t, l, "east-1-a", "10.96.0.80:80", echo.HTTP); r.Failed > 0 || r.Clusters["west"] == 0 {
		t.Errorf("the service, the control plane lost at once: %+v", r)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := l.Start(ctx, "east-1", APIServer); err != nil {
		t.Fatal(err)
	}
	first := status(t, l)
	if got, err := up(t, l); err != nil || got != "up" {
		t.Errorf("again: stages %s, %v", got, err)
	}
	if now := status(t, l); now.Machines[0].Processes[0].PID != first.Machines[0].Processes[0].PID {
		t.Error("a lab that was up was made anew")
	}
	upOnlyWhenReady(t, l)
	larger, err := New(l.base, binary, plan.Config{Lab: l.Lab, Clusters: 3, Nodes: 1, Pods: 1, Router: "builtin"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := up(t, larger); err == nil || !strings.Contains(err.Error(), "is up with 2 clusters of 1 nodes of 2 pods, router builtin") {
		t.Errorf("of another size: %v", err)
	}
	if err := l.Kill(t.Context(), "west-1", Speaker, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if got, err := up(t, l); err != nil || got != "cleared "+whole {
		t.Errorf("after a death: stages %s, %v", got, err)
	}
	if err := l.Start(t.Context(), "west-1", Speaker); err == nil {
		t.Error("started a second speaker")
	}
	if _, err := os.Stat(l.upFile()); err != nil {
		t.Error(err)
	}
}

// upOnlyWhenReady stops a process: a lab of which one does not answer is not said to
// be up, and is when it goes on.
func upOnlyWhenReady(t *testing.T, l *Lab) {
	t.Helper()
	if err := l.Kill(t.Context(), "west-1", Agent, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := l.Up(ctx, func(string, string, time.Duration) {}); err == nil || !strings.Contains(err.Error(), "west-1 agent is not ready") {
		t.Errorf("with a stopped agent: %v", err)
	}
	if err := l.Kill(t.Context(), "west-1", Agent, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if got, err := up(t, l); err != nil || got != "up" {
		t.Errorf("after it: stages %s, %v", got, err)
	}
}
