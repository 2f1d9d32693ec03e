package bpf

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// peers are the nodes on which the backends elsewhere are: number 2.
var peers = map[string]netip.Addr{"IPv4": netip.MustParseAddr("10.1.2.200"), "IPv6": netip.MustParseAddr("fd00:10:2::200")}

// allTunnels are those of that node.
var allTunnels = Tunnel{V4: peers["IPv4"], V6: peers["IPv6"], Open4: true, Open6: true}

// newTunnels is a road on which packets go in tunnels, and may come in such.
func newTunnels(t *testing.T) *road {
	t.Helper()
	return newTunnelsBy(t, XDPOff)
}

// newTunnelsBy is newTunnels with a mode of XDP.
func newTunnelsBy(t *testing.T, mode XDP) *road {
	t.Helper()
	r := newRoad(t, PacketsConfig{Direct: DirectTCP | DirectUDP, ProbePort: DefaultProbePort, XDP: mode})
	if err := r.SetTunnel(2, allTunnels); err != nil {
		t.Fatal(err)
	}
	owned := map[netip.Addr]Owned{}
	for _, f := range families {
		owned[f.node], owned[f.service], owned[f.idle] = NodeAddress, ServiceAddress|Pinged, ServiceAddress
		owned[peers[f.name]] = PeerAddress
	}
	if err := r.SetOwned(owned); err != nil {
		t.Fatal(err)
	}
	number := uint32(100)
	each(t, func(t *testing.T, f family, protocol uint8) {
		number++
		r.put(t, number, Frontend{Address: netip.AddrPortFrom(f.service, elsewhere), Protocol: protocol, Scope: ScopeTunnel},
			Backend{Address: netip.AddrPortFrom(f.local, pod), State: Active, Node: thisNode})
	})
	return r
}

// wrapped returns a packet within one between nodes.
func wrapped(f family, from, to netip.Addr, inner frame) frame {
	outer := frame{from: netip.AddrPortFrom(from, 0), dst: netip.AddrPortFrom(to, 0), ttl: 64, protocol: unix.IPPROTO_IPIP, payload: inner.ip()}
	if !inner.v4() {
		outer.protocol = unix.IPPROTO_IPV6
	}
	return outer
}

// TestTunnelOut holds that a client's packet goes to the backend's node as it came, byte
// by byte, also one of a connection that began elsewhere.
func TestTunnelOut(t *testing.T) {
	r := newTunnels(t)
	each(t, func(t *testing.T, f family, protocol uint8) {
		for _, flags := range []uint8{syn, ack, ack | fin} {
			in := f.to(elsewhere, protocol)
			in.flags = flags
			if flags == ack {
				in.from = netip.AddrPortFrom(in.from.Addr(), in.from.Port()+1) // began elsewhere
			}
			before := r.counts(t)
			verdict, out := r.enters(t, in)
			if verdict != redirected {
				t.Fatalf("flags %d: verdict %d; %+v", flags, int32(verdict), r.counts(t))
			}
			if want := f.tunnelled(in); !bytes.Equal(out[12:], want[12:]) {
				t.Errorf("flags %d: it came out as\n% x, want\n% x", flags, out[12:], want[12:])
			}
			if now := r.counts(t); now.Tunnelled != before.Tunnelled+1 {
				t.Errorf("counted: %+v, before %+v", now, before)
			}
		}
	})
}

// tunnelled is what a packet is like that went to the backend's node.
func (f family) tunnelled(in frame) []byte {
	in.ttl--
	out := wrapped(f, f.node, peers[f.name], in)
	out.id = 0
	b := out.bytes()
	if f.v4() {
		dontFragment(b)
	}
	return b
}

// TestTunnelCloses holds that a flow begins anew, with a SYN or a datagram, where the
// backend's node takes no tunnels any more, and that a connection goes on; which is reset
// where it is not known any more where its tunnel ends.
func TestTunnelCloses(t *testing.T) {
	r := newTunnels(t)
	each(t, func(t *testing.T, f family, protocol uint8) {
		in := f.to(elsewhere, protocol)
		if _, out := r.enters(t, in); !bytes.Equal(out[12:], f.tunnelled(in)[12:]) {
			t.Fatalf("it came out as % x", out)
		}
		defer r.SetTunnel(2, allTunnels)
		set := func(to Tunnel) {
			if err := r.SetTunnel(2, to); err != nil {
				t.Fatal(err)
			}
		}
		set(Tunnel{V4: peers["IPv4"], V6: peers["IPv6"]})
		data := in
		data.flags = ack
		if _, out := r.enters(t, data); protocol == unix.IPPROTO_TCP && !bytes.Equal(out[12:], f.tunnelled(data)[12:]) {
			t.Errorf("closed, a segment came out as % x", out)
		}
		checkLed(t, f, in, r.forwards(t, in), false)
		set(allTunnels)
		in.from = netip.AddrPortFrom(in.from.Addr(), in.from.Port()+1)
		if _, out := r.enters(t, in); !bytes.Equal(out[12:], f.tunnelled(in)[12:]) {
			t.Fatalf("it came out as % x", out)
		}
		set(Tunnel{})
		data = in
		data.flags = ack
		switch back := r.forwards(t, data); {
		case protocol == unix.IPPROTO_TCP && (back.dst != in.from || back.flags&rst == 0):
			t.Errorf("a segment is answered by %+v", back)
		case protocol == unix.IPPROTO_UDP:
			checkLed(t, f, in, back, false)
		}
		checkLed(t, f, in, r.forwards(t, in), false)
	})
}

// TestTunnelErrors holds that an ICMP error about an answer finds the backend's node, also
// by a node that does not know the flow, and there the backend; and that one that nothing
// was sent for ends there.
func TestTunnelErrors(t *testing.T) {
	r := newTunnels(t)
	each(t, func(t *testing.T, f family, protocol uint8) {
		in := f.to(elsewhere, protocol)
		answer := frame{from: in.dst, dst: in.from, protocol: protocol, ttl: 8, flags: ack, payload: []byte("abc")}
		e := tooBig(f, answer, 1000)
		if verdict, out := r.enters(t, e); verdict != redirected || !bytes.Equal(out[12:], f.tunnelled(e)[12:]) {
			t.Errorf("of a flow that is not known: verdict %d, as\n% x", int32(verdict), out)
		}
		before := r.counts(t).Dropped["unknown flow"]
		if verdict, _ := r.enters(t, wrapped(f, peers[f.name], f.node, e)); verdict != shot || r.counts(t).Dropped["unknown flow"] != before+1 {
			t.Errorf("at the backend's node, that does not know it either: verdict %d", int32(verdict))
		}
		r.enters(t, in)
		if verdict, out := r.enters(t, e); verdict != redirected || !bytes.Equal(out[12:], f.tunnelled(e)[12:]) {
			t.Errorf("of a flow that is known: verdict %d, as\n% x", int32(verdict), out)
		}
		in.from = netip.AddrPortFrom(in.from.Addr(), in.from.Port()+1)
		_, b := r.enters(t, wrapped(f, peers[f.name], f.node, in))
		led := parseFrame(t, b)
		answer.dst = in.from
		verdict, b := r.enters(t, wrapped(f, peers[f.name], f.node, tooBig(f, answer, 1000)))
		got := parseFrame(t, b)
		if about := inner(t, got, true); verdict != passed || got.dst.Addr() != f.local || about.from != led.dst || about.dst != led.from {
			t.Errorf("at the backend's node: verdict %d, %v hears that %v → %v was too big", int32(verdict), got.dst, about.from, about.dst)
		}
	})
}

// dontFragment sets the flag of an IPv4 frame.
func dontFragment(b []byte) {
	b[20] |= 0x40
	b[24], b[25] = 0, 0
	binary.BigEndian.PutUint16(b[24:], ^sum(b[14:34]))
}

// TestTunnelIn holds that what another node sends here comes to a backend on this node,
// which answers from the frontend's address.
func TestTunnelIn(t *testing.T) {
	r := newTunnels(t)
	each(t, func(t *testing.T, f family, protocol uint8) {
		in := f.to(elsewhere, protocol)
		verdict, out := r.enters(t, wrapped(f, peers[f.name], f.node, in))
		if verdict != passed {
			t.Fatalf("verdict %d; %+v", int32(verdict), r.counts(t))
		}
		got := parseFrame(t, out)
		checkLed(t, f, in, got, true)
		_, back := r.leaves(t, answers(got))
		if a := parseFrame(t, back); a.from != in.dst || a.dst != in.from {
			t.Errorf("the answer goes from %v to %v, want %v to %v", a.from, a.dst, in.dst, in.from)
		}
	})
}

// TestTunnelAfterAnother holds that what another node sends here is led to the backend here,
// the second packet as the first, although this node led a flow of the same client's port
// elsewhere before.
func TestTunnelAfterAnother(t *testing.T) {
	r := newTunnels(t)
	each(t, func(t *testing.T, f family, protocol uint8) {
		in := f.to(elsewhere, protocol)
		if err := r.SetTunnel(2, Tunnel{}); err != nil {
			t.Fatal(err)
		}
		_, out := r.enters(t, in)
		if verdict, _ := r.enters(t, answers(parseFrame(t, out))); verdict != redirected {
			t.Fatalf("the answer from elsewhere: verdict %d; %+v", int32(verdict), r.counts(t))
		}
		next := in
		next.flags = ack
		if verdict, _ := r.enters(t, next); verdict != redirected {
			t.Fatalf("what goes elsewhere: verdict %d; %+v", int32(verdict), r.counts(t))
		}
		for _, in := range []frame{in, next} {
			verdict, out := r.enters(t, wrapped(f, peers[f.name], f.node, in))
			if verdict != passed {
				t.Fatalf("flags %d: verdict %d; %+v", in.flags, int32(verdict), r.counts(t))
			}
			got := parseFrame(t, out)
			checkLed(t, f, in, got, true)
			r.leaves(t, answers(got))
		}
	})
}

func (f family) v4() bool { return f.node.Is4() }

// TestSegmentsFit holds that a client is told of segments that fit into a tunnel, by the
// answer to its SYN, wherever the option is; and that a smaller size stays.
func TestSegmentsFit(t *testing.T) {
	r := newTunnels(t)
	for _, f := range families {
		fits := uint16(1500 - 20 - 20 - 20)
		if !f.v4() {
			fits = 1500 - 40 - 40 - 20
		}
		for name, c := range map[string]struct {
			options []byte
			at      int // of the size
		}{
			"first":    {[]byte{2, 4, 0, 0, 1, 1, 1, 0}, 2},
			"odd":      {[]byte{1, 2, 4, 0, 0, 1, 1, 0}, 3},
			"behind":   {[]byte{3, 3, 7, 1, 4, 2, 2, 4, 0, 0, 0, 0}, 8},
			"twelfth":  {[]byte{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 0, 0, 0}, -1},
			"none":     {[]byte{4, 2, 1, 1}, -1},
			"nonsense": {[]byte{5, 0, 2, 4, 0, 0, 0, 0}, -1},
			"cut":      {[]byte{1, 1, 2, 4}, -1},
		} {
			for _, size := range []uint16{9000, fits + 1, fits, 536} {
				t.Run(f.name+"/"+name, func(t *testing.T) {
					in := f.to(elsewhere, unix.IPPROTO_TCP)
					in.from = netip.AddrPortFrom(in.from.Addr(), 2000+size)
					_, out := r.enters(t, wrapped(f, peers[f.name], f.node, in))
					answer := answers(parseFrame(t, out))
					answer.payload, answer.tcpOptions = nil, sized(c.options, c.at, size)
					_, back := r.leaves(t, answer)
					answer.from, answer.dst, answer.tcpOptions = in.dst, in.from, sized(c.options, c.at, min(size, fits))
					if want := answer.bytes(); !bytes.Equal(back, want) {
						t.Errorf("size %d: it left as\n% x, want\n% x", size, back, want)
					}
				})
			}
		}
	}
}

// sized returns options with the size of segments at a place.
func sized(options []byte, at int, size uint16) []byte {
	options = slices.Clone(options)
	if at >= 0 {
		binary.BigEndian.PutUint16(options[at:], size)
	}
	return options
}

// TestTunnelTooBig holds that who sends a packet that does not fit into the tunnel is
// told what would, and that one byte less goes.
func TestTunnelTooBig(t *testing.T) {
	r := newTunnels(t)
	for _, f := range families {
		for name, protocol := range map[string]uint8{"TCP": unix.IPPROTO_TCP, "UDP": unix.IPPROTO_UDP} {
			t.Run(f.name+"/"+name, func(t *testing.T) {
				overhead, transport := f.overhead(), 8
				ip := overhead
				if protocol == unix.IPPROTO_TCP {
					transport = 20
				}
				in := f.to(elsewhere, protocol)
				in.payload = bytes.Repeat([]byte("x"), 1500-overhead-ip-transport)
				sent := func(more int) (uint32, []byte, []byte) {
					f := in
					f.to = [6]byte(r.uplink.Attrs().HardwareAddr)
					f.payload = append(slices.Clone(in.payload), make([]byte, more)...)
					b := f.bytes()
					if f.v4() {
						dontFragment(b)
					}
					verdict, out := r.sends(t, r.in.program, slices.Clone(b))
					return verdict, b, out
				}
				if verdict, _, out := sent(0); verdict != redirected || len(out) != 14+1500 {
					t.Fatalf("what fits: verdict %d, %d bytes", int32(verdict), len(out))
				}
				before := r.counts(t)
				verdict, b, out := sent(1)
				if now := r.counts(t); verdict != redirected || now.Dropped["too big"] != before.Dropped["too big"]+1 {
					t.Fatalf("verdict %d, %+v", int32(verdict), now)
				}
				quoted := slices.Clone(b[14 : 14+ip+transport])
				lessOneHop(quoted)
				want := frame{from: netip.AddrPortFrom(in.dst.Addr(), 0), dst: netip.AddrPortFrom(in.from.Addr(), 0), ttl: 64, protocol: unix.IPPROTO_ICMP}
				kind := []byte{3, 4, 0, 0}
				if !f.v4() {
					want.protocol, kind = unix.IPPROTO_ICMPV6, []byte{2, 0, 0, 0}
				}
				want.payload = append(binary.BigEndian.AppendUint32(kind, uint32(1500-overhead)), quoted...)
				if expected := want.bytes(); !bytes.Equal(out[12:], expected[12:]) || !bytes.Equal(out[:6], b[6:12]) || !bytes.Equal(out[6:12], b[:6]) { // back to whence it came
					t.Errorf("it is told by\n% x, want\n% x", out, expected)
				}
			})
		}
	}
}

// lessOneHop takes one off the time to live of an IP packet.
func lessOneHop(ip []byte) {
	if ip[0]>>4 == 6 {
		ip[7]--
		return
	}
	ip[8]--
	ip[10], ip[11] = 0, 0
	binary.BigEndian.PutUint16(ip[10:], ^sum(ip[:20]))
}

// TestTunnelsOfOthers holds that tunnels that are none of ours are left alone, byte by
// byte: from who is no node, to a pod as network plugins have them, of another family,
// and in pieces.
func TestTunnelsOfOthers(t *testing.T) {
	r := newTunnels(t)
	for i, f := range families {
		other := families[1-i]
		in := f.to(elsewhere, unix.IPPROTO_TCP)
		toPod := in
		toPod.dst = netip.AddrPortFrom(f.local, pod)
		piece := wrapped(f, peers[f.name], f.node, in)
		piece.more, piece.id = true, 7
		mixed := wrapped(f, peers[f.name], f.node, other.to(elsewhere, unix.IPPROTO_TCP))
		mixed.protocol = map[bool]uint8{true: unix.IPPROTO_IPV6, false: unix.IPPROTO_IPIP}[f.v4()]
		for name, c := range map[string]frame{
			"from who is no node": wrapped(f, f.client, f.node, in),
			"to a pod":            wrapped(f, peers[f.name], f.node, toPod),
			"in pieces":           piece,
			"of another family":   mixed,
		} {
			t.Run(f.name+"/"+name, func(t *testing.T) {
				c.to = [6]byte(r.uplink.Attrs().HardwareAddr)
				b := c.bytes()
				verdict, out := r.sends(t, r.in.program, slices.Clone(b))
				if verdict != passed || !bytes.Equal(out, b) {
					t.Errorf("verdict %d, it left as\n% x, came as\n% x", int32(verdict), out, b)
				}
			})
		}
	}
}

// TestTunnelEndsHere holds that what comes in a tunnel goes no further: to a service
// without a backend here, of a connection that is not known, and of what is no packet to
// a service.
func TestTunnelEndsHere(t *testing.T) {
	r := newTunnels(t)
	for _, f := range families {
		nested := wrapped(f, peers[f.name], f.service, f.to(elsewhere, unix.IPPROTO_TCP))
		unknown := f.to(elsewhere, unix.IPPROTO_TCP)
		unknown.flags, unknown.from = ack, netip.AddrPortFrom(f.client, 999)
		ping := frame{from: netip.AddrPortFrom(f.client, 0), dst: netip.AddrPortFrom(f.service, 0), ttl: 9, protocol: unix.IPPROTO_ICMP, payload: []byte{8, 0, 0, 0, 0, 1, 0, 1}}
		if !f.v4() {
			ping.protocol, ping.payload = unix.IPPROTO_ICMPV6, []byte{128, 0, 0, 0, 0, 1, 0, 1}
		}
		for name, c := range map[string]struct {
			inner   frame
			verdict uint32
			counted func(PacketCounters) uint64
		}{
			"a port without a backend here": {f.to(here, unix.IPPROTO_TCP), shot, func(c PacketCounters) uint64 { return c.Dropped["no port"] }},
			"another tunnel":                {nested, shot, func(c PacketCounters) uint64 { return c.Dropped["no port"] }},
			"a connection not known":        {unknown, redirected, func(c PacketCounters) uint64 { return c.Reset }},
		} {
			t.Run(f.name+"/"+name, func(t *testing.T) {
				before := c.counted(r.counts(t))
				verdict, out := r.enters(t, wrapped(f, peers[f.name], f.node, c.inner))
				if now := r.counts(t); verdict != c.verdict || c.counted(now) != before+1 {
					t.Fatalf("verdict %d, %+v", int32(verdict), now)
				}
				if verdict != redirected {
					return
				}
				if back := parseFrame(t, out); back.from != c.inner.dst || back.dst != c.inner.from || back.flags&rst == 0 {
					t.Errorf("the reset is %+v", back)
				}
			})
		}
	}
}

// TestTunnelProbe holds that a probe in a tunnel comes out of it, for the responder.
func TestTunnelProbe(t *testing.T) {
	r := newTunnels(t)
	for _, f := range families {
		inner := frame{from: netip.AddrPortFrom(peers[f.name], 40000), dst: netip.AddrPortFrom(f.node, DefaultProbePort), ttl: 64, protocol: unix.IPPROTO_UDP, payload: []byte("a probe")}
		verdict, out := r.enters(t, wrapped(f, peers[f.name], f.node, inner))
		if verdict != redirected || !bytes.Equal(out[14:], inner.ip()) {
			t.Errorf("%s: verdict %d, % x", f.name, int32(verdict), out)
		}
	}
}
