package probe

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/bpf/bpftest"
)

var (
	here4, there4 = netip.MustParseAddr("172.20.1.1"), netip.MustParseAddr("172.20.2.1")
	here6, there6 = netip.MustParseAddr("fd00:20:1::1"), netip.MustParseAddr("fd00:20:2::1")
	pods4, pods6  = netip.MustParsePrefix("10.2.0.0/16"), netip.MustParsePrefix("fd00:10:2::/48")
)

// world is two nodes on a wire.
type world struct {
	*testing.T
	here, there *bpftest.Net
	prober      *Prober
}

func newWorld(t *testing.T, c Config) *world {
	t.Helper()
	w := &world{T: t, here: bpftest.NewNet(t), there: bpftest.NewNet(t)}
	w.here.Wire(t, "eth0", w.there, "eth0")
	w.here.Address(t, "eth0", netip.PrefixFrom(here4, 16))
	w.here.Address(t, "eth0", netip.PrefixFrom(here6, 32))
	w.there.Address(t, "eth0", netip.PrefixFrom(there4, 16))
	w.there.Address(t, "eth0", netip.PrefixFrom(there6, 32))
	w.here.Route(t, pods4, there4)
	w.here.Route(t, pods6, there6)
	if len(c.Sources) == 0 {
		c.Sources = []netip.Addr{here4, here6}
	}
	w.must(w.here.Do(func() (err error) { w.prober, err = Open(c); return err }))
	t.Cleanup(func() { w.must(w.prober.Close()) })
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// respond makes the kernel there answer, until the test ends.
func (w *world) respond() *bpf.Responder {
	w.Helper()
	r, err := bpf.LoadResponder(bpf.ResponderConfig{BPFFS: bpftest.MountBPFFS(w), Rate: 1e6, Burst: 1e6})
	w.must(err)
	w.Cleanup(func() { w.must(r.Close()) })
	w.must(errors.Join(
		r.SetAskers([]netip.Addr{here4, here6}),
		r.SetLocal([]netip.Addr{there4, there6}, []netip.Prefix{pods4, pods6}),
		w.there.Do(func() error { _, err := r.Attach([]string{"eth0"}); return err }),
	))
	return r
}

func (w *world) send(t Target) uint64 {
	w.Helper()
	nonce, err := w.prober.Send(t)
	w.must(err)
	return nonce
}

// collect drains until there are n replies, or none comes any more.
func (w *world) collect(n int) []Reply {
	w.Helper()
	var all []Reply
	w.until(fmt.Sprintf("%d replies", n), func() bool {
		b, err := w.prober.Drain()
		w.must(err)
		for _, r := range b.Replies {
			if r.Arrived.After(time.Now()) {
				w.Errorf("a reply from the future: %+v", r)
			}
		}
		all = append(all, b.Replies...)
		return len(all) >= n
	})
	return all
}

// until looks until the condition holds.
func (w *world) until(what string, holds func() bool) {
	w.Helper()
	deadline := time.After(10 * time.Second)
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-deadline:
			w.Fatalf("%s: not so after 10 s; %+v", what, w.prober.Counters())
		}
	}
}

// The kernel of another node answers for its addresses and its pods' prefixes.
func TestProbe(t *testing.T) {
	w := newWorld(t, Config{})
	r := w.respond()
	r.SetEpoch(99)
	asked := map[uint64]Target{}
	for _, target := range []Target{
		{there4, bpf.ProbeNode}, {there6, bpf.ProbeNode},
		{pods4.Addr().Next(), bpf.ProbePods}, {pods6.Addr().Next(), bpf.ProbePods},
	} {
		asked[w.send(target)] = target
	}
	for _, got := range w.collect(len(asked)) {
		if asked[got.Nonce] != got.Target || got.BootID != r.BootID() || got.Epoch != 99 || got.RTT() <= 0 || got.RTT() > 5*time.Second {
			t.Errorf("reply %+v to %+v", got, asked[got.Nonce])
		}
		delete(asked, got.Nonce)
	}
	if len(asked) > 0 {
		t.Errorf("not answered: %v", asked)
	}
}

// A burst to many nodes at once loses nothing, though nobody reads meanwhile.
func TestBurst(t *testing.T) {
	w := newWorld(t, Config{Forget: time.Hour}) // however long sending takes
	w.respond()
	w.send(Target{there4, bpf.ProbeNode}) // finds the neighbour
	w.collect(1)
	const nodes, probes = 200, 20
	for range probes {
		a := pods4.Addr()
		for range nodes {
			a = a.Next()
			w.send(Target{a, bpf.ProbePods})
		}
	}
	if got := w.collect(nodes * probes); len(got) != nodes*probes {
		t.Errorf("%d replies to %d probes", len(got), nodes*probes)
	}
}

// Replies that nobody reads for a while count by when they came.
func TestUnreadRepliesKeepTheirTime(t *testing.T) {
	w := newWorld(t, Config{})
	w.respond()
	w.send(Target{there4, bpf.ProbeNode})
	w.collect(1)
	// What came by the time when it is read takes all of the pause, however long that is;
	// a machine that has much to do may take a part of it.
	for pause := 300 * time.Millisecond; ; pause *= 2 {
		w.send(Target{there4, bpf.ProbeNode})
		sent := time.Now()
		w.until("the agent stood still", func() bool { return time.Since(sent) > pause })
		b, err := w.prober.Drain()
		w.must(err)
		if len(b.Replies) == 1 && b.Replies[0].RTT() <= pause/2 && b.Through.Sub(sent) >= pause {
			return
		}
		if pause > 2*time.Second {
			t.Fatalf("after %v: %+v", pause, b)
		}
	}
}

// Readable says when there is something to drain, once until it is drained.
func TestReadable(t *testing.T) {
	w := newWorld(t, Config{})
	w.respond()
	for range 2 { // Watch can be run again
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.prober.Watch(ctx) }()
		for range 3 {
			w.send(Target{there6, bpf.ProbeNode})
			var got []Reply
			for len(got) == 0 {
				select {
				case <-w.prober.Readable():
				case <-time.After(10 * time.Second):
					t.Fatal("not readable after 10 s")
				}
				b, err := w.prober.Drain()
				w.must(err)
				got = b.Replies
			}
		}
		cancel()
		w.must(<-done)
	}
}

// What comes from a process there that is no responder, or lies, is refused.
func TestRefused(t *testing.T) {
	w := newWorld(t, Config{Port: 4000})
	liar := w.listen(netip.AddrPortFrom(there4, 4000))
	other := w.listen(netip.AddrPortFrom(there4, 4001))
	nonce := w.send(Target{there4, bpf.ProbeNode})
	var request [100]byte
	n, asker, err := unix.Recvfrom(liar, request[:], 0)
	w.must(err)
	if p, err := bpf.ParseProbe(request[:n]); err != nil || p != (bpf.Probe{Kind: bpf.ProbeNode, Nonce: nonce}) {
		t.Errorf("the request is %+v, %v", p, err)
	}
	good := bpf.Probe{Reply: true, Kind: bpf.ProbeNode, Nonce: nonce, Target: there4}
	wrong := good
	wrong.Nonce++
	for _, c := range []struct {
		by int
		b  []byte
	}{{liar, []byte("hello")}, {liar, request[:n]}, {liar, wrong.Append(nil)}, {other, good.Append(nil)}, {liar, good.Append(nil)}, {liar, good.Append(nil)}} {
		w.must(unix.Sendto(c.by, c.b, 0, asker))
	}
	w.until("everything is judged", func() bool {
		_, err := w.prober.Drain()
		w.must(err)
		return w.prober.Counters() == Counters{Sent: 1, Replies: 1, Malformed: 2, Unknown: 2, Elsewhere: 1}
	})
}

func (w *world) listen(at netip.AddrPort) (fd int) {
	w.Helper()
	w.must(w.there.Do(func() (err error) {
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0); err != nil {
			return err
		}
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}); err != nil {
			return err
		}
		return unix.Bind(fd, bpftest.Sockaddr(at, false))
	}))
	w.Cleanup(func() { unix.Close(fd) })
	return fd
}

// The kernel tells by its errors of routes that lead nowhere, in both families.
func TestRoutesToNowhere(t *testing.T) {
	w := newWorld(t, Config{})
	for kind, want := range map[int]unix.Errno{unix.RTN_BLACKHOLE: unix.EINVAL, unix.RTN_PROHIBIT: unix.EACCES, unix.RTN_UNREACHABLE: unix.EHOSTUNREACH} {
		for _, there := range []netip.Addr{there4, there6} {
			r := &netlink.Route{Type: kind, Dst: netlink.NewIPNet(there.AsSlice())}
			w.must(w.here.Do(func() error { return netlink.RouteAdd(r) }))
			if _, err := w.prober.Send(Target{there, bpf.ProbeNode}); !errors.Is(err, want) {
				t.Errorf("by a route of type %d to %v: %v, want %v", kind, there, err, want)
			}
			w.must(w.here.Do(func() error { return netlink.RouteDel(r) }))
		}
	}
}

// That no device has the source is told apart from a blackhole.
func TestSourceIsNowhere(t *testing.T) {
	w := newWorld(t, Config{Sources: []netip.Addr{netip.MustParseAddr("172.20.1.9")}})
	if _, err := w.prober.Send(Target{there4, bpf.ProbeNode}); err == nil || errors.Is(err, unix.EINVAL) {
		t.Errorf("from an address that no device has: %v", err) // which error it is changes with kernels
	}
	w.must(w.prober.v4.raw.Control(func(fd uintptr) {
		if w.prober.v4.reachesItself(int(fd)) {
			t.Error("an address that no device has is reached")
		}
	}))
}

// What cannot be sent is an error, and nothing is waited for.
func TestUnsent(t *testing.T) {
	w := newWorld(t, Config{Sources: []netip.Addr{here4}})
	if _, err := w.prober.Send(Target{there6, bpf.ProbeNode}); !errors.Is(err, ErrNoSource) {
		t.Errorf("without a source: %v", err)
	}
	if _, err := w.prober.Send(Target{netip.MustParseAddr("192.0.2.1"), bpf.ProbeNode}); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("without a route: %v", err)
	}
	w.here.Remove(t, "eth0")
	if _, err := w.prober.Send(Target{there4, bpf.ProbeNode}); err == nil {
		t.Error("without a device: no error")
	}
	if got := w.prober.Counters(); got != (Counters{Unsent: 3}) || len(w.prober.ledger.waiting) != 0 {
		t.Errorf("counters %+v, waiting for %d", got, len(w.prober.ledger.waiting))
	}
}

// A source that no device has yet, as while a machine starts, can be used when
// it comes.
func TestSourceComesLater(t *testing.T) {
	late := netip.MustParseAddr("172.20.1.9")
	w := newWorld(t, Config{Sources: []netip.Addr{late}})
	r := w.respond()
	w.must(r.SetAskers([]netip.Addr{late}))
	w.here.Address(t, "eth0", netip.PrefixFrom(late, 16))
	w.send(Target{there4, bpf.ProbeNode})
	w.collect(1)
	if _, err := Open(Config{Sources: []netip.Addr{here4, late}}); err == nil {
		t.Error("two sources of a family")
	}
}
