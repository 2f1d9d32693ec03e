package responder

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/agent/health/probe"
	"tombolo.io/tombolo/agent/uplink"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/bpf/bpftest"
	"tombolo.io/tombolo/clustermesh/view"
)

var (
	asker = netip.MustParseAddr("172.20.1.1")
	node  = netip.MustParseAddr("172.20.2.1")
)

// world is a node, and another that asks it.
type world struct {
	*testing.T
	here, there *bpftest.Net
	bpffs       string
	prober      *probe.Prober
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, here: bpftest.NewNet(t), there: bpftest.NewNet(t), bpffs: bpftest.MountBPFFS(t)}
	w.wire("eth0")
	w.must(w.there.Do(func() (err error) {
		w.prober, err = probe.Open(probe.Config{Sources: []netip.Addr{asker}})
		return err
	}))
	t.Cleanup(func() { w.must(w.prober.Close()) })
	return w
}

func (w *world) wire(device string) {
	w.Helper()
	w.here.Wire(w, device, w.there, "eth0")
	w.here.Address(w, device, netip.PrefixFrom(node, 16))
	w.there.Address(w, "eth0", netip.PrefixFrom(asker, 16))
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// running is a Responder that a test stops.
type running struct {
	*Responder
	batches chan view.Batch
	stop    func()
}

func (w *world) run(c Config) *running {
	w.Helper()
	c.Node = "n1"
	kernel, err := bpf.LoadResponder(bpf.ResponderConfig{BPFFS: w.bpffs})
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Responder: New(c, kernel, slog.New(slog.DiscardHandler)), batches: make(chan view.Batch)}
	done := make(chan error, 1)
	go func() { done <- w.here.Do(func() error { return r.Run(ctx, r.batches) }) }()
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		w.must(errors.Join(<-done, kernel.Close()))
	}
	w.Cleanup(r.stop)
	return r
}

// until looks until the condition holds.
func (w *world) until(what string, holds func() bool) {
	w.Helper()
	deadline := time.After(20 * time.Second)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-deadline:
			w.Fatalf("%s: not so after 20 s", what)
		}
	}
}

// answered says whether a probe of some time ago or now was answered.
func (w *world) answered() bool {
	if _, err := w.prober.Send(probe.Target{Address: node, Kind: bpf.ProbeNode}); err != nil {
		return false // the device is away
	}
	b, err := w.prober.Drain()
	w.must(err)
	return len(b.Replies) > 0
}

// silent fails the test when a probe of after the given time is answered. Replies
// to those before it may still be on their way.
func (w *world) silent(since time.Time) {
	w.Helper()
	for range 10 {
		_, err := w.prober.Send(probe.Target{Address: node, Kind: bpf.ProbeNode})
		w.must(err)
		time.Sleep(5 * time.Millisecond)
		b, err := w.prober.Drain()
		w.must(err)
		for _, r := range b.Replies {
			if r.Sent.After(since) {
				w.Fatalf("a probe sent %v after it was silent is answered", r.Sent.Sub(since))
			}
		}
	}
}

// The responder follows the mesh and the devices, and goes on without its
// process.
func TestRun(t *testing.T) {
	w := newWorld(t)
	r := w.run(Config{})
	r.batches <- mesh(t, ": n1=172.20.2.1 n2=172.20.1.1")
	w.until("it waits for all nodes", func() bool {
		s := r.Snapshot()
		return s.Askers == 2 && errors.Is(s.Problem, errUnknown) && len(s.Uplinks) == 0
	})
	r.batches <- mesh(t, ": synced")
	w.until("it answers", w.answered)
	w.until("it says so", func() bool {
		s := r.Snapshot()
		return s.Problem == nil && len(s.Uplinks) == 1 && s.Uplinks[0].Device == "eth0" && s.Uplinks[0].Hook != ""
	})
	r.stop()
	w.until("it answers without a process", w.answered)

	r = w.run(Config{})
	w.until("the next one attaches at once", func() bool { return len(r.Snapshot().Uplinks) == 1 })
	w.here.Remove(t, "eth0")
	w.until("it says that it is deaf", func() bool {
		s := r.Snapshot()
		return s.Problem != nil && strings.Contains(s.Problem.Error(), "--uplinks")
	})
	w.wire("eth0")
	r.batches <- mesh(t, ": n1=172.20.2.1 n2=172.20.1.1 synced")
	w.until("it answers on the new device", w.answered)
	r.stop()
}

func TestConfiguredUplinks(t *testing.T) {
	w := newWorld(t)
	r := w.run(Config{Uplinks: []string{"eth0", "eth7"}})
	r.batches <- mesh(t, ": n1=172.20.2.1 n2=172.20.1.1 synced")
	w.until("it answers on the one that there is", w.answered)
	w.until("it misses the other", func() bool {
		s := r.Snapshot()
		return s.Problem != nil && strings.Contains(s.Problem.Error(), "eth7") && len(s.Uplinks) == 2
	})
	r.stop()
	r = w.run(Config{Uplinks: []string{uplink.None}})
	w.until("it is told to answer nowhere", func() bool { s := r.Snapshot(); return s.Problem == nil && len(s.Uplinks) == 0 })
	w.silent(time.Now())
}
