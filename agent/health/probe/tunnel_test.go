package probe

import (
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/bpf/bpftest"
)

func TestMain(m *testing.M) { bpftest.Main(m) }

// takeTunnels has the kernel there take tunnels from here, until the test ends.
func (w *world) takeTunnels() {
	w.Helper()
	env := bpftest.New(w)
	d, err := bpf.Load(bpf.Config{BPFFS: env.BPFFS, Cgroup: env.Cgroup, Sizes: bpf.SmallSizes()}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	w.must(err)
	p, err := bpf.LoadPackets(bpf.PacketsConfig{BPFFS: env.BPFFS, Flows: bpf.LeastFlows, ProbePort: bpf.DefaultProbePort}, d)
	w.must(err)
	w.Cleanup(func() {
		w.must(errors.Join(w.there.Do(func() error { _, err := p.Attach(nil); return err }), p.Close(), d.Close()))
		w.must(errors.Join(bpf.UninstallPackets(env.BPFFS), bpf.Uninstall(bpf.Config{BPFFS: env.BPFFS, Cgroup: env.Cgroup})))
	})
	w.must(errors.Join(
		p.SetOwned(map[netip.Addr]bpf.Owned{
			there4: bpf.NodeAddress, there6: bpf.NodeAddress, here4: bpf.PeerAddress, here6: bpf.PeerAddress,
		}),
		w.there.Do(func() error { _, err := p.Attach([]string{"eth0"}); return err }),
	))
}

// TestTunnel holds that a probe in a tunnel is answered where tunnels are taken, whichever
// program the kernel runs first, and not where none are.
func TestTunnel(t *testing.T) {
	targets := []Target{{there4, bpf.ProbeNode}, {there6, bpf.ProbeNode}}
	for name, order := range map[string][]func(*world){
		"answers first": {func(w *world) { w.respond() }, (*world).takeTunnels},
		"takes first":   {(*world).takeTunnels, func(w *world) { w.respond() }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, Config{Tunnel: true, Forget: time.Hour})
			for _, do := range order {
				do(w)
			}
			for _, target := range targets {
				w.send(target)
			}
			for _, r := range w.collect(len(targets)) {
				if r.Target.Address != there4 && r.Target.Address != there6 {
					t.Errorf("reply %+v", r)
				}
			}
		})
	}
	t.Run("not taken", func(t *testing.T) {
		w := newWorld(t, Config{Tunnel: true, Forget: time.Hour})
		w.respond()
		for _, target := range targets {
			w.send(target)
		}
		tunnelled := w.prober
		w.must(w.here.Do(func() (err error) { w.prober, err = Open(Config{Sources: []netip.Addr{here4, here6}}); return err }))
		for _, target := range targets {
			w.send(target) // behind the others on the wire
		}
		w.collect(len(targets))
		b, err := tunnelled.Drain()
		if w.must(tunnelled.Close()); err != nil || len(b.Replies) > 0 {
			t.Errorf("answers through no tunnel: %+v, %v", b.Replies, err)
		}
	})
}
