package bpf

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// floods has so many SYNs of different flows come to a port.
func (r *road) floods(t *testing.T, f family, port uint16, syns uint32) {
	t.Helper()
	from := netip.MustParseAddr("1.0.0.0")
	if !f.v4() {
		from = netip.MustParseAddr("2001:db8:51::100:0")
	}
	err := r.ns.Do(func() error {
		flood, err := r.NewReplay(ReplayConfig{Device: "eth0", From: from, To: netip.AddrPortFrom(f.service, port)})
		if err != nil {
			return err
		}
		defer flood.Close()
		_, _, err = flood.Run(Led, Round{Runs: syns, Flows: syns, Begins: true})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestPacketFlood holds that flows that were answered, and of which the client sent another
// packet, outlive a million SYNs that nobody follows up: their packets go to the same
// backend from the same port, and the answers come back.
func TestPacketFlood(t *testing.T) {
	const clients = 100
	r := newRoad(t, PacketsConfig{})
	type flow struct{ in, led frame }
	var flows []flow
	for _, f := range families {
		for _, protocol := range []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
			for _, port := range []uint16{here, twice} {
				for i := range uint16(clients) {
					in := f.to(port, protocol)
					in.from = netip.AddrPortFrom(f.client, 50000+i)
					led := r.led(t, in)
					if !r.speaksFor(t, f, answers(led), in.dst) {
						t.Fatalf("the answer to %v is not translated", in.from)
					}
					in.flags = ack
					if again := r.led(t, in); again.from != led.from || again.dst != led.dst {
						t.Fatalf("%v: the second packet goes from %v to %v, the first from %v to %v", in.from, again.from, again.dst, led.from, led.dst)
					}
					flows = append(flows, flow{in, led})
				}
			}
		}
	}
	for _, f := range families {
		for _, port := range []uint16{here, elsewhere, twice} {
			r.floods(t, f, port, 170_000)
		}
	}
	lost := map[string]int{}
	for _, l := range flows {
		f := families[0]
		if !l.in.v4() {
			f = families[1]
		}
		answer := answers(l.led)
		answer.flags = ack
		if got := r.led(t, l.in); got.from != l.led.from || got.dst != l.led.dst {
			lost["packets"]++
		} else if !r.speaksFor(t, f, answer, l.in.dst) {
			lost["answers"]++
		}
	}
	if len(lost) > 0 {
		t.Errorf("of %d flows are lost %v", len(flows), lost)
	}
	table := openFlows(t, r)
	if n := r.flowCount(t); n < len(flows) || n > int(table.Room()+table.RoomUnanswered()) {
		t.Errorf("%d flows are remembered, of %d and the flood", n, len(flows))
	}
}

// TestFlowsStayPinned holds that flows stay pinned while maps are added that an earlier
// version did not have: whoever is killed then leaves them to the next.
func TestFlowsStayPinned(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	if err := r.Packets.Close(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(packetsRoot(r.BPFFS), flowLayout)
	before, err := os.Stat(filepath.Join(dir, packetMapConntrack))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, packetMapWays)); err != nil {
		t.Fatal(err)
	}
	r.load(t, PacketsConfig{})
	after, err := os.Stat(filepath.Join(dir, packetMapConntrack))
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("the flows were pinned anew: %v", err)
	}
}

// TestFlowsOutliveOlderMaps holds that flows that an earlier version pinned, which had no
// maps for those without an answer, are taken over.
func TestFlowsOutliveOlderMaps(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	in := families[0].to(elsewhere, unix.IPPROTO_TCP)
	led := r.led(t, in)
	if !r.speaksFor(t, families[0], answers(led), in.dst) {
		t.Fatal("the answer is not translated")
	}
	in.flags = ack
	r.led(t, in)
	if err := r.Packets.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range flowMaps[1] {
		if err := os.Remove(filepath.Join(packetsRoot(r.BPFFS), flowLayout, name)); err != nil {
			t.Fatal(err)
		}
	}
	r.load(t, PacketsConfig{})
	if again := r.led(t, in); again.from != led.from || again.dst != led.dst {
		t.Errorf("it goes from %v to %v, before from %v to %v", again.from, again.dst, led.from, led.dst)
	}
}
