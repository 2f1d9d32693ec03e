package cri

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tombolo.io/tombolo/agent/pods"
)

// world is a node with a container runtime, and the pods.Node that follows it.
type world struct {
	*testing.T
	*fake
	run, cgroup string
	sockets     []string
	epoch       counter
	node        *pods.Node
	halt        func()
}

type counter struct{ atomic.Uint64 }

func (c *counter) Epoch() uint64     { return c.Load() }
func (c *counter) SetEpoch(n uint64) { c.Store(n) }

// newWorld has a runtime that serves.
func newWorld(t *testing.T) *world {
	w := &world{T: t, fake: newFake(t), run: t.TempDir()}
	w.sockets = []string{w.socket}
	w.fake.start()
	return w
}

// follow starts a Node, as an agent that starts does; it ends with the test at the
// latest.
func (w *world) follow() {
	w.Helper()
	source := Runtime{Sockets: w.sockets, Cgroup: w.cgroup, Host: func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil }}
	n := pods.New(pods.Config{Source: source, RunDir: w.run, Boot: "one"}, &w.epoch, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	w.node = n
	stopped := false
	w.halt = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				w.Errorf("it ended: %v", err)
			}
		case <-time.After(30 * time.Second):
			w.Error("it does not end")
		}
	}
	w.Cleanup(w.halt)
}

// until looks until something is so. A runtime that hangs is known to after patience.
func (w *world) until(what string, so func() bool) {
	w.Helper()
	deadline := time.After(6 * patience)
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for !so() {
		select {
		case <-look.C:
		case <-deadline:
			w.Fatalf("%s: not so after %v; problems: %q", what, 6*patience, w.node.Snapshot().Problems)
		}
	}
}

func (w *world) state(address, uid string) pods.State {
	return w.node.Snapshot().Set.State(netip.MustParseAddr(address), uid)
}

func (w *world) is(address, uid string, want pods.State) {
	w.Helper()
	w.until(fmt.Sprintf("%s under %s %v", uid, address, want), func() bool { return w.state(address, uid) == want })
}

func (w *world) complains(of string) {
	w.Helper()
	w.until("a complaint of "+of, func() bool { return strings.Contains(strings.Join(w.node.Snapshot().Problems, "\n"), of) })
}

func (w *world) content() {
	w.Helper()
	w.until("no complaint", func() bool { return len(w.node.Snapshot().Problems) == 0 })
}

// passes waits until the runtime was listed so many times more. Before that the epoch
// tells of what is published, which it does a moment later.
func (w *world) passes(n int) {
	w.Helper()
	count := func() (lists int) { w.with(func() { lists = w.lists }); return lists }
	from := count()
	w.until("more lists", func() bool { return count() >= from+n })
}
