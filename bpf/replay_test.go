package bpf

import (
	"errors"
	"fmt"
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

// TestReplayOfEach holds the same of packets of flows that go on, by tc and by XDP, as they
// are translated and in tunnels.
func TestReplayOfEach(t *testing.T) {
	for _, tunnelled := range []bool{false, true} {
		roads := map[bool]func(*testing.T) *road{false: newWire, true: newWireTunnels}
		r := roads[tunnelled](t)
		for _, f := range families {
			for _, xdp := range []bool{false, true} {
				if tunnelled && !xdp {
					continue
				}
				t.Run(fmt.Sprintf("%s/tunnelled=%v/xdp=%v", f.name, tunnelled, xdp), func(t *testing.T) {
					to := netip.AddrPortFrom(f.service, elsewhere)
					client := f.client
					if xdp {
						client = client.Next()
					}
					if err := r.ns.Do(func() error { return r.replaysEach(ReplayConfig{"eth0", client, to, xdp}, f, tunnelled) }); err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
}

// replaysEach has flows begin and settle, and then runs rounds of them.
func (r *road) replaysEach(cfg ReplayConfig, f family, tunnelled bool) error {
	const flows = 100
	tc := cfg
	tc.XDP = false
	first, err := r.NewReplay(tc)
	if err != nil {
		return err
	}
	defer first.Close()
	for i := range uint32(flows) {
		begins, goesOn := Round{Runs: 1, First: i, Flows: 1, Begins: true}, Round{Runs: 1, First: i, Flows: 1}
		if err := first.rounds(f, tunnelled, begins, goesOn, goesOn); err != nil {
			return err
		}
	}
	if !tunnelled {
		if err := first.Answer(); err != nil {
			return err
		}
		if err := first.rounds(f, tunnelled, Round{Runs: flows, Flows: flows}); err != nil { // they settle
			return err
		}
	}
	replay, err := r.NewReplay(cfg)
	if err != nil {
		return err
	}
	defer replay.Close()
	before, err := r.Packets.Counters()
	if err != nil {
		return err
	}
	if err := replay.rounds(f, tunnelled, Round{Runs: 250, Flows: flows}, Round{Runs: 50, First: 99, Flows: 1}); err != nil {
		return err
	}
	after, err := r.Packets.Counters()
	led := after.Forwarded + after.Tunnelled - before.Forwarded - before.Tunnelled
	if byXDP := after.XDP - before.XDP; led != 300 || (byXDP == 300) != cfg.XDP {
		err = errors.Join(err, fmt.Errorf("%d packets were led, %d by XDP", led, byXDP))
	}
	return err
}

func (r *Replay) rounds(f family, tunnelled bool, all ...Round) (err error) {
	for _, round := range all {
		_, last, e := r.Run(Led, round)
		switch {
		case e != nil:
		case tunnelled:
			e = r.Tunnelled(last, round, f.node, peers[f.name])
		default:
			e = r.Translated(last, round, f.node, netip.AddrPortFrom(f.remote, pod))
		}
		err = errors.Join(err, e)
	}
	return err
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
