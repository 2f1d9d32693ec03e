package bpf

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
	"tombolo.io/tombolo/bpf/bpftest"
)

// What the program may say (linux/pkt_cls.h).
const (
	passOn   = ^uint32(0) // TC_ACT_UNSPEC
	dropped  = uint32(2)  // TC_ACT_SHOT
	answered = uint32(7)  // TC_ACT_REDIRECT
)

// loadResponderHere loads a responder with a bpffs of its own, closed after the test.
func loadResponderHere(t *testing.T, cfg ResponderConfig) *Responder {
	t.Helper()
	if cfg.BPFFS == "" {
		cfg.BPFFS = bpftest.MountBPFFS(t)
	}
	r, err := LoadResponder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// inquiry is a probe as a frame, before its lengths and checksums are made.
type inquiry struct {
	probe       Probe
	from, to    netip.Addr
	port        uint16
	after       []byte // the payload behind the probe
	ttl         uint8
	withoutUDP4 bool // UDP over IPv4 without a checksum
}

// frame returns the frame that an inquiry makes.
func (q inquiry) frame() []byte {
	udp := binary.BigEndian.AppendUint16(nil, 40000)
	udp = binary.BigEndian.AppendUint16(udp, q.port)
	payload := append(q.probe.Append(nil), q.after...)
	udp = binary.BigEndian.AppendUint16(udp, uint16(8+len(payload)))
	udp = append(append(udp, 0, 0), payload...)
	if !q.withoutUDP4 {
		binary.BigEndian.PutUint16(udp[6:], ^sum(pseudo(q.from, q.to, len(udp)), udp))
	}
	frame := append(make([]byte, 6), 2, 0, 0, 0, 0, 9) // to lo, which has no address
	if q.to.Is6() {
		frame = append(frame, 0x86, 0xdd, 0x60, 0, 0, 0)
		frame = binary.BigEndian.AppendUint16(frame, uint16(len(udp)))
		frame = append(frame, unix.IPPROTO_UDP, q.ttl)
		return slices.Concat(frame, q.from.AsSlice(), q.to.AsSlice(), udp)
	}
	ip := binary.BigEndian.AppendUint16([]byte{0x45, 0}, uint16(20+len(udp)))
	ip = append(ip, 0, 1, 0x40, 0, q.ttl, unix.IPPROTO_UDP, 0, 0)
	ip = slices.Concat(ip, q.from.AsSlice(), q.to.AsSlice())
	binary.BigEndian.PutUint16(ip[10:], ^sum(ip))
	return slices.Concat(frame, []byte{8, 0}, ip, udp)
}

func pseudo(from, to netip.Addr, length int) []byte {
	return slices.Concat(from.AsSlice(), to.AsSlice(), []byte{0, unix.IPPROTO_UDP}, binary.BigEndian.AppendUint16(nil, uint16(length)))
}

// sum is the Internet checksum before its complement (RFC 1071).
func sum(parts ...[]byte) uint16 {
	var s uint32
	for _, b := range parts {
		for ; len(b) > 1; b = b[2:] {
			s += uint32(binary.BigEndian.Uint16(b))
		}
		if len(b) == 1 {
			s += uint32(b[0]) << 8
		}
	}
	for s>>16 != 0 {
		s = s&0xffff + s>>16
	}
	return uint16(s)
}

var (
	asker4, node4, pod4 = netip.MustParseAddr("172.20.1.1"), netip.MustParseAddr("172.20.2.1"), netip.MustParseAddr("10.2.1.77")
	asker6, node6, pod6 = netip.MustParseAddr("fd00:20:1::1"), netip.MustParseAddr("fd00:20:2::1"), netip.MustParseAddr("fd00:10:2:1::77")
	podsOf              = []netip.Prefix{netip.MustParsePrefix("10.2.1.0/24"), netip.MustParsePrefix("fd00:10:2:1::/64")}
)

func ask(kind ProbeKind, from, to netip.Addr) inquiry {
	return inquiry{
		probe: Probe{Kind: kind, Nonce: 0x1122334455667788}, from: from, to: to, port: DefaultProbePort, ttl: 7,
	}
}

// run runs the program on a frame, and returns what it says and what it leaves.
func (r *Responder) run(t *testing.T, frame []byte, ctx *skb) (uint32, []byte) {
	t.Helper()
	opts := ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+256)}
	if ctx != nil {
		opts.Context = ctx
	}
	verdict, err := r.tap.program.Run(&opts)
	if err != nil {
		t.Fatal(err)
	}
	return verdict, opts.DataOut
}

// skb is struct __sk_buff, as far as the kernel lets a test set it.
type skb struct {
	_       [41]uint32
	GSOSegs uint32
	_       [2]uint32 // sk
	GSOSize uint32
	_       uint32
	_       uint64 // hwtstamp
}

// An inquiry of each kind and family becomes its own answer, in place.
func TestAnswer(t *testing.T) {
	r := loadResponderHere(t, ResponderConfig{})
	if err := errors.Join(r.SetAskers([]netip.Addr{asker4, asker6}), r.SetLocal([]netip.Addr{node4, node6}, podsOf)); err != nil {
		t.Fatal(err)
	}
	r.SetEpoch(42)
	for _, c := range []struct {
		name string
		q    inquiry
	}{
		{"node, IPv4", ask(ProbeNode, asker4, node4)},
		{"node, IPv6", ask(ProbeNode, asker6, node6)},
		{"pods, IPv4", ask(ProbePods, asker4, pod4)},
		{"pods, IPv6", ask(ProbePods, asker6, pod6)},
		{"with more behind", inquiry{probe: Probe{Kind: ProbeNode, Nonce: 1}, from: asker4, to: node4,
			port: DefaultProbePort, ttl: 255, after: []byte("an odd tail")}},
		{"without a checksum", inquiry{probe: Probe{Kind: ProbeNode, Nonce: 1}, from: asker4, to: node4,
			port: DefaultProbePort, ttl: 1, withoutUDP4: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			verdict, got := r.run(t, c.q.frame(), nil)
			if verdict != answered {
				t.Fatalf("verdict %d, counters %+v", verdict, r.counted(t))
			}
			// The answer is the question turned round, made by the same means.
			want := c.q
			want.from, want.to, want.ttl = c.q.to, c.q.from, 64
			want.probe = Probe{Reply: true, Kind: c.q.probe.Kind, Nonce: c.q.probe.Nonce, Target: c.q.to, BootID: r.BootID(), Epoch: 42}
			frame := want.frame()
			copy(frame, []byte{2, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0})
			udp := 14 + 40
			if c.q.to.Is4() {
				udp = 14 + 20
			}
			copy(frame[udp:], c.q.frame()[udp+2:udp+4])
			copy(frame[udp+2:], c.q.frame()[udp:udp+2])
			if !slices.Equal(got, frame) {
				t.Errorf("answer\n%x, want\n%x", got, frame)
			}
		})
	}
}

// counted returns the counters by name.
func (r *Responder) counted(t *testing.T) map[string]uint64 {
	t.Helper()
	c, err := r.Counters()
	if err != nil {
		t.Fatal(err)
	}
	return map[string]uint64{
		"answered": c.Answered, "malformed": c.Malformed, "odd": c.Odd, "stranger": c.Stranger,
		"elsewhere": c.Elsewhere, "limited": c.Limited, "failed": c.Failed,
	}
}

// One thing about a good question is changed in each row.
func TestNotAnswered(t *testing.T) {
	r := loadResponderHere(t, ResponderConfig{})
	if err := errors.Join(r.SetAskers([]netip.Addr{asker4, asker6}), r.SetLocal([]netip.Addr{node4, node6}, podsOf)); err != nil {
		t.Fatal(err)
	}
	const ip, udp4, udp6 = 14, 14 + 20, 14 + 40
	v4, v6 := ask(ProbeNode, asker4, node4), ask(ProbeNode, asker6, node6)
	edit := func(q inquiry, change func(f []byte) []byte) []byte { return change(q.frame()) }
	set := func(q inquiry, at int, b ...byte) []byte {
		return edit(q, func(f []byte) []byte { copy(f[at:], b); return f })
	}
	with := func(q inquiry, change func(*inquiry)) []byte { change(&q); return q.frame() }
	for _, c := range []struct {
		what    string
		frame   []byte
		ctx     *skb
		counter string // empty: none of the port's business
	}{
		{"nothing", v4.frame(), nil, "answered"},
		{"another port", with(v4, func(q *inquiry) { q.port++ }), nil, ""},
		{"TCP", set(v4, ip+9, unix.IPPROTO_TCP), nil, ""},
		{"ARP", set(v4, 12, 8, 6), nil, ""},
		{"a VLAN in the frame", set(v4, 12, 0x81, 0), nil, ""},
		{"IPv6 in IPv4's frame", set(v4, ip, 0x65), nil, ""},
		{"IPv4 in IPv6's frame", set(v6, ip, 0x40), nil, ""},
		{"a header shorter than IPv4's", set(v4, ip, 0x44), nil, ""},
		{"a later fragment", set(v4, ip+6, 0, 1), nil, ""},
		{"an IPv6 header between", set(v6, ip+6, unix.IPPROTO_DSTOPTS), nil, ""},
		{"an IPv4 address in IPv6", with(v6, func(q *inquiry) { q.from = netip.AddrFrom16(asker4.As16()) }), nil, ""},
		{"a frame cut in the UDP header", v4.frame()[:udp4+7], nil, ""},
		{"a first fragment", set(v4, ip+6, 0x20, 0), nil, "odd"},
		{"options", edit(v4, func(f []byte) []byte {
			f[ip], f[ip+3] = 0x46, f[ip+3]+4
			return slices.Insert(f, udp4, 1, 1, 1, 0)
		}), nil, "odd"},
		{"the MAC address of another", set(v4, 0, 2, 0, 0, 0, 0, 7), nil, "odd"},
		{"every MAC address", set(v4, 0, 255, 255, 255, 255, 255, 255), nil, "odd"},
		{"segments", v4.frame(), &skb{GSOSegs: 2, GSOSize: 30}, "odd"},
		{"a UDP length beyond the packet's", set(v4, udp4+4, 1, 0), nil, "odd"},
		{"a UDP length below the packet's", set(v4, udp4+4, 0, 60), nil, "odd"},
		{"a UDP length of nothing", set(v6, udp6+4, 0, 0), nil, "odd"},
		{"a packet longer than the frame", v4.frame()[:udp4+20], nil, "odd"},
		{"too few bytes", edit(v4, func(f []byte) []byte {
			f[ip+3]--
			f[udp4+5]--
			return f[:len(f)-1]
		}), nil, "malformed"},
		{"another magic", set(v4, udp4+8, 't', 'm', 'b', 'x'), nil, "malformed"},
		{"another version", set(v4, udp4+12, 2), nil, "malformed"},
		{"a reply", set(v4, udp4+13, 2), nil, "malformed"},
		{"no type", set(v6, udp6+13, 0), nil, "malformed"},
		{"a reserved bit", set(v4, udp4+15, 1), nil, "malformed"},
		{"a stranger", with(v4, func(q *inquiry) { q.from = netip.MustParseAddr("172.20.1.2") }), nil, "stranger"},
		{"a stranger, IPv6", with(v6, func(q *inquiry) { q.from = pod6 }), nil, "stranger"},
		{"an address of another node", with(v4, func(q *inquiry) { q.to = netip.MustParseAddr("172.20.2.2") }), nil, "elsewhere"},
		{"a prefix of another node", with(ask(ProbePods, asker6, pod6), func(q *inquiry) { q.to = netip.MustParseAddr("fd00:10:2:2::77") }), nil, "elsewhere"},
		{"the kind of pods", with(v4, func(q *inquiry) { q.probe.Kind = ProbePods }), nil, "elsewhere"},
		{"the kind of the node", ask(ProbeNode, asker4, pod4).frame(), nil, "elsewhere"},
		{"no kind", set(v4, udp4+14, 0), nil, "elsewhere"},
	} {
		t.Run(c.what, func(t *testing.T) {
			before := r.counted(t)
			verdict, out := r.run(t, c.frame, c.ctx)
			want := passOn
			if c.counter == "answered" {
				want = answered
			}
			if verdict != want {
				t.Errorf("verdict %d, want %d", verdict, want)
			}
			if verdict == passOn && !slices.Equal(out, c.frame) {
				t.Errorf("passed on changed:\n%x\nof\n%x", out, c.frame)
			}
			for name, n := range r.counted(t) {
				if moved := n - before[name]; (moved == 1) != (name == c.counter) || moved > 1 {
					t.Errorf("%s moved by %d, want %q alone", name, moved, c.counter)
				}
			}
		})
	}
}

// One asker's flood is cut off, which costs another nothing, and a later
// SetAskers gives it nothing back.
func TestProbeLimit(t *testing.T) {
	// A probe in a thousand seconds: none comes back while the test runs.
	r := loadResponderHere(t, ResponderConfig{Rate: 0.001, Burst: 5})
	other := netip.MustParseAddr("172.20.1.9")
	if err := errors.Join(r.SetAskers([]netip.Addr{asker4, other}), r.SetLocal([]netip.Addr{node4}, nil)); err != nil {
		t.Fatal(err)
	}
	verdicts := func(from netip.Addr, n int) (out []uint32) {
		for range n {
			v, _ := r.run(t, ask(ProbeNode, from, node4).frame(), nil)
			out = append(out, v)
		}
		return out
	}
	if got := verdicts(asker4, 7); !slices.Equal(got, []uint32{answered, answered, answered, answered, answered, dropped, dropped}) {
		t.Errorf("verdicts of the first: %v", got)
	}
	if got := verdicts(other, 1); got[0] != answered {
		t.Errorf("verdict of another: %v", got)
	}
	if err := r.SetAskers([]netip.Addr{asker4}); err != nil {
		t.Fatal(err)
	}
	if got := verdicts(asker4, 1); got[0] != dropped {
		t.Errorf("verdict after the askers were set: %v", got)
	}
	if got := verdicts(other, 1); got[0] != passOn {
		t.Errorf("verdict of one that may not ask any more: %v", got)
	}
	if got := r.counted(t)["limited"]; got != 3 {
		t.Errorf("limited %d, want 3", got)
	}
}

func TestProbeWire(t *testing.T) {
	boot, err := ThisBoot()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []Probe{
		{Kind: ProbePods, Nonce: 1},
		{Kind: ProbeNode, Nonce: ^uint64(0), Reply: true, Target: node4, BootID: boot, Epoch: 1 << 40},
		{Kind: ProbeNode, Reply: true, Target: pod6},
	} {
		b := p.Append([]byte("x"))
		if len(b) != 1+ProbeSize {
			t.Errorf("%d bytes", len(b)-1)
		}
		if got, err := ParseProbe(append(b[1:], 7)); err != nil || got != p {
			t.Errorf("%+v became %+v, %v", p, got, err)
		}
		if _, err := ParseProbe(b[1:ProbeSize]); !errors.Is(err, ErrNoProbe) {
			t.Errorf("cut by one: %v", err)
		}
	}
	if got, err := ParseBootID(boot.String()); err != nil || got != boot {
		t.Errorf("%v became %v, %v", boot, got, err)
	}
	for _, s := range []string{"", "5", "0123-4567", boot.String() + "0"} {
		if b, err := ParseBootID(s); err == nil {
			t.Errorf("%q is the boot id %v", s, b)
		}
	}
}

func FuzzParseProbe(f *testing.F) {
	f.Add(Probe{Kind: ProbePods, Nonce: 1}.Append(nil))
	f.Add(Probe{Kind: ProbeNode, Reply: true, Target: node6, Epoch: 9}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if seen := ParseSeen(b); len(b) < ProbeSize+SeenSize && seen != (Seen{}) {
			t.Errorf("%x saw %+v", b, seen)
		}
		p, err := ParseProbe(b)
		if err != nil {
			return
		}
		if got, err := ParseProbe(p.Append(nil)); err != nil || got != p {
			t.Errorf("%x is %+v, which becomes %+v, %v", b, p, got, err)
		}
	})
}
