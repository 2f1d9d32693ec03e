package bpf

import (
	"errors"
	"io/fs"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/bpf/bpftest"
)

func openFlows(t *testing.T, r *road) *FlowTable {
	t.Helper()
	table, err := OpenFlows(r.BPFFS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() })
	return table
}

func TestFlows(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	table := openFlows(t, r)
	only := func() Flow {
		t.Helper()
		var all []Flow
		for f, err := range table.All() {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, f)
		}
		if len(all) != 1 {
			t.Fatalf("there are %d flows: %+v", len(all), all)
		}
		return all[0]
	}
	each(t, func(t *testing.T, f family, protocol uint8) {
		for _, port := range []uint16{elsewhere, here} {
			in := f.to(port, protocol)
			led := r.led(t, in)
			got := only()
			if got.Protocol != protocol || got.Client != in.from || got.Frontend != in.dst || got.Backend != led.dst ||
				got.Source != led.from || got.Local != (port == here) || got.Idle > time.Minute {
				t.Errorf("%+v; the packet was led to %v from %v", got, led.dst, led.from)
			}
			begun, answered := FlowSynSent, FlowEstablished
			if protocol == unix.IPPROTO_UDP {
				begun, answered = FlowUnreplied, FlowAssured
			}
			if got.State != begun {
				t.Errorf("it begins %s, want %s", got.State, begun)
			}
			if !r.speaksFor(t, f, answers(led), in.dst) {
				t.Fatal("the answer is not the frontend's")
			}
			if got = only(); got.State != answered {
				t.Errorf("once answered it is %s, want %s", got.State, answered)
			}
			if err := errors.Join(table.Forget(got), table.Forget(got)); err != nil {
				t.Fatal(err)
			}
			for f := range table.All() {
				t.Errorf("forgotten, and there: %+v", f)
			}
			in.flags, in.ack = ack, 1
			back := r.led(t, in)
			if reset := back.dst == in.from && back.flags&rst != 0; reset != (protocol == unix.IPPROTO_TCP) {
				t.Errorf("the next packet came out to %v with flags %#x", back.dst, back.flags)
			}
			if protocol == unix.IPPROTO_UDP {
				if err := table.Forget(only()); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// An entry that its other half does not name is none.
func TestFlowsWithoutTheOtherHalf(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	table := openFlows(t, r)
	f := families[0]
	r.led(t, f.to(elsewhere, unix.IPPROTO_TCP))
	for flow, err := range table.All() {
		if err != nil {
			t.Fatal(err)
		}
		if err := table.maps[packetMapUnansweredNat].Delete(flow.keys[1]); err != nil {
			t.Fatal(err)
		}
	}
	for flow := range table.All() {
		t.Errorf("%+v", flow)
	}
}

// More flows than are read at once.
func TestManyFlows(t *testing.T) {
	r := newRoad(t, PacketsConfig{Flows: 16 * flowBatch})
	table := openFlows(t, r)
	in := families[0].to(here, unix.IPPROTO_TCP)
	const many = flowBatch + flowBatch/2
	for port := range uint16(many) {
		in.from = netip.AddrPortFrom(in.from.Addr(), 1024+port)
		r.led(t, in)
	}
	seen := map[netip.AddrPort]int{}
	for f, err := range table.All() {
		if err != nil {
			t.Fatal(err)
		}
		seen[f.Client]++
	}
	if len(seen) != many || table.Room() != 16*flowBatch || table.RoomUnanswered() != 4*flowBatch {
		t.Errorf("%d flows of %d; room for %d and %d", len(seen), many, table.Room(), table.RoomUnanswered())
	}
}

func TestFlowStates(t *testing.T) {
	const answered, client, backend, cut = packetFlowFlagsFLOW_ANSWERED, packetFlowFlagsFLOW_FIN_CLIENT, packetFlowFlagsFLOW_FIN_BACKEND, packetFlowFlagsFLOW_CUT
	for flags, want := range map[packetFlowFlags]FlowState{
		0: FlowSynSent, answered: FlowEstablished, answered | client: FlowFinWait, answered | backend: FlowCloseWait,
		answered | client | backend: FlowTimeWait, cut: FlowClose, answered | client | cut: FlowClose,
	} {
		if got := flowState(unix.IPPROTO_TCP, flags); got != want {
			t.Errorf("flags %#x: %s, want %s", uint32(flags), got, want)
		}
	}
}

func TestFlowsOfNobody(t *testing.T) {
	if _, err := OpenFlows(bpftest.New(t).BPFFS); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
