package bpf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"tombolo.io/tombolo/bpf/bpftest"
)

// family is the addresses of one family in a packet test.
type family struct {
	name                        string
	client, node, service       netip.Addr
	local, remote, second, idle netip.Addr
	gateway                     netip.Addr
	networks                    []netip.Prefix // behind the gateway
}

var families = []family{{
	name: "IPv4", client: netip.MustParseAddr("198.51.100.7"), node: netip.MustParseAddr("192.0.2.1"),
	service: netip.MustParseAddr("203.0.113.16"), idle: netip.MustParseAddr("203.0.113.17"),
	local: netip.MustParseAddr("10.1.1.5"), remote: netip.MustParseAddr("10.1.2.5"), second: netip.MustParseAddr("10.1.2.6"),
	gateway:  netip.MustParseAddr("192.0.2.254"),
	networks: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("10.1.2.0/24")},
}, {
	name: "IPv6", client: netip.MustParseAddr("2001:db8:51::7"), node: netip.MustParseAddr("2001:db8:2::1"),
	service: netip.MustParseAddr("2001:db8:113::16"), idle: netip.MustParseAddr("2001:db8:113::17"),
	local: netip.MustParseAddr("fd00:10:1::5"), remote: netip.MustParseAddr("fd00:10:2::5"), second: netip.MustParseAddr("fd00:10:2::6"),
	gateway:  netip.MustParseAddr("2001:db8:2::254"),
	networks: []netip.Prefix{netip.MustParsePrefix("2001:db8:51::/64"), netip.MustParsePrefix("fd00:10:2::/64")},
}}

// The ports of the services of a road, and of their backends.
const (
	elsewhere = 80 // its backend is on another node
	here      = 81 // on this node
	nowhere   = 82 // none
	twice     = 83 // two on another node
	pod       = 8080
)

// thisNode is the number of the node.
const thisNode = 1

// road is a node with an uplink to a router, and the packet path on it.
type road struct {
	*world
	*Packets
	ns     *bpftest.Net
	router *bpftest.Net
	uplink netlink.Link
}

func newRoad(t *testing.T, cfg PacketsConfig) *road {
	t.Helper()
	return newRoadBy(t, cfg, wire)
}

// wiring makes eth0 at both ends of a wire.
type wiring func(t *testing.T, here, there *bpftest.Net)

func wire(t *testing.T, here, there *bpftest.Net) { here.Wire(t, "eth0", there, "eth0") }

// newRoadBy is newRoad with an uplink by a wire of some kind.
func newRoadBy(t *testing.T, cfg PacketsConfig, w wiring) *road {
	t.Helper()
	env := bpftest.New(t)
	r := &road{world: &world{Env: env, Datapath: load(t, env, SmallSizes()), backends: 1}, ns: bpftest.NewNet(t), router: bpftest.NewNet(t)}
	w(t, r.ns, r.router)
	for _, f := range families {
		bits := map[bool]int{true: 24, false: 64}[f.node.Is4()]
		r.ns.Address(t, "eth0", netip.PrefixFrom(f.node, bits))
		r.router.Address(t, "eth0", netip.PrefixFrom(f.gateway, bits))
		for _, n := range f.networks {
			r.ns.Route(t, n, f.gateway)
		}
	}
	err := r.ns.Do(func() (err error) {
		for _, path := range []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"} {
			err = errors.Join(err, os.WriteFile(path, []byte("1"), 0o644))
		}
		if err == nil {
			r.uplink, err = netlink.LinkByName("eth0")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Nodes.Set(thisNode, ThisNode)
	r.load(t, cfg)
	r.services(t)
	return r
}

func (r *road) load(t *testing.T, cfg PacketsConfig) {
	t.Helper()
	cfg.BPFFS = r.BPFFS
	if cfg.Flows == 0 {
		cfg.Flows = 1 << 12
	}
	p, err := LoadPackets(cfg, r.Datapath)
	if err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(func() { p.Close() })
	r.Packets = p
	owned := map[netip.Addr]Owned{}
	for _, f := range families {
		owned[f.node], owned[f.service], owned[f.idle] = NodeAddress, ServiceAddress|Pinged, ServiceAddress
	}
	if err := errors.Join(p.SetOwned(owned), p.SetSources(families[0].node, families[1].node)); err != nil {
		t.Fatal(err)
	}
}

// services puts those of every family and protocol; that of TCP, IPv4 and a backend
// elsewhere has number 1.
func (r *road) services(t *testing.T) {
	number := uint32(0)
	for _, f := range families {
		for _, protocol := range []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
			for _, s := range []struct {
				port     uint16
				backends []Backend
			}{
				{elsewhere, []Backend{{Address: netip.AddrPortFrom(f.remote, pod), State: Active, Node: 2}}},
				{here, []Backend{{Address: netip.AddrPortFrom(f.local, pod), State: Active, Node: thisNode}}},
				{nowhere, nil},
				{twice, []Backend{
					{Address: netip.AddrPortFrom(f.remote, pod+1), State: Active, Node: 2},
					{Address: netip.AddrPortFrom(f.second, pod+1), State: Active, Node: 3},
				}},
			} {
				number++
				r.put(t, number, Frontend{Address: netip.AddrPortFrom(f.service, s.port), Protocol: protocol, Scope: ScopePacket}, s.backends...)
			}
		}
	}
}

// backendOf returns the number of the only backend that has an address and protocol.
func (r *road) backendOf(t *testing.T, at netip.AddrPort, protocol uint8) uint32 {
	t.Helper()
	for n := uint32(1); n < r.world.backends; n++ {
		if b := r.Backends.Read(n); b.Address == at && b.Protocol == protocol {
			return n
		}
	}
	t.Fatalf("no backend %v", at)
	return 0
}

// Verdicts of tc.
const (
	passed     = ^uint32(0) // TC_ACT_UNSPEC
	shot       = 2          // TC_ACT_SHOT
	redirected = 7          // TC_ACT_REDIRECT
)

// sends runs a program on bytes that came by the uplink, or leave by it.
func (r *road) sends(t *testing.T, p *ebpf.Program, b []byte) (uint32, []byte) {
	t.Helper()
	var verdict uint32
	var out []byte
	if err := r.ns.Do(func() (err error) { verdict, out, err = r.runs(p, b); return err }); err != nil {
		t.Fatalf("running on % x: %v", b, err)
	}
	return verdict, out
}

// runs is sends for a thread in the node's namespace.
func (r *road) runs(p *ebpf.Program, b []byte) (verdict uint32, out []byte, err error) {
	opts := runOn(r.uplink, b)
	verdict, err = p.Run(opts)
	return verdict, opts.DataOut, err
}

// enters and leaves run the program of either side on a frame.
func (r *road) enters(t *testing.T, f frame) (uint32, []byte) {
	t.Helper()
	f.to = [6]byte(r.uplink.Attrs().HardwareAddr)
	return r.sends(t, r.in.program, f.bytes())
}

func (r *road) leaves(t *testing.T, f frame) (uint32, []byte) {
	t.Helper()
	return r.sends(t, r.out.program, f.bytes())
}

// forwards is enters for what is redirected, parsed.
func (r *road) forwards(t *testing.T, f frame) frame {
	t.Helper()
	verdict, b := r.enters(t, f)
	if verdict != redirected {
		t.Fatalf("%v → %v: verdict %d, want a redirection; %+v", f.from, f.dst, int32(verdict), r.counts(t))
	}
	return parseFrame(t, b)
}

func (r *road) counts(t *testing.T) PacketCounters {
	t.Helper()
	c, err := r.Packets.Counters()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// to is a packet of a client to a port of the service.
func (f family) to(port uint16, protocol uint8) frame {
	return frame{
		from: netip.AddrPortFrom(f.client, 40000), dst: netip.AddrPortFrom(f.service, port),
		protocol: protocol, ttl: 60, flags: syn, seq: 1000, payload: []byte("some bytes"),
	}
}

// Flags of TCP.
const (
	fin = 1
	syn = 2
	rst = 4
	ack = 16
)

// each runs a test in each family, with each protocol.
func each(t *testing.T, run func(t *testing.T, f family, protocol uint8)) {
	for _, f := range families {
		for name, protocol := range map[string]uint8{"TCP": unix.IPPROTO_TCP, "UDP": unix.IPPROTO_UDP} {
			t.Run(f.name+"/"+name, func(t *testing.T) { run(t, f, protocol) })
		}
	}
}

// One packet, one mutation a row: what becomes of it, and what is counted.
func TestPacketVerdicts(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	count := func(c PacketCounters) map[string]uint64 {
		all := map[string]uint64{
			"forwarded": c.Forwarded, "delivered": c.Delivered, "answered": c.Answered, "returned": c.Returned,
			"pinged": c.Pinged, "refused": c.Refused, "reset": c.Reset,
		}
		for reason, n := range c.Dropped {
			all[reason] = n
		}
		return all
	}
	const tcp, udp = unix.IPPROTO_TCP, unix.IPPROTO_UDP
	for _, row := range []struct {
		name     string
		port     uint16
		protocol uint8
		mutate   func(*frame)
		raw      func([]byte) []byte
		verdict  uint32
		counter  string // empty: nothing is counted
	}{
		{name: "TCP to a backend elsewhere", port: elsewhere, protocol: tcp, verdict: redirected, counter: "forwarded"},
		{name: "UDP to a backend elsewhere", port: elsewhere, protocol: udp, verdict: redirected, counter: "forwarded"},
		{name: "TCP to a backend here", port: here, protocol: tcp, verdict: passed, counter: "delivered"},
		{name: "UDP to a backend here", port: here, protocol: udp, verdict: passed, counter: "delivered"},
		{name: "no payload", port: elsewhere, protocol: tcp, mutate: func(f *frame) { f.payload = nil }, verdict: redirected, counter: "forwarded"},
		{name: "no checksum", port: elsewhere, protocol: udp, mutate: func(f *frame) { f.noSum = true }, verdict: redirected, counter: "forwarded"},
		{name: "options", port: elsewhere, protocol: tcp, mutate: func(f *frame) {
			f.options, f.extensions = []byte{7, 7, 4, 0, 0, 0, 0, 0}, []byte{0, 0, 1, 4, 0, 0, 0, 0, 1, 6, 0, 0, 0, 0, 0, 0}
		}, verdict: redirected, counter: "forwarded"},
		{name: "its time to live ends", port: elsewhere, protocol: tcp, mutate: func(f *frame) { f.ttl = 1 }, verdict: shot, counter: "time to live"},
		{name: "it would end at a backend here: the kernel says so", port: here, protocol: tcp, mutate: func(f *frame) { f.ttl = 1 }, verdict: passed, counter: "delivered"},
		{name: "a port that no service has", port: 99, protocol: tcp, verdict: shot, counter: "no port"},
		{name: "a protocol that no service has", port: 80, protocol: unix.IPPROTO_GRE, verdict: shot, counter: "no port"},
		{name: "TCP without a backend", port: nowhere, protocol: tcp, verdict: redirected, counter: "refused"},
		{name: "UDP without a backend", port: nowhere, protocol: udp, verdict: shot, counter: "no backend"},
		{name: "a connection that is not known", port: elsewhere, protocol: tcp, mutate: func(f *frame) { f.flags, f.from = ack, netip.AddrPortFrom(f.from.Addr(), 40001) }, verdict: redirected, counter: "reset"},
		{name: "a SYN that is an answer", port: elsewhere, protocol: tcp, mutate: func(f *frame) { f.flags, f.from = syn|ack, netip.AddrPortFrom(f.from.Addr(), 40001) }, verdict: redirected, counter: "reset"},
		{name: "a reset of a connection that is not known", port: elsewhere, protocol: tcp, mutate: func(f *frame) { f.flags, f.from = rst, netip.AddrPortFrom(f.from.Addr(), 40001) }, verdict: shot, counter: "unknown flow"},
		{name: "a later fragment alone", port: elsewhere, protocol: udp, mutate: func(f *frame) { f.id, f.offset = 77, 64 }, verdict: shot, counter: "lone fragment"},
		{name: "half a header", port: elsewhere, protocol: tcp, mutate: func(f *frame) { f.payload = nil }, raw: func(b []byte) []byte { return shorten(b, 8) }, verdict: shot, counter: "malformed"},
		{name: "a header longer than the packet", port: elsewhere, protocol: tcp, mutate: func(f *frame) { f.payload = nil }, raw: func(b []byte) []byte { b[len(b)-20+12] = 15 << 4; return b }, verdict: shot, counter: "malformed"},
		{name: "a datagram longer than the packet", port: elsewhere, protocol: udp, mutate: func(f *frame) { f.payload = nil }, raw: func(b []byte) []byte { b[len(b)-3] = 99; return b }, verdict: shot, counter: "malformed"},
		{name: "a packet longer than the frame", port: elsewhere, protocol: tcp, raw: func(b []byte) []byte { return b[:len(b)-4] }, verdict: passed},
		{name: "for another machine", port: elsewhere, protocol: tcp, raw: func(b []byte) []byte { b[5] ^= 1; return b }, verdict: passed},
		{name: "to another address", port: elsewhere, protocol: tcp, mutate: func(f *frame) { f.dst = netip.AddrPortFrom(f.dst.Addr().Next().Next().Next(), 80) }, verdict: passed},
	} {
		for _, f := range families {
			t.Run(row.name+"/"+f.name, func(t *testing.T) {
				packet := f.to(row.port, row.protocol)
				if row.mutate != nil {
					row.mutate(&packet)
				}
				packet.to = [6]byte(r.uplink.Attrs().HardwareAddr)
				b := packet.bytes()
				if row.raw != nil {
					b = row.raw(b)
				}
				before := count(r.counts(t))
				verdict, out := r.sends(t, r.in.program, slices.Clone(b))
				if verdict != row.verdict {
					t.Errorf("verdict %d, want %d", int32(verdict), int32(row.verdict))
				}
				for name, n := range count(r.counts(t)) {
					if got, want := n-before[name], map[bool]uint64{true: 1}[name == row.counter]; got != want {
						t.Errorf("%s is counted %d times, want %d", name, got, want)
					}
				}
				switch row.counter {
				case "":
					if !bytes.Equal(b, out) {
						t.Errorf("it was changed:\n% x\n% x", b, out)
					}
				case "forwarded", "delivered":
					checkLed(t, f, packet, parseFrame(t, out), row.counter == "delivered")
				}
			})
		}
	}
}

// A service that drops refuses nobody while it has no backend.
func TestPacketNotHere(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	each(t, func(t *testing.T, f family, protocol uint8) {
		in := f.to(nowhere, protocol)
		all, err := r.Frontends.All()
		if err != nil {
			t.Fatal(err)
		}
		n := all[Frontend{Address: in.dst, Protocol: protocol, Scope: ScopePacket}]
		s := r.Services.Read(n)
		s.Drops = true
		r.Services.Write(n, s)
		if got := r.Services.Read(n); got != s {
			t.Errorf("stored %+v, read %+v", s, got)
		}
		before := r.counts(t)
		verdict, _ := r.enters(t, in)
		if now := r.counts(t); verdict != shot || now.Dropped["no backend here"] != before.Dropped["no backend here"]+1 {
			t.Errorf("verdict %d, %+v", int32(verdict), now)
		}
	})
}

// shorten cuts a frame, and has its IP header say so.
func shorten(b []byte, by int) []byte {
	b = b[:len(b)-by]
	if b[12] != 8 {
		binary.BigEndian.PutUint16(b[18:], uint16(len(b)-54))
		return b
	}
	binary.BigEndian.PutUint16(b[16:], uint16(len(b)-14))
	b[24], b[25] = 0, 0
	binary.BigEndian.PutUint16(b[24:], ^sum(b[14:34]))
	return b
}

// checkLed compares what went in with what goes to the backend.
func checkLed(t *testing.T, f family, in, out frame, local bool) {
	t.Helper()
	want := in
	if local {
		want.dst = netip.AddrPortFrom(f.local, pod)
	} else {
		want.dst, want.ttl = netip.AddrPortFrom(f.remote, pod), in.ttl-1
		want.from = netip.AddrPortFrom(f.node, out.from.Port())
		if p := out.from.Port(); p < DefaultFirstPort || p >= DefaultFirstPort+DefaultPorts {
			t.Errorf("port %d is not one of ours", p)
		}
	}
	if in.v4() {
		want.extensions = nil
	} else {
		want.options = nil
	}
	out.to = want.to
	got, expected := out.bytes(), want.bytes()
	if len(want.extensions) > 0 { // its first byte is the next header's
		out.extensions = want.extensions
		got = out.bytes()
	}
	if !bytes.Equal(got, expected) {
		t.Errorf("it came out as\n% x, want\n% x", got, expected)
	}
}

// A conversation goes both ways, and keeps its backend and port.
func TestPacketConversation(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	each(t, func(t *testing.T, f family, protocol uint8) {
		first := r.forwards(t, f.to(elsewhere, protocol))
		answer := answers(first)
		back := r.forwards(t, answer)
		if back.from != f.to(elsewhere, protocol).dst || back.dst != f.to(elsewhere, protocol).from || back.ttl != 8 || string(back.payload) != "an answer" {
			t.Errorf("the answer is %+v", back)
		}
		next := f.to(elsewhere, protocol)
		next.flags = ack
		if again := r.forwards(t, next); again.from != first.from || again.dst != first.dst {
			t.Errorf("the next packet goes from %v to %v, the first went from %v to %v", again.from, again.dst, first.from, first.dst)
		}
		answer.dst = netip.AddrPortFrom(f.node, first.from.Port()+1)
		if verdict, _ := r.enters(t, answer); verdict != passed {
			t.Errorf("what belongs to no flow: verdict %d", int32(verdict))
		}
	})
}

// With a backend on this node the client's address is kept, and the answer is
// translated where it leaves.
func TestPacketLocalConversation(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	each(t, func(t *testing.T, f family, protocol uint8) {
		in := f.to(here, protocol)
		answer := answers(r.led(t, in))
		verdict, b := r.leaves(t, answer)
		if got := parseFrame(t, b); verdict != passed || got.from != in.dst || got.dst != in.from || got.ttl != 9 {
			t.Errorf("verdict %d, from %v to %v", int32(verdict), got.from, got.dst)
		}
		answer.dst = netip.AddrPortFrom(f.client, 41234)
		answer.to = [6]byte{1, 2, 3}
		if _, b := r.leaves(t, answer); !bytes.Equal(b, answer.bytes()) {
			t.Error("what belongs to no flow was changed")
		}
	})
}

// All fragments of a packet take the way of the first.
func TestPacketFragments(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			whole := bytes.Repeat([]byte("0123456789abcdef"), 16)
			first := f.to(elsewhere, unix.IPPROTO_UDP)
			first.id, first.more, first.payload, first.wholePayload = 4711, true, whole[:120], whole
			later := f.to(elsewhere, unix.IPPROTO_UDP)
			later.id, later.offset, later.payload = 4711, 128, whole[120:]
			head, tail := r.forwards(t, first), r.forwards(t, later)
			if tail.dst.Addr() != f.remote || tail.from.Addr() != f.node || !bytes.Equal(tail.payload, later.payload) || tail.offset != 128 {
				t.Errorf("the second went from %v to %v", tail.from, tail.dst)
			}
			// Together they are one datagram again, with the right checksum.
			head.more, head.payload, head.id = false, append(head.payload, tail.payload...), 0
			want := frame{to: head.to, from: head.from, dst: head.dst, protocol: unix.IPPROTO_UDP, ttl: 59, payload: whole}
			if check := want.transport()[6:8]; head.noSum || !bytes.Equal(r.udpSum(t, first), check) {
				t.Errorf("checksum % x, want % x", r.udpSum(t, first), check)
			}
		})
	}
}

// udpSum returns the checksum of a datagram after it was led.
func (r *road) udpSum(t *testing.T, f frame) []byte {
	t.Helper()
	_, b := r.enters(t, f)
	at := 14 + 20
	if !f.v4() {
		at = 14 + 40 + 8
	}
	return b[at+6 : at+8]
}

// A reset answers what belongs to nothing, with the numbers that its receiver takes.
func TestPacketReset(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	for _, f := range families {
		for _, row := range []struct {
			name     string
			port     uint16
			flags    uint8
			seq, ack uint32
			want     uint8
		}{
			{"a SYN that is refused", nowhere, syn, 0, 1000 + 1 + 10, rst | ack},
			{"data of a lost connection", elsewhere, ack, 5555, 0, rst},
			{"the end of a lost connection", elsewhere, ack | fin, 5555, 0, rst},
			{"no flags at all", elsewhere, 0, 0, 1000 + 10, rst | ack},
		} {
			t.Run(f.name+"/"+row.name, func(t *testing.T) {
				in := f.to(row.port, unix.IPPROTO_TCP)
				in.flags, in.ack, in.from = row.flags, 5555, netip.AddrPortFrom(f.client, 45678)
				in.options = []byte{7, 7, 4, 0, 0, 0, 0, 0}
				if !in.v4() {
					in.extensions = []byte{0, 0, 1, 4, 0, 0, 0, 0}
				}
				got := r.forwards(t, in)
				if got.from != in.dst || got.dst != in.from || got.flags != row.want || got.seq != row.seq || got.ack != row.ack || len(got.payload) != 0 {
					t.Errorf("got %+v", got)
				}
			})
		}
	}
}

// ping is an echo request to an address.
func (f family) ping(to netip.Addr) frame {
	p := frame{from: netip.AddrPortFrom(f.client, 0), dst: netip.AddrPortFrom(to, 0), protocol: unix.IPPROTO_ICMP, ttl: 3,
		payload: append([]byte{8, 0, 0, 0, 0, 1, 0, 2}, "ping"...)}
	if !f.client.Is4() {
		p.protocol, p.payload[0] = unix.IPPROTO_ICMPV6, 128
	}
	return p
}

func TestPacketPing(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			got := r.forwards(t, f.ping(f.service))
			kind := byte(0)
			if !f.client.Is4() {
				kind = 129
			}
			if got.from.Addr() != f.service || got.dst.Addr() != f.client || got.payload[0] != kind || string(got.payload[8:]) != "ping" || got.ttl != 64 {
				t.Errorf("got %+v", got)
			}
			if verdict, _ := r.enters(t, f.ping(f.idle)); verdict != shot {
				t.Errorf("without a backend: verdict %d", int32(verdict))
			}
			if verdict, _ := r.enters(t, f.ping(f.node)); verdict != passed {
				t.Errorf("to the node: verdict %d", int32(verdict))
			}
		})
	}
}

// tooBig is an ICMP error about a packet, from a router on the way.
func tooBig(f family, about frame, length int) frame {
	router := f.gateway
	body := about.ip()
	header := []byte{3, 4, 0, 0, 0, 0, 5, 120}
	p := frame{from: netip.AddrPortFrom(router, 0), dst: netip.AddrPortFrom(about.from.Addr(), 0), ttl: 50, protocol: unix.IPPROTO_ICMP}
	if !f.client.Is4() {
		header, p.protocol = []byte{2, 0, 0, 0, 0, 0, 5, 120}, unix.IPPROTO_ICMPV6
	}
	p.payload = append(header, body[:min(length, len(body))]...)
	return p
}

// inner parses the packet in an ICMP error, as far as it is there.
func inner(t *testing.T, e frame, whole bool) frame {
	t.Helper()
	b := append(make([]byte, 12), 8, 0)
	if !e.v4() {
		b = append(make([]byte, 12), 0x86, 0xdd)
	}
	b = append(b, e.payload[8:]...)
	if whole {
		return parseFrame(t, b)
	}
	at := 34
	var out frame
	addr := func(from, to int) netip.Addr { a, _ := netip.AddrFromSlice(b[from:to]); return a }
	if e.v4() {
		if sum(b[14:34]) != 0xffff {
			t.Errorf("the checksum of the inner IPv4 header is wrong")
		}
		out.from, out.dst = netip.AddrPortFrom(addr(26, 30), 0), netip.AddrPortFrom(addr(30, 34), 0)
	} else {
		at = 54
		out.from, out.dst = netip.AddrPortFrom(addr(22, 38), 0), netip.AddrPortFrom(addr(38, 54), 0)
	}
	out.from = netip.AddrPortFrom(out.from.Addr(), binary.BigEndian.Uint16(b[at:]))
	out.dst = netip.AddrPortFrom(out.dst.Addr(), binary.BigEndian.Uint16(b[at+2:]))
	return out
}

// An ICMP error finds the way of its flow, in both directions, and speaks of the
// addresses that its receiver knows.
func TestPacketErrors(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	each(t, func(t *testing.T, f family, protocol uint8) {
		in := f.to(elsewhere, protocol)
		led := r.forwards(t, in)
		header := 20
		if !f.client.Is4() {
			header = 40
		}
		for _, length := range []int{1000, header + 8} {
			whole := length == 1000
			// A router behind the node could not send on what the client sent.
			e := r.forwards(t, tooBig(f, led, length))
			if got := inner(t, e, whole); e.dst.Addr() != f.client || e.from.Addr() != f.service || got.from != in.from || got.dst != in.dst {
				t.Errorf("to the client: %v says to %v that %v → %v was too big", e.from, e.dst, got.from, got.dst)
			}
			// One before the node could not send on the answer.
			answer := frame{from: in.dst, dst: in.from, protocol: protocol, ttl: 8, flags: ack, payload: []byte("abc")}
			e = r.forwards(t, tooBig(f, answer, length))
			if got := inner(t, e, whole); e.dst.Addr() != f.remote || e.from.Addr() != f.node || got.from != led.dst || got.dst != led.from {
				t.Errorf("to the backend: %v says to %v that %v → %v was too big", e.from, e.dst, got.from, got.dst)
			}
		}
		// The same for a backend on this node: the first leaves, the second comes in.
		in = f.to(here, protocol)
		_, b := r.enters(t, in)
		led = parseFrame(t, b)
		_, b = r.leaves(t, tooBig(f, led, 1000))
		e := parseFrame(t, b)
		if got := inner(t, e, true); e.dst.Addr() != f.client || e.from.Addr() != f.service || got.from != in.from || got.dst != in.dst {
			t.Errorf("from here to the client: %v says to %v that %v → %v was too big", e.from, e.dst, got.from, got.dst)
		}
		answer := frame{from: in.dst, dst: in.from, protocol: protocol, ttl: 8, flags: ack, payload: []byte("abc")}
		verdict, b := r.enters(t, tooBig(f, answer, 1000))
		e = parseFrame(t, b)
		if got := inner(t, e, true); verdict != passed || e.dst.Addr() != f.local || e.from.Addr() != f.gateway || got.from != led.dst || got.dst != led.from {
			t.Errorf("to the backend here: verdict %d, %v says to %v that %v → %v was too big", int32(verdict), e.from, e.dst, got.from, got.dst)
		}
		// One that nothing was sent for.
		answer.dst = netip.AddrPortFrom(f.client, 999)
		if verdict, _ := r.enters(t, tooBig(f, answer, 1000)); verdict != shot {
			t.Errorf("about no flow: verdict %d", int32(verdict))
		}
	})
}

// What the flows are said to take is what the kernel takes.
func TestFlowMemory(t *testing.T) {
	const flows = 1 << 14
	r := newRoad(t, PacketsConfig{Flows: flows})
	got := uint64(0)
	for _, name := range []string{packetMapConntrack, packetMapNat, packetMapUnanswered, packetMapUnansweredNat} {
		info, err := r.flows[name].Info()
		if err != nil {
			t.Fatal(err)
		}
		n, known := info.Memlock()
		if !known {
			t.Fatalf("the kernel does not say what map %s takes", name)
		}
		got += n
	}
	if want := FlowMemory(flows); got < want*95/100 || got > want*105/100 {
		t.Errorf("%d flows take %d bytes, said to be %d", flows, got, want)
	}
}

// Every frontend for packets may have an address of its own, and all at once another.
func TestPacketAddresses(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	frontends := SmallSizes().Frontends
	if got := r.Packets.maps[packetMapOwned].MaxEntries(); got != frontends {
		t.Errorf("there is room for %d addresses, and for %d frontends", got, frontends)
	}
	owned := map[netip.Addr]Owned{}
	for a := families[0].service; len(owned) < int(frontends/2); a = a.Next() {
		owned[a] = ServiceAddress
	}
	if err := r.SetOwned(owned); err != nil {
		t.Error(err)
	}
}
