package bpf

import (
	"errors"
	"net/netip"
	"testing"
)

// TestReplay holds that what measures the packet path gives it every packet as it came
// in: as many flows begin as there are, every packet is forwarded, and the last one is
// what it should be.
func TestReplay(t *testing.T) {
	r := newRoad(t, PacketsConfig{Flows: 1 << 14})
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			from := netip.MustParseAddr("1.0.0.0")
			if f.client.Is6() {
				from = netip.MustParseAddr("2001:db8:51::100:0")
			}
			var replay *Replay
			err := r.ns.Do(func() (err error) {
				replay, err = r.NewReplay(ReplayConfig{Device: "eth0", From: from, To: netip.AddrPortFrom(f.service, elsewhere)})
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			defer replay.Close()
			before := r.counts(t)
			for _, round := range []Round{
				{Runs: 1000, First: 700, Flows: 1000, Begins: true}, {Runs: 2500, First: 700, Flows: 1000}, {Runs: 500, First: 1699, Flows: 1},
			} {
				if !round.Begins {
					if err := replay.Answer(); err != nil {
						t.Fatal(err)
					}
				}
				if err := r.ns.Do(func() error { return replayed(replay, round, f) }); err != nil {
					t.Errorf("%+v: %v", round, err)
				}
			}
			after := r.counts(t)
			if begun, forwarded := after.Begun-before.Begun, after.Forwarded-before.Forwarded; begun != 1000 || forwarded != 4000 {
				t.Errorf("%d flows began, and %d packets were forwarded; dropped %v", begun, forwarded, after.Dropped)
			}
		})
	}
}

// replayed runs a round, and one with nothing.
func replayed(r *Replay, round Round, f family) error {
	took, last, err := r.Run(Led, round)
	if err != nil {
		return err
	}
	if err := r.Translated(last, round, f.node, netip.AddrPortFrom(f.remote, pod)); err != nil {
		return err
	}
	nothing, _, err := r.Run(Nothing, round)
	if err == nil && (took <= 0 || nothing <= 0) {
		return errors.New("it took no time")
	}
	return err
}
