package bpf

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Verdicts of XDP.
const (
	xdpPass     = 2
	xdpTX       = 3
	xdpRedirect = 4
)

// arrives runs the program of XDP on bytes that came by the uplink.
func (r *road) arrives(t *testing.T, b []byte) (uint32, []byte) {
	t.Helper()
	var verdict uint32
	var out []byte
	if err := r.ns.Do(func() (err error) { verdict, out, err = r.runsOnWire(b); return err }); err != nil {
		t.Fatalf("running on % x: %v", b, err)
	}
	return verdict, out
}

func (r *road) runsOnWire(b []byte) (verdict uint32, out []byte, err error) {
	opts := wireRunOn(r.uplink, b)
	verdict, err = r.wires.program.Run(opts)
	return verdict, opts.DataOut, err
}

// toUplink returns a frame's bytes, for the uplink.
func (r *road) toUplink(f frame) []byte {
	f.to = [6]byte(r.uplink.Attrs().HardwareAddr)
	return f.bytes()
}

// newWire returns a road with the program of XDP, whose router is known.
func newWire(t *testing.T) *road {
	t.Helper()
	r := newRoad(t, PacketsConfig{XDP: XDPNative})
	r.wired(t)
	return r
}

// newWireTunnels is newTunnels with the same.
func newWireTunnels(t *testing.T) *road {
	t.Helper()
	r := newTunnelsBy(t, XDPNative)
	r.wired(t)
	return r
}

func (r *road) wired(t *testing.T) {
	t.Helper()
	r.knows(t)
	if r.wires.broken != nil {
		t.Fatalf("%+v", r.wires.broken)
	}
}

// Packets of flows that go on become in XDP what tc makes of them, byte by byte, and go to
// the router by its address; also in tunnels.
func TestWire(t *testing.T) {
	for _, tunnelled := range []bool{false, true} {
		t.Run(fmt.Sprintf("tunnelled=%v", tunnelled), func(t *testing.T) {
			roads := map[bool]func(*testing.T) *road{false: newWire, true: newWireTunnels}
			r := roads[tunnelled](t)
			each(t, func(t *testing.T, f family, protocol uint8) {
				in := f.to(elsewhere, protocol)
				in.from = netip.AddrPortFrom(f.client, 42000+uint16(protocol))
				_, b := r.enters(t, in)
				in.flags, in.ack = ack, 1
				frames := []frame{in}
				if !tunnelled {
					back := answers(parseFrame(t, b))
					r.enters(t, back)
					back.flags = ack
					frames = append(frames, back)
				}
				r.enters(t, in) // it settles
				for _, noSum := range []bool{false, true} {
					for i, one := range frames {
						one.noSum = noSum && protocol == unix.IPPROTO_UDP && f.v4()
						r.turns(t, fmt.Sprintf("frame %d, without a checksum: %v", i, one.noSum), one)
					}
				}
			})
		})
	}
}

// turns holds that XDP makes of a frame what tc does.
func (r *road) turns(t *testing.T, what string, f frame) {
	t.Helper()
	b := r.toUplink(f)
	before := r.counts(t)
	verdict, out := r.arrives(t, slices.Clone(b))
	after := r.counts(t)
	if led := func(c PacketCounters) uint64 { return c.Forwarded + c.Tunnelled + c.Answered }; verdict != xdpTX || after.XDP != before.XDP+1 || led(after) != led(before)+1 {
		t.Fatalf("%s: verdict %d, counted %+v, before %+v", what, verdict, after, before)
	}
	_, want := r.enters(t, f)
	if !sameOnWire(out[14:], want[14:]) {
		t.Errorf("%s: it came out as\n% x, want\n% x", what, out, want)
	}
	if !bytes.Equal(out[:6], someMAC) || !bytes.Equal(out[6:12], r.uplink.Attrs().HardwareAddr) || !bytes.Equal(out[12:14], b[12:14]) {
		t.Errorf("%s: its Ethernet header is % x", what, out[:14])
	}
}

// sameOnWire says whether two packets are the same; of a checksum of TCP both kinds of zero
// are.
func sameOnWire(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] == b[i] {
			continue
		}
		at := i
		if i > 0 && a[i-1] != b[i-1] {
			at = i - 1
		}
		if at+2 > len(a) || !isZeroSum(a[at:at+2]) || !isZeroSum(b[at:at+2]) {
			return false
		}
	}
	return true
}

func isZeroSum(b []byte) bool { return b[0] == b[1] && (b[0] == 0 || b[0] == 0xff) }

// XDP decides by the maps of tc, all of them.
func TestWireSharesMaps(t *testing.T) {
	r := newWire(t)
	info, err := r.wires.program.Info()
	if err != nil {
		t.Fatal(err)
	}
	of := func(p *ebpf.Program) (ids []ebpf.MapID) {
		info, err := p.Info()
		if err != nil {
			t.Fatal(err)
		}
		ids, _ = info.MapIDs()
		return ids
	}
	theirs := of(r.in.program)
	ids, _ := info.MapIDs()
	var own []string
	for _, id := range ids {
		if slices.Contains(theirs, id) {
			continue
		}
		m, err := ebpf.NewMapFromID(id)
		if err != nil {
			t.Fatal(err)
		}
		is, err := m.Info()
		if err = errors.Join(err, m.Close()); err != nil {
			t.Fatal(err)
		}
		own = append(own, is.Name)
	}
	slices.Sort(own)
	if want := []string{wireMapPackets, wireMapWires}; !slices.Equal(own, want) {
		t.Errorf("it has maps %q of its own, want %q", own, want)
	}
}

// What XDP has a doubt about goes on to tc as it came.
func TestWirePasses(t *testing.T) {
	r := newWire(t)
	f := families[0]
	in := r.converses(t, f, unix.IPPROTO_TCP, 42100)
	r.turns(t, "a segment", in)
	unknown := in
	unknown.from = netip.AddrPortFrom(f.client, 42101)
	local := f.to(here, unix.IPPROTO_TCP)
	r.enters(t, local)
	local.flags = ack
	others := r.toUplink(in)
	others[5]++
	tagged := slices.Insert(r.toUplink(in), 12, 0x81, 0, 0, 7)
	short := r.toUplink(in)
	for _, row := range []struct {
		name string
		b    []byte
	}{
		{"a flow that is not known", r.toUplink(unknown)},
		{"a SYN", r.toUplink(with(in, func(f *frame) { f.flags, f.from = syn, unknown.from }))},
		{"the end of a connection", r.toUplink(with(in, func(f *frame) { f.flags = fin | ack }))},
		{"a reset", r.toUplink(with(in, func(f *frame) { f.flags = rst }))},
		{"a backend on this node", r.toUplink(local)},
		{"a first fragment", r.toUplink(with(in, func(f *frame) { f.more, f.id = true, 7 }))},
		{"a later fragment", r.toUplink(with(in, func(f *frame) { f.offset, f.id = 64, 7 }))},
		{"options", r.toUplink(with(in, func(f *frame) { f.options = []byte{1, 1, 1, 0} }))},
		{"the last hop", r.toUplink(with(in, func(f *frame) { f.ttl = 1 }))},
		{"an address that nobody has", r.toUplink(with(in, func(f *frame) { f.dst = netip.AddrPortFrom(netip.MustParseAddr("203.0.113.99"), 80) }))},
		{"a ping", r.toUplink(f.ping(f.service))},
		{"an ICMP error", r.toUplink(tooBig(f, frame{from: in.dst, dst: in.from, protocol: unix.IPPROTO_TCP, ttl: 3, payload: []byte("abc")}, 1000))},
		{"another station", others},
		{"a VLAN", tagged},
		{"less than its header says", short[:len(short)-3]},
		{"more than the way takes", r.toUplink(with(in, func(f *frame) { f.payload = make([]byte, 1600) }))},
	} {
		r.leavesAlone(t, row.name, row.b)
	}
	r.turns(t, "a segment", in)
}

// XDP leads a flow for as long as it stays with its backend, and leaves it to tc from then on.
func TestWireFollowsChanges(t *testing.T) {
	r := newWire(t)
	for i, row := range flowChanges {
		t.Run(row.name, func(t *testing.T) {
			each(t, func(t *testing.T, f family, protocol uint8) {
				in, led, its, other := r.opens(t, f, protocol, uint16(42500+i))
				back := answers(led)
				for range 2 {
					r.forwards(t, back)
					r.forwards(t, in)
					back.flags = ack
				}
				r.turns(t, "before", in)
				row.do(r, its, other)
				if row.undo != nil {
					defer row.undo(r, its, other)
				}
				if is := map[bool]string{true: row.udp, false: row.tcp}[protocol == unix.IPPROTO_UDP]; is == stays {
					r.turns(t, "after", in)
				} else {
					r.leavesAlone(t, "after", r.toUplink(in))
				}
			})
		})
	}
}

// Where a frontend leads, and whom it lets in, is asked for each datagram, and of a connection
// when it begins; where a tunnel ends for each packet.
func TestWireFollowsFrontends(t *testing.T) {
	r, tunnels := newWire(t), newWireTunnels(t)
	port := uint16(42600)
	each(t, func(t *testing.T, f family, protocol uint8) {
		port++
		tunnelled := f.to(elsewhere, protocol)
		tunnelled.from = netip.AddrPortFrom(f.client, port)
		tunnels.enters(t, tunnelled)
		tunnelled.flags, tunnelled.ack = ack, 1
		tunnels.enters(t, tunnelled)
		tunnels.turns(t, "in a tunnel", tunnelled)
		if err := tunnels.SetTunnel(2, Tunnel{}); err != nil {
			t.Fatal(err)
		}
		tunnels.leavesAlone(t, "to where no tunnel ends", tunnels.toUplink(tunnelled))
		if err := tunnels.SetTunnel(2, allTunnels); err != nil {
			t.Fatal(err)
		}
		in := r.converses(t, f, protocol, port)
		r.turns(t, "as it began", in)
		at := Frontend{Address: in.dst, Protocol: protocol, Scope: ScopePacket}
		all, err := r.Frontends.All()
		if err != nil {
			t.Fatal(err)
		}
		is := all[at]
		elsewhere := all[Frontend{Address: netip.AddrPortFrom(f.service, twice), Protocol: protocol, Scope: ScopePacket}]
		for name, change := range map[string][2]func() error{
			"it leads to another service": {
				func() error { return r.Frontends.Put(map[Frontend]uint32{at: elsewhere}) },
				func() error { return r.Frontends.Put(map[Frontend]uint32{at: is}) },
			},
			"it lets nobody in": {
				func() error { r.guard(is, Guard{Packets: true}); return nil },
				func() error { r.guard(is, Guard{}); return nil },
			},
		} {
			if err := change[0](); err != nil {
				t.Fatal(err)
			}
			if protocol == unix.IPPROTO_TCP {
				r.turns(t, name, in)
			} else {
				r.leavesAlone(t, name, r.toUplink(in))
			}
			if err := change[1](); err != nil {
				t.Fatal(err)
			}
		}
		r.turns(t, "as it began, again", in)
	})
}

// leavesAlone holds that XDP passes a packet on as it came.
func (r *road) leavesAlone(t *testing.T, what string, b []byte) {
	t.Helper()
	before := r.counts(t)
	verdict, out := r.arrives(t, slices.Clone(b))
	if verdict != xdpPass || !bytes.Equal(out, b) {
		t.Errorf("%s: verdict %d:\n% x\n% x", what, verdict, b, out)
	}
	if after := r.counts(t); after.XDP != before.XDP {
		t.Errorf("%s: counted as led by XDP", what)
	}
}

func with(f frame, change func(*frame)) frame {
	change(&f)
	return f
}

// A packet of each way goes by the kernel now and then, which keeps its neighbours by that.
func TestWireKeepsNeighbours(t *testing.T) {
	r := newWire(t)
	f := families[1]
	in := r.converses(t, f, unix.IPPROTO_UDP, 42200)
	r.turns(t, "a datagram", in)
	number, _ := r.way(t, in.from, wayOut)
	var way packetNumberedWay
	m := r.flows[packetMapWays]
	if err := m.Lookup(number, &way); err != nil {
		t.Fatal(err)
	}
	way.Used -= uint64(3 * time.Second)
	if err := m.Put(number, way); err != nil {
		t.Fatal(err)
	}
	r.forwards(t, in) // may ask, and takes note
	if err := m.Put(number, way); err != nil {
		t.Fatal(err)
	}
	if verdict, _ := r.arrives(t, r.toUplink(in)); verdict != xdpPass {
		t.Errorf("verdict %d, want to pass", verdict)
	}
	r.forwards(t, in)
	r.turns(t, "a datagram, after one that the kernel sent", in)
}

// Whatever the bytes of a packet are: XDP makes of it what tc does, or leaves it alone.
func TestWireMutations(t *testing.T) {
	const rounds = 10000
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for _, r := range []*road{newWire(t), newWireTunnels(t)} {
		for _, f := range families {
			led, err := 0, error(nil)
			bases := r.wireBases(t, f)
			r.ns.Do(func() error {
				for range rounds / 4 {
					var was bool
					if was, err = r.agree(mutated(rnd, slices.Clone(bases[rnd.IntN(len(bases))]))); err != nil {
						break
					}
					if was {
						led++
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if led < rounds/40 {
				t.Errorf("%s: XDP led %d packets of %d", f.name, led, rounds/4)
			}
		}
	}
}

// wireBases returns packets of flows that go on.
func (r *road) wireBases(t *testing.T, f family) (all [][]byte) {
	t.Helper()
	for _, protocol := range []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
		in := f.to(elsewhere, protocol)
		in.from = netip.AddrPortFrom(f.client, 42300)
		_, out := r.enters(t, in)
		in.flags, in.ack = ack, 1
		r.enters(t, in)
		r.enters(t, in)
		all = append(all, r.toUplink(in))
		if len(out) == len(in.bytes()) {
			back := answers(parseFrame(t, out))
			r.enters(t, back)
			r.enters(t, in)
			back.flags = ack
			all = append(all, r.toUplink(back))
		}
	}
	return all
}

// agree says what XDP makes of a packet that tc does not, and whether it led it.
func (r *road) agree(b []byte) (led bool, err error) {
	verdict, out, err := r.runsOnWire(slices.Clone(b))
	if err != nil || verdict == xdpPass && bytes.Equal(out, b) {
		return false, err
	}
	wanted, want, err := r.runs(r.in.program, slices.Clone(b))
	if err == nil && (verdict != xdpTX || wanted != redirected || !sameOnWire(out[14:], want[14:])) {
		err = fmt.Errorf("of\n% x\nXDP makes, with verdict %d,\n% x\nand tc, with %d,\n% x", b, verdict, out, int32(wanted), want)
	}
	return true, err
}
