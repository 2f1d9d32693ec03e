package bpf

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The directions of a flow, as its ways have them.
const (
	wayOut = iota
	wayBack
)

var someMAC = net.HardwareAddr{2, 0, 0, 0, 0, 7}

// newWays returns a road whose router is known to its neighbours.
func newWays(t *testing.T) *road {
	t.Helper()
	r := newRoad(t, PacketsConfig{})
	r.knows(t)
	return r
}

// knows has the node know the routers next to it.
func (r *road) knows(t *testing.T) {
	t.Helper()
	for _, f := range families {
		r.ns.Neighbour(t, "eth0", f.gateway, someMAC)
		r.ns.Neighbour(t, "eth0", f.gateway.Prev(), someMAC)
	}
}

// way returns the number of the way that a client's flow remembers in one direction, and
// where that leads.
func (r *road) way(t *testing.T, client netip.AddrPort, direction int) (number uint32, next netip.Addr) {
	t.Helper()
	for _, name := range []string{packetMapConntrack, packetMapUnanswered} {
		var key packetTuple
		var value packetConntrack
		entries := r.flows[name].Iterate()
		for entries.Next(&key, &value) {
			if endpoint(key.Source, key.SourcePort) == client {
				number = value.Ways[direction] >> 20
			}
		}
		if err := entries.Err(); err != nil {
			t.Fatal(err)
		}
	}
	var numbered packetNumberedWay
	if err := r.flows[packetMapWays].Lookup(number, &numbered); err != nil {
		t.Fatalf("way %d: %v", number, err)
	}
	w := numbered.Way
	if w.Family == unix.AF_INET { // in the first word, as the kernel takes it
		return number, addr([4]uint32{0, 0, words(netip.IPv4Unspecified())[2], w.Next.Word[0]})
	}
	return number, addr(w.Next.Word)
}

// converses begins a flow whose packets have gone often enough both ways for it to
// remember them, and returns the client's next one.
func (r *road) converses(t *testing.T, f family, protocol uint8, port uint16) frame {
	t.Helper()
	in := f.to(elsewhere, protocol)
	in.from = netip.AddrPortFrom(f.client, port)
	back := answers(r.forwards(t, in))
	in.flags, in.ack = ack, 1
	for range 2 {
		r.forwards(t, back)
		r.forwards(t, in)
	}
	return in
}

// wayForgotten is longer than a flow goes a way because it remembers it.
const wayForgotten = 150 * time.Millisecond

// A flow remembers its ways in both directions, and goes where the kernel's routes lead
// by then, or nowhere, once the moment is over.
func TestPacketWays(t *testing.T) {
	r := newWays(t)
	each(t, func(t *testing.T, f family, protocol uint8) {
		in := r.converses(t, f, protocol, 40000+uint16(protocol))
		for _, direction := range []int{wayOut, wayBack} {
			if number, next := r.way(t, in.from, direction); number == 0 || next != f.gateway {
				t.Fatalf("direction %d: way %d, to %v, want %v", direction, number, next, f.gateway)
			}
		}
		old, _ := r.way(t, in.from, wayOut)
		backends, other := f.networks[1], f.gateway.Prev()
		r.ns.Unroute(t, backends, f.gateway)
		r.ns.Route(t, backends, other)
		time.Sleep(wayForgotten)
		r.forwards(t, in)
		if number, next := r.way(t, in.from, wayOut); number == old || next != other {
			t.Errorf("way %d to %v after the route had changed, want another than %d to %v", number, next, old, other)
		}
		r.ns.Unroute(t, backends, other)
		defer r.ns.Route(t, backends, f.gateway)
		time.Sleep(wayForgotten)
		before := r.counts(t).Dropped["no route"]
		if verdict, _ := r.enters(t, in); verdict != shot {
			t.Errorf("verdict %d without a route", int32(verdict))
		}
		if after := r.counts(t).Dropped["no route"]; after != before+1 {
			t.Errorf("%d packets had no route, want %d", after, before+1)
		}
	})
}

// A packet that does not fit the way that its flow remembers is not sent by it.
func TestPacketWaysHaveAnMTU(t *testing.T) {
	r := newWays(t)
	each(t, func(t *testing.T, f family, protocol uint8) {
		in := r.converses(t, f, protocol, 41000+uint16(protocol))
		in.payload = make([]byte, 1600)
		before := r.counts(t).Dropped["too big"]
		r.enters(t, in)
		if after := r.counts(t).Dropped["too big"]; after != before+1 {
			t.Errorf("%d packets were too big, want %d: %+v", after, before+1, r.counts(t))
		}
	})
}

// When most numbers of ways are given they are given out anew, after nobody has one any
// more; meanwhile packets ask each time.
func TestPacketWaysRenewed(t *testing.T) {
	r := newWays(t)
	f := families[0]
	most := r.flows[packetMapWays].MaxEntries()
	now := time.Now()
	renew := func(after time.Duration) {
		t.Helper()
		now = now.Add(after)
		if err := r.RenewWays(now); err != nil {
			t.Fatal(err)
		}
	}
	given := func() (n uint32) {
		t.Helper()
		if err := r.flows[packetMapWaysGiven].Lookup(uint32(0), &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	r.converses(t, f, unix.IPPROTO_TCP, 41000)
	if renew(0); given() != 1 {
		t.Fatalf("%d numbers are given, want 1", given())
	}
	if err := r.setWaysGiven(most / 4 * 3); err != nil {
		t.Fatal(err)
	}
	renew(0)
	if renew(wayGrace / 2); given() != most {
		t.Errorf("%d numbers are given, want none more", given())
	}
	r.ns.Unroute(t, f.networks[1], f.gateway)
	r.ns.Route(t, f.networks[1], f.gateway.Prev())
	in := r.converses(t, f, unix.IPPROTO_TCP, 41001)
	if number, _ := r.way(t, in.from, wayOut); number != 0 {
		t.Errorf("a new way has number %d, want none", number)
	}
	if number, _ := r.way(t, in.from, wayBack); number != 1 {
		t.Errorf("a way that is known has number %d, want 1", number)
	}
	renew(wayGrace / 2)
	in = r.converses(t, f, unix.IPPROTO_TCP, 41002)
	if number, _ := r.way(t, in.from, wayBack); number != 0 || given() != most {
		t.Errorf("a way whose number was taken back has %d; %d are given", number, given())
	}
	if renew(wayGrace); given() != 0 {
		t.Errorf("%d numbers are given, want 0", given())
	}
	in = r.converses(t, f, unix.IPPROTO_TCP, 41003)
	for direction, want := range []netip.Addr{wayOut: f.gateway.Prev(), wayBack: f.gateway} {
		if number, next := r.way(t, in.from, direction); number == 0 || next != want {
			t.Errorf("direction %d: way %d to %v, want %v", direction, number, next, want)
		}
	}
	if renew(wayGrace); given() != 2 {
		t.Errorf("%d numbers are given, want 2", given())
	}
}
