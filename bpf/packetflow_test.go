package bpf

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// opens begins a flow to the service of two backends, and returns the packet, how it
// was led, and the numbers of its backend and of the other one.
func (r *road) opens(t *testing.T, f family, protocol uint8, port uint16) (in, led frame, its, other uint32) {
	t.Helper()
	in = f.to(twice, protocol)
	in.from = netip.AddrPortFrom(f.client, port)
	led = r.forwards(t, in)
	rest := f.remote
	if led.dst.Addr() == f.remote {
		rest = f.second
	}
	in.flags, in.ack = ack, 1
	return in, led, r.backendOf(t, led.dst, protocol), r.backendOf(t, netip.AddrPortFrom(rest, pod+1), protocol)
}

// What becomes of a flow that is open.
const (
	stays  = "stays"
	moves  = "moves"
	resets = "resets"
)

// flowChanges are what may happen to the backend of a flow that is open, and what becomes of
// the flow.
var flowChanges = []struct {
	name string
	do   func(r *road, its, other uint32)
	undo func(r *road, its, other uint32)
	tcp  string
	udp  string
}{
	{"nothing", func(*road, uint32, uint32) {}, nil, stays, stays},
	{"it leaves the table and drains", func(r *road, its, other uint32) { r.Backends.SetState(its, Draining); r.fill(its, other) },
		func(r *road, its, other uint32) { r.Backends.SetState(its, Active); r.fill(its, its, other) }, stays, stays},
	{"it leaves the table and is not ready", func(r *road, its, other uint32) { r.Backends.SetState(its, Down); r.fill(its, other) },
		func(r *road, its, other uint32) { r.Backends.SetState(its, Active); r.fill(its, its, other) }, stays, moves},
	{"it has ended", func(r *road, its, _ uint32) { r.Backends.SetState(its, Ended) },
		func(r *road, its, _ uint32) { r.Backends.SetState(its, Active) }, resets, moves},
	{"its node is down", func(r *road, its, _ uint32) { r.Nodes.Set(r.Backends.Read(its).Node, PodsDown) },
		func(r *road, its, _ uint32) { r.Nodes.Set(r.Backends.Read(its).Node, 0) }, resets, moves},
	{"it is gone", func(r *road, its, _ uint32) { r.Backends.SetState(its, Free) },
		func(r *road, its, _ uint32) {
			b := r.Backends.Read(its)
			b.State = Active
			r.Backends.Write(its, b)
		}, resets, moves},
	// Another service's backend has its number, and even its address.
	{"its number is another's", func(r *road, its, _ uint32) {
		b := r.Backends.Read(its)
		b.Service++
		b.State = Active
		r.Backends.Write(its, b)
	}, func(r *road, its, _ uint32) {
		b := r.Backends.Read(its)
		b.Service--
		r.Backends.Write(its, b)
	}, resets, moves},
	{"its generation is another", func(r *road, its, _ uint32) { r.Backends.Write(its, r.Backends.Read(its)) },
		func(*road, uint32, uint32) {}, resets, moves},
}

func TestPacketFlowsOutlive(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	for i, row := range flowChanges {
		t.Run(row.name, func(t *testing.T) {
			each(t, func(t *testing.T, f family, protocol uint8) {
				in, led, its, other := r.opens(t, f, protocol, uint16(41000+i))
				row.do(r, its, other)
				if row.undo != nil {
					defer row.undo(r, its, other)
				}
				got, want := r.forwards(t, in), row.tcp
				if protocol == unix.IPPROTO_UDP {
					want = row.udp
				}
				is := moves
				switch {
				case got.dst == led.dst && got.from == led.from:
					is = stays
				case got.dst == in.from && got.flags&rst != 0:
					is = resets
				case got.dst != r.Backends.Read(other).Address && got.dst != led.dst:
					t.Errorf("it went to %v", got.dst)
				}
				if row.name == "its generation is another" && want == moves && got.dst == led.dst {
					is = moves // the same address again is as good as the other
				}
				if is != want {
					t.Errorf("it %s, want that it %s", is, want)
				}
			})
		})
	}
}

// fill fills the table of a backend's service with others, in turn.
func (r *road) fill(of uint32, with ...uint32) {
	e := r.Services.Read(r.Backends.Read(of).Service).Primary
	slots := make([]uint32, e.Size)
	for i := range slots {
		slots[i] = with[i%len(with)]
	}
	r.Slots.Write(e.Offset, slots)
}

// When an address comes to lead to another service, what is open stays, and what
// begins, or has no beginning, goes there.
func TestPacketFrontendMoves(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	each(t, func(t *testing.T, f family, protocol uint8) {
		in := f.to(elsewhere, protocol)
		first := r.forwards(t, in)
		all, err := r.Frontends.All()
		if err != nil {
			t.Fatal(err)
		}
		to := all[Frontend{Address: netip.AddrPortFrom(f.service, twice), Protocol: protocol, Scope: ScopePacket}]
		if err := r.Frontends.Put(map[Frontend]uint32{{Address: in.dst, Protocol: protocol, Scope: ScopePacket}: to}); err != nil {
			t.Fatal(err)
		}
		in.flags = ack
		if got := r.forwards(t, in); (got.dst == first.dst) != (protocol == unix.IPPROTO_TCP) {
			t.Errorf("the next packet goes to %v, the first went to %v", got.dst, first.dst)
		}
		in.flags = syn
		if got := r.forwards(t, in); got.dst.Port() != pod+1 {
			t.Errorf("a new beginning goes to %v", got.dst)
		}
	})
}

// A port belongs to one flow until that is over; when none is left the packet is
// dropped, and counted.
func TestPacketPorts(t *testing.T) {
	r := newRoad(t, PacketsConfig{FirstPort: 20000, Ports: 1})
	each(t, func(t *testing.T, f family, protocol uint8) {
		first := f.to(elsewhere, protocol)
		if led := r.forwards(t, first); led.from.Port() != 20000 {
			t.Fatalf("the first has port %d", led.from.Port())
		}
		second := first
		second.from = netip.AddrPortFrom(f.client, 40009)
		before := r.counts(t)
		if verdict, _ := r.enters(t, second); verdict != shot || r.counts(t).Dropped["no free port"] != before.Dropped["no free port"]+1 {
			t.Fatalf("the second: verdict %d, %+v", int32(verdict), r.counts(t))
		}
		// The same port to another backend is another port.
		third := f.to(twice, protocol)
		if led := r.forwards(t, third); led.from.Port() != 20000 {
			t.Errorf("the third has port %d", led.from.Port())
		}
		r.ages(t, 9000*time.Second)
		led := r.forwards(t, second)
		if led.from.Port() != 20000 {
			t.Errorf("after the first was over the second has port %d", led.from.Port())
		}
		// The first has lost its port, and does not get into the second's connection.
		first.flags = ack
		verdict, b := r.enters(t, first)
		if protocol == unix.IPPROTO_UDP && verdict != shot {
			t.Errorf("a datagram of the first: verdict %d", int32(verdict))
		}
		if protocol == unix.IPPROTO_TCP {
			if got := parseFrame(t, b); verdict != redirected || got.flags&rst == 0 || got.dst != first.from {
				t.Errorf("a segment of the first: verdict %d, %+v", int32(verdict), got)
			}
		}
	})
}

// ages makes all flows as old as that.
func (r *road) ages(t *testing.T, by time.Duration) {
	t.Helper()
	for _, pair := range flowMaps {
		agesIn(t, r.flows[pair[0]], by)
	}
}

func agesIn(t *testing.T, m *ebpf.Map, by time.Duration) {
	t.Helper()
	const seen = 48 // where struct conntrack has it
	var key, value []byte
	changed := map[string][]byte{}
	entries := m.Iterate()
	for entries.Next(&key, &value) {
		old := binary.NativeEndian.Uint64(value[seen:])
		binary.NativeEndian.PutUint64(value[seen:], old-uint64(by))
		changed[string(key)] = slices.Clone(value)
	}
	if err := entries.Err(); err != nil {
		t.Fatal(err)
	}
	for k, v := range changed {
		if err := m.Put([]byte(k), v); err != nil {
			t.Fatal(err)
		}
	}
}

// A port that a socket of the node has is left to it.
func TestPacketPortsOfSockets(t *testing.T) {
	r := newRoad(t, PacketsConfig{FirstPort: 20000, Ports: 2})
	for _, f := range families {
		var udp net.PacketConn
		var tcp net.Listener
		if err := r.ns.Do(func() (err error) {
			at := netip.AddrPortFrom(f.node, 20001).String()
			udp, err = net.ListenPacket("udp", at)
			if err == nil {
				tcp, err = net.Listen("tcp", at)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := errors.Join(udp.Close(), tcp.Close()); err != nil {
				t.Error(err)
			}
		})
		for _, protocol := range []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
			if led := r.forwards(t, f.to(elsewhere, protocol)); led.from.Port() != 20000 {
				t.Errorf("%s, protocol %d: port %d, which a socket has", f.name, protocol, led.from.Port())
			}
		}
	}
}

// A client may have one port towards two frontends; where both lead to the same
// backend of this node, that knows them by different ports.
func TestPacketSameClientPort(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	number := uint32(100)
	each(t, func(t *testing.T, f family, protocol uint8) {
		number++
		r.put(t, number, Frontend{Address: netip.AddrPortFrom(f.service, 88), Protocol: protocol, Scope: ScopePacket},
			Backend{Address: netip.AddrPortFrom(f.local, pod), State: Active, Node: thisNode})
		var seen []frame
		for _, port := range []uint16{here, 88} {
			in := f.to(port, protocol)
			_, b := r.enters(t, in)
			led := parseFrame(t, b)
			if led.dst != netip.AddrPortFrom(f.local, pod) || led.from.Addr() != f.client {
				t.Fatalf("led from %v to %v", led.from, led.dst)
			}
			_, b = r.leaves(t, answers(led))
			if back := parseFrame(t, b); back.from != in.dst || back.dst != in.from {
				t.Errorf("the answer goes from %v to %v", back.from, back.dst)
			}
			seen = append(seen, led)
		}
		if seen[0].from == seen[1].from || seen[0].from.Port() != 40000 {
			t.Errorf("the backend sees %v and %v", seen[0].from, seen[1].from)
		}
	})
}

// Under session affinity all ports of a client have one backend, by its address alone;
// without it they are spread.
func TestPacketAffinity(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	each(t, func(t *testing.T, f family, protocol uint8) {
		for _, affinity := range []time.Duration{0, time.Hour} {
			seen := map[netip.AddrPort]int{}
			for port := range uint16(32) {
				in := f.to(twice, protocol)
				in.from = netip.AddrPortFrom(f.client, 42000+port+uint16(affinity/time.Hour)*100)
				if port == 0 {
					all, _ := r.Frontends.All()
					n := all[Frontend{Address: in.dst, Protocol: protocol, Scope: ScopePacket}]
					s := r.Services.Read(n)
					s.Affinity = affinity
					r.Services.Write(n, s)
				}
				seen[r.forwards(t, in).dst]++
			}
			if want := map[bool]int{true: 1, false: 2}[affinity > 0]; len(seen) != want {
				t.Errorf("affinity %v: %v", affinity, seen)
			}
		}
	})
}

// A connection that both ends have ended, or one has cut, begins anew with its next SYN.
func TestPacketConnectionEnds(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	for _, f := range families {
		for _, cut := range []bool{false, true} {
			in := f.to(elsewhere, unix.IPPROTO_TCP)
			in.from = netip.AddrPortFrom(f.client, map[bool]uint16{false: 43000, true: 43001}[cut])
			led := r.forwards(t, in)
			r.forwards(t, answers(led))
			in.flags = ack | fin
			if cut {
				in.flags = rst
			}
			r.forwards(t, in)
			r.forwards(t, frame{from: led.dst, dst: led.from, protocol: unix.IPPROTO_TCP, ttl: 9, flags: ack | fin})
			in.flags = ack
			if got := r.forwards(t, in); got.dst != led.dst {
				t.Errorf("the last ACK goes to %v", got.dst)
			}
			before := r.counts(t)
			in.flags = syn
			r.forwards(t, in)
			if now := r.counts(t); now.Moved != before.Moved+1 || now.Begun != before.Begun+1 {
				t.Errorf("%s, cut %v: the next SYN begins no flow", f.name, cut)
			}
		}
	}
}

// When every backend is held for down, the first choice is tried anyway, by all the
// packets of a flow: our eyes may be wrong. A verdict that comes later ends the flow.
func TestPacketPanic(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	each(t, func(t *testing.T, f family, protocol uint8) {
		its, other := r.backendOf(t, netip.AddrPortFrom(f.remote, pod+1), protocol), r.backendOf(t, netip.AddrPortFrom(f.second, pod+1), protocol)
		verdict := func(bits uint8, backends ...uint32) {
			for _, b := range backends {
				r.Nodes.Set(r.Backends.Read(b).Node, bits)
			}
		}
		down := PodsDown
		defer verdict(0, its, other)
		verdict(down, its, other)
		in := f.to(twice, protocol)
		first := r.forwards(t, in)
		if first.dst.Addr() != f.remote {
			its, other = other, its
		}
		begun := r.counts(t).Begun
		same := func(what string) {
			t.Helper()
			if got := r.forwards(t, in); got.dst != first.dst || got.from != first.from {
				t.Errorf("%s goes to %v from %v, the first went to %v from %v", what, got.dst, got.from, first.dst, first.from)
			}
		}
		same("a repetition")
		in.flags, in.ack = ack, 1
		same("the next")
		if got := r.counts(t).Begun; got != begun {
			t.Errorf("%d more flows began", got-begun)
		}

		// Another one lives: what has no beginning, or begins, goes there.
		verdict(0, other)
		if protocol == unix.IPPROTO_TCP {
			same("what is open")
			in.flags = syn
		}
		if got := r.forwards(t, in); got.dst != r.Backends.Read(other).Address {
			t.Errorf("with another one that lives: to %v", got.dst)
		}

		// It is up after all, and goes down: that counts.
		verdict(down, other)
		in = f.to(twice, protocol)
		in.from = netip.AddrPortFrom(f.client, 40001)
		led := r.forwards(t, in)
		verdict(0, its, other)
		in.flags, in.ack = ack, 1
		r.forwards(t, in)
		if led.dst != r.Backends.Read(its).Address {
			its, other = other, its
		}
		verdict(down, its)
		got := r.forwards(t, in)
		if protocol == unix.IPPROTO_TCP && got.flags&rst == 0 || protocol == unix.IPPROTO_UDP && got.dst != r.Backends.Read(other).Address {
			t.Errorf("after it was up: to %v, flags %d", got.dst, got.flags)
		}
	})
}

// A backend at the node's own address is on this node, also where nobody says so.
func TestPacketsToTheNode(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	number := uint32(100)
	each(t, func(t *testing.T, f family, protocol uint8) {
		number++
		at := netip.AddrPortFrom(f.node, pod)
		r.put(t, number, Frontend{Address: netip.AddrPortFrom(f.service, 99), Protocol: protocol, Scope: ScopePacket}, Backend{Address: at, State: Active, Kind: Host})
		in := f.to(99, protocol)
		verdict, b := r.enters(t, in)
		if verdict != passed {
			t.Fatalf("verdict %d: %+v", int32(verdict), r.counts(t))
		}
		if led := parseFrame(t, b); led.dst != at || led.from != in.from {
			t.Errorf("it goes to %v, from %v", led.dst, led.from)
		}
	})
}

// A SYN that is sent again goes to another backend where the first takes no client any
// more and did not answer; what was answered stays.
func TestPacketUnanswered(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	port := uint16(44000)
	for _, f := range families {
		for _, state := range []State{Down, Draining} {
			for _, answered := range []bool{false, true} {
				port++
				in, led, its, other := r.opens(t, f, unix.IPPROTO_TCP, port)
				if answered {
					r.forwards(t, answers(led))
				}
				r.Backends.SetState(its, state)
				r.fill(its, other)
				in.flags = syn
				if got := r.forwards(t, in); (got.dst == led.dst) != answered {
					t.Errorf("%s, answered %v, state %d: from %v to %v", f.name, answered, state, led.dst, got.dst)
				}
				r.Backends.SetState(its, Active)
				r.fill(its, its, other)
			}
		}
	}
}

// The port of a flow is of another hash than its backend: each has all ports to begin with.
func TestPacketPortsOfEachBackend(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	each(t, func(t *testing.T, f family, protocol uint8) {
		its := r.backendOf(t, netip.AddrPortFrom(f.remote, pod+1), protocol)
		other := r.backendOf(t, netip.AddrPortFrom(f.second, pod+1), protocol)
		e := r.Services.Read(r.Backends.Read(its).Service).Primary
		slots := slices.Repeat([]uint32{its}, int(e.Size))
		for i := len(slots) / 2; i < len(slots); i++ {
			slots[i] = other
		}
		r.Slots.Write(e.Offset, slots)
		low := map[netip.Addr]int{}
		for i := range uint16(100) {
			in := f.to(twice, protocol)
			in.from = netip.AddrPortFrom(f.client, 45000+i)
			led := r.forwards(t, in)
			if led.from.Port() < DefaultFirstPort+DefaultPorts/2 {
				low[led.dst.Addr()]++
			}
		}
		if low[f.remote] < 5 || low[f.second] < 5 {
			t.Errorf("of 100 flows the ports in the lower half are %v", low)
		}
	})
}

// A port of a connection that was closed is left to the backend while that may be in
// TIME_WAIT, as long as there is another.
func TestPacketPortsThatWait(t *testing.T) {
	r := newRoad(t, PacketsConfig{FirstPort: 20000, Ports: 2})
	for _, f := range families {
		var ports []uint16
		opens := func(client uint16) frame {
			in := f.to(elsewhere, unix.IPPROTO_TCP)
			in.from = netip.AddrPortFrom(f.client, client)
			led := r.forwards(t, in)
			ports = append(ports, led.from.Port())
			return led
		}
		closes := func(led frame, client uint16) {
			r.forwards(t, answers(led))
			in := f.to(elsewhere, unix.IPPROTO_TCP)
			in.from, in.flags = netip.AddrPortFrom(f.client, client), rst
			r.forwards(t, in)
		}
		closes(opens(46000), 46000)
		r.ages(t, 30*time.Second)
		closes(opens(46001), 46001)
		r.ages(t, 30*time.Second) // the first is 60 s old now
		r.ages(t, time.Millisecond)
		opens(46002)
		opens(46003) // no other is left
		if ports[0] == ports[1] || ports[2] != ports[0] || ports[3] != ports[1] {
			t.Errorf("%s: ports %v", f.name, ports)
		}
	}
}

// Packets of one flow that begin it at once on two CPUs come to one port: the entry that
// another one added is the flow's own, and what is complete is not taken apart.
func TestPacketBegunTwice(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	each(t, func(t *testing.T, f family, protocol uint8) {
		for _, port := range []uint16{here, elsewhere} {
			in := f.to(port, protocol)
			in.from = netip.AddrPortFrom(f.client, 47000)
			first := r.led(t, in)
			// As it is when the other CPU has taken the port, and is about to add the flow.
			r.deletes(t, packetMapUnanswered, in.from)
			if again := r.led(t, in); again.from != first.from || again.dst != first.dst {
				t.Errorf("port %d: from %v to %v, and from %v to %v", port, first.from, first.dst, again.from, again.dst)
			}
			if !r.speaksFor(t, f, answers(first), in.dst) {
				t.Errorf("port %d: the answer is not translated", port)
			}
		}
	})
}

// deletes takes the entry of a client's flow out of a map.
func (r *road) deletes(t *testing.T, name string, client netip.AddrPort) {
	t.Helper()
	m := r.flows[name]
	var key, value []byte
	var found [][]byte
	entries := m.Iterate()
	for entries.Next(&key, &value) {
		if binary.BigEndian.Uint16(key[32:]) == client.Port() {
			found = append(found, slices.Clone(key))
		}
	}
	if err := entries.Err(); err != nil || len(found) == 0 {
		t.Fatalf("%d entries: %v", len(found), err)
	}
	for _, key := range found {
		if err := m.Delete(key); err != nil {
			t.Fatal(err)
		}
	}
}
