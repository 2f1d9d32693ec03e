package bpf

import (
	"errors"
	"io/fs"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// traces opens a tracer on a road whose programs are attached.
func (r *road) traces(t *testing.T) *Tracer {
	t.Helper()
	var tr *Tracer
	if err := r.ns.Do(func() (err error) {
		if _, err = r.Packets.Attach([]string{"eth0"}); err == nil {
			tr, err = OpenTracer(r.BPFFS, "eth0")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	return tr
}

func (r *road) trace(t *testing.T, tr *Tracer, protocol uint8, from, to netip.AddrPort) (out Trace) {
	t.Helper()
	if err := r.ns.Do(func() (err error) { out, err = tr.Trace(protocol, from, to); return err }); err != nil {
		t.Fatal(err)
	}
	return out
}

// flowCount is how many flows are remembered.
func (r *road) flowCount(t *testing.T) (n int) {
	t.Helper()
	table, err := OpenFlows(r.BPFFS)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	for _, err := range table.All() {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// A trace says what becomes of a packet, by whom, and leaves nothing behind.
func TestTrace(t *testing.T) {
	for hook, cfg := range map[string]PacketsConfig{hookTCX: {}, hookClsact: {Clsact: true}} {
		t.Run(hook, func(t *testing.T) {
			r := newRoad(t, cfg)
			if err := r.Datapath.Attach(); err != nil {
				t.Fatal(err)
			}
			tr := r.traces(t)
			each(t, func(t *testing.T, f family, protocol uint8) {
				refused := map[uint8]string{unix.IPPROTO_TCP: "refused", unix.IPPROTO_UDP: "no backend"}[protocol]
				client := netip.AddrPortFrom(f.client, 0)
				for _, c := range []struct {
					to      netip.AddrPort
					outcome string
					backend netip.Addr
					source  netip.Addr
				}{
					{netip.AddrPortFrom(f.service, elsewhere), "forwarded", f.remote, f.node},
					{netip.AddrPortFrom(f.service, here), "delivered", f.local, f.client},
					{netip.AddrPortFrom(f.service, nowhere), refused, netip.Addr{}, netip.Addr{}},
					{netip.AddrPortFrom(f.service, 9), "no port", netip.Addr{}, netip.Addr{}},
					{netip.AddrPortFrom(f.node, 9), Passed, netip.Addr{}, netip.Addr{}},
					{netip.AddrPortFrom(f.gateway, elsewhere), Passed, netip.Addr{}, netip.Addr{}},
				} {
					got := r.trace(t, tr, protocol, client, c.to)
					if got.Outcome != c.outcome || got.Known != nil || (got.Led != nil) != c.backend.IsValid() {
						t.Fatalf("to %v: %+v", c.to, got)
					}
					if last := len(got.Choices) - 1; got.Led != nil &&
						(got.Led.Backend.Addr() != c.backend || got.Led.Source.Addr() != c.source || got.Choices[last].Address != got.Led.Backend || got.Choices[last].Standing != "ready") {
						t.Errorf("to %v: led %+v by %+v", c.to, got.Led, got.Choices)
					}
				}
				if n := r.flowCount(t); n > 0 {
					t.Errorf("%d flows are left", n)
				}
			})
		})
	}
}

// What the trace works out of the hash is what the program chooses, whatever is down and
// under session affinity.
func TestTraceChoosesAsThePrograms(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	if err := r.Datapath.Attach(); err != nil {
		t.Fatal(err)
	}
	tr := r.traces(t)
	for _, down := range []bool{false, true} {
		r.Nodes.Set(2, map[bool]uint8{true: PodsDown}[down])
		each(t, func(t *testing.T, f family, protocol uint8) {
			to := netip.AddrPortFrom(f.service, twice)
			seen := map[netip.Addr]bool{}
			for port := uint16(1); port < 40; port++ {
				got := r.trace(t, tr, protocol, netip.AddrPortFrom(f.client, port), to)
				last := len(got.Choices) - 1
				if got.Led == nil || got.Choices[last].Address != got.Led.Backend {
					t.Fatalf("led %+v, and by the hash %+v", got.Led, got.Choices)
				}
				seen[got.Led.Backend.Addr()] = true
				for _, c := range got.Choices[:last] {
					if !down || c.Address.Addr() != f.remote || c.Standing != "down by verdict" {
						t.Errorf("%+v was passed over", c)
					}
				}
			}
			if !seen[f.second] || seen[f.remote] == down {
				t.Errorf("led to %v", seen)
			}
		})
	}
}

// A packet of a flow that is known goes where that goes, and the flow stays.
func TestTraceOfAKnownFlow(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	if err := r.Datapath.Attach(); err != nil {
		t.Fatal(err)
	}
	tr := r.traces(t)
	each(t, func(t *testing.T, f family, protocol uint8) {
		before := r.flowCount(t)
		p := f.to(twice, protocol)
		r.forwards(t, p)
		flow, _ := tr.flows.find(protocol, p.from, p.dst)
		entry := func() (c packetConntrack) {
			if err := r.flows[packetMapUnanswered].Lookup(flow.keys[0], &c); err != nil {
				t.Fatal(err)
			}
			c.Seen = 0
			return c
		}
		was := entry()
		got := r.trace(t, tr, protocol, p.from, p.dst)
		if now := entry(); now != was {
			t.Errorf("the flow was %+v, and is %+v", was, now)
		}
		if got.Known == nil || got.Led == nil || got.Known.Backend != got.Led.Backend || got.Outcome != "forwarded" {
			t.Errorf("got %+v", got)
		}
		if n := r.flowCount(t); n != before+1 {
			t.Errorf("%d flows, want %d", n, before+1)
		}
	})
}

func TestTraceOfADeviceWithoutAProgram(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	for _, device := range []string{"", "eth0", "eth7"} {
		err := r.ns.Do(func() error { _, err := OpenTracer(r.BPFFS, device); return err })
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", device, err)
		}
	}
}

// What is made is whole: lengths and checksums.
func TestMadeFrame(t *testing.T) {
	each(t, func(t *testing.T, f family, protocol uint8) {
		want := f.to(elsewhere, protocol)
		for _, begins := range []bool{true, false} {
			got := parseFrame(t, madeFrame([]byte{2, 0, 0, 0, 0, 1}, protocol, want.from, want.dst, begins))
			if got.from != want.from || got.dst != want.dst || got.protocol != protocol || got.to != [6]byte{2, 0, 0, 0, 0, 1} || len(got.payload) > 0 ||
				protocol == unix.IPPROTO_TCP && (got.flags == syn) != begins {
				t.Errorf("begins %v: %+v", begins, got)
			}
		}
	})
}
