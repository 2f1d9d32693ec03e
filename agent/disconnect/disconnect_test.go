package disconnect

import (
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/bpf/bpftest"
)

func frontend(at string, protocol uint8) bpf.Frontend {
	return bpf.Frontend{Address: netip.MustParseAddrPort(at), Protocol: protocol}
}

// Of each kind of socket the one whose backend died is ended, and no other: not the
// one beside it, nor one that was connected to the same address without us; also of
// those that found no room in the maps.
func TestEndsConnectionsToTheDead(t *testing.T) {
	for name, c := range map[string]struct {
		frontend, local string
		family, kind    int
	}{
		"TCP over IPv4":            {"10.96.0.1:80", "127.0.0.1:0", unix.AF_INET, unix.SOCK_STREAM},
		"TCP over IPv6":            {"[fd00:96::1]:80", "[::1]:0", unix.AF_INET6, unix.SOCK_STREAM},
		"IPv4 through AF_INET6":    {"10.96.0.1:80", "127.0.0.1:0", unix.AF_INET6, unix.SOCK_STREAM},
		"UDP over IPv4":            {"10.96.0.1:80", "127.0.0.1:0", unix.AF_INET, unix.SOCK_DGRAM},
		"UDP over IPv6":            {"[fd00:96::1]:80", "[::1]:0", unix.AF_INET6, unix.SOCK_DGRAM},
		"UDP, IPv4 through INET6":  {"10.96.0.1:80", "127.0.0.1:0", unix.AF_INET6, unix.SOCK_DGRAM},
		"TCP, the SYN unanswered":  {"10.96.0.1:80", "", unix.AF_INET, unix.SOCK_STREAM},
		"TCP6, the SYN unanswered": {"[fd00:96::1]:80", "", unix.AF_INET6, unix.SOCK_STREAM},
	} {
		for where, world := range map[string]func(*testing.T) *world{"": newWorld, ", no room": newCrowdedWorld} {
			t.Run(name+where, func(t *testing.T) {
				w := world(t)
				protocol := uint8(unix.IPPROTO_TCP)
				if c.kind == unix.SOCK_DGRAM {
					protocol = unix.IPPROTO_UDP
				}
				f := frontend(c.frontend, protocol)
				dies, stays := w.silent(f), w.silent(f)
				if c.local != "" {
					dies, stays = w.listener(c.local, backlog), w.listener(c.local, backlog)
				}
				w.serve(f, dies, stays, bpf.Pod)
				dead, alive := w.connect(f.Address, dying, c.family, c.kind), w.connect(f.Address, staying, c.family, c.kind)
				if counters, err := w.Counters(); err != nil || (counters.Spilled == 0) != (where == "") {
					t.Fatalf("%d found no room (%v)", counters.Spilled, err)
				}
				direct := w.place.Socket(t, c.family, c.kind|unix.SOCK_NONBLOCK, 0)
				if err := unix.Connect(direct, bpftest.Sockaddr(dies, c.family == unix.AF_INET6)); err != nil && err != unix.EINPROGRESS {
					t.Fatal(err)
				}
				w.dies(dead, alive, direct)
			})
		}
	}
}

// dies says that the cluster of the dying is down, and sees the one connection end
// for it, once, and none of the others.
func (w *world) dies(dead int, others ...int) {
	w.Helper()
	cut := func() {
		w.Helper()
		if err := w.cut(); err != nil {
			w.Fatal(err)
		}
	}
	if cut(); w.ended(dead) {
		w.Fatal("ended although nobody is down")
	}
	w.Clusters.Set(dyingCluster, bpf.ClusterDown)
	if cut(); !w.ended(dead) {
		w.Error("the connection to the dead goes on")
	}
	if slices.ContainsFunc(others, w.ended) {
		w.Error("another was ended, too")
	}
	if _, ok := w.find(dead); ok {
		w.Error("it is listed still")
	}
	if cut(); w.ended(dead) {
		w.Error("ended a second time")
	}
	if got := w.Disconnector.Status(); got.Ended != 1 || got.Problem != "" {
		w.Errorf("status: %+v", got)
	}
}

// A datagram socket that was connected to the dead, and is to nobody now, serves
// something else: it is not told of an end.
func TestDissolved(t *testing.T) {
	for name, world := range map[string]func(*testing.T) *world{"in the maps": newWorld, "no room": newCrowdedWorld} {
		t.Run(name, func(t *testing.T) {
			w := world(t)
			f := frontend("10.96.0.1:53", unix.IPPROTO_UDP)
			w.serve(f, w.listener("127.0.0.1:0", backlog), w.listener("127.0.0.1:0", backlog), bpf.Pod)
			fd := w.connect(f.Address, dying, unix.AF_INET, unix.SOCK_DGRAM)
			bpftest.Dissolve(t, fd)
			if err := unix.Bind(fd, bpftest.Sockaddr(netip.MustParseAddrPort("127.0.0.1:5353"), false)); err != nil {
				t.Fatal(err)
			}
			w.Clusters.Set(dyingCluster, bpf.ClusterDown)
			if err := w.cut(); err != nil || w.ended(fd) {
				t.Errorf("ended, although it is connected to nobody (%v)", err)
			}
		})
	}
}

// silent returns an address that answers no SYN: its queue is full.
func (w *world) silent(f bpf.Frontend) netip.AddrPort {
	w.Helper()
	at, family := "127.0.0.1:0", unix.AF_INET
	if f.Address.Addr().Is6() {
		at, family = "[::1]:0", unix.AF_INET6
	}
	address := w.listener(at, 0)
	for range 2 {
		fd := w.place.Socket(w.T, family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
		if err := unix.Connect(fd, bpftest.Sockaddr(address, family == unix.AF_INET6)); err != nil && err != unix.EINPROGRESS {
			w.Fatal(err)
		}
	}
	return address
}

// A node's two bits are about its own addresses and about its pods', of one family.
func TestNodeIsDownByKind(t *testing.T) {
	for _, c := range []struct {
		kind  bpf.Kind
		bit   uint8
		ended bool
	}{{bpf.Pod, bpf.PodsDown, true}, {bpf.Pod, bpf.NodeDown, false}, {bpf.Host, bpf.NodeDown, true}, {bpf.Host, bpf.PodsDown, false},
		{bpf.Pod, bpf.PodsDown & bpf.V4, true}, {bpf.Pod, bpf.PodsDown & bpf.V6, false}, {bpf.Host, bpf.NodeDown & bpf.V6, false}} {
		w := newWorld(t)
		f := frontend("10.96.0.1:80", unix.IPPROTO_TCP)
		w.serve(f, w.listener("127.0.0.1:0", backlog), w.listener("127.0.0.1:0", backlog), c.kind)
		fd := w.connect(f.Address, dying, unix.AF_INET, unix.SOCK_STREAM)
		w.Nodes.Set(dyingNode, c.bit)
		if err := w.cut(); err != nil || w.ended(fd) != c.ended {
			t.Errorf("kind %v, bits %b: ended %v (%v)", c.kind, c.bit, !c.ended, err)
		}
	}
}

// While nobody else serves, a connection is left; when somebody does, it ends.
func TestNobodyElseServes(t *testing.T) {
	w := newWorld(t)
	f := frontend("10.96.0.1:80", unix.IPPROTO_TCP)
	w.serve(f, w.listener("127.0.0.1:0", backlog), w.listener("127.0.0.1:0", backlog), bpf.Pod)
	fd := w.connect(f.Address, dying, unix.AF_INET, unix.SOCK_STREAM)
	w.Clusters.Set(dyingCluster, bpf.ClusterDown)
	w.Clusters.Set(2, bpf.ClusterDown)
	if err := w.cut(); err != nil || w.ended(fd) {
		t.Fatalf("ended although all are down (%v)", err)
	}
	w.Backends.SetState(staying, bpf.Draining)
	w.Clusters.Set(2, 0)
	if err := w.cut(); err != nil || w.ended(fd) {
		t.Fatalf("ended for one that takes no new connections (%v)", err)
	}
	w.Backends.SetState(staying, bpf.Active)
	w.run() // it looks without being told
	w.until("the connection ends", func() bool { return w.ended(fd) })
}

// Run ends at once what the process before left, and what it is told of.
func TestRun(t *testing.T) {
	w := newWorld(t)
	f := frontend("10.96.0.1:80", unix.IPPROTO_TCP)
	w.serve(f, w.listener("127.0.0.1:0", backlog), w.listener("127.0.0.1:0", backlog), bpf.Pod)
	first := w.connect(f.Address, dying, unix.AF_INET, unix.SOCK_STREAM)
	w.Nodes.Set(dyingNode, bpf.PodsDown)
	w.run()
	w.until("what was left is ended", func() bool { return w.ended(first) })
	w.Nodes.Clear()
	second := w.connect(f.Address, dying, unix.AF_INET, unix.SOCK_STREAM)
	w.Nodes.Set(dyingNode, bpf.PodsDown)
	w.Wake()
	w.until("the next is ended", func() bool { return w.ended(second) })
}

// A backend whose number another has by now says nothing of the socket's.
func TestNumberIsAnothers(t *testing.T) {
	w := newWorld(t)
	f := frontend("10.96.0.1:80", unix.IPPROTO_TCP)
	w.serve(f, w.listener("127.0.0.1:0", backlog), w.listener("127.0.0.1:0", backlog), bpf.Pod)
	fd := w.connect(f.Address, dying, unix.AF_INET, unix.SOCK_STREAM)
	w.Backends.SetState(dying, bpf.Free)
	w.Backends.Write(dying, bpf.Backend{Service: service, Address: netip.MustParseAddrPort("10.2.0.1:80"), State: bpf.Active, Cluster: 3})
	w.Clusters.Set(3, bpf.ClusterDown)
	if err := w.cut(); err != nil || w.ended(fd) {
		t.Errorf("ended for the death of another (%v)", err)
	}
}

// Places whose sockets are gone without a word are freed, those of others are not.
func TestSweep(t *testing.T) {
	w := newWorld(t)
	f := frontend("10.96.0.1:80", unix.IPPROTO_TCP)
	w.serve(f, w.listener("127.0.0.1:0", backlog), w.listener("127.0.0.1:0", backlog), bpf.Pod)
	open := w.connect(f.Address, dying, unix.AF_INET, unix.SOCK_STREAM)
	mptcp, err := w.place.NewSocket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(mptcp, bpftest.Sockaddr(f.Address, false)); err != nil {
		t.Fatal(err)
	}
	places := func() (n int) {
		for range w.Sockets.Placed() {
			n++
		}
		return n
	}
	// Closed with a reset, so that it does not linger.
	if err := unix.SetsockoptLinger(mptcp, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		t.Fatal(err)
	}
	unix.Close(mptcp)
	if n := places(); n != 2 {
		t.Fatalf("%d places are taken: if the kernel tells of MPTCP's sockets now, sweep is of no use", n)
	}
	w.until("the subflow's place is freed", func() bool {
		if err := w.sweep(); err != nil {
			t.Fatal(err)
		}
		return places() == 1
	})
	if _, ok := w.find(open); !ok {
		t.Error("an open socket lost its place")
	}
}

// What a drained backend still has when its time is over ends, not before, and
// whether another serves or not.
func TestDrainIsOver(t *testing.T) {
	w := newWorld(t)
	f := frontend("10.96.0.1:80", unix.IPPROTO_TCP)
	w.serve(f, w.listener("127.0.0.1:0", backlog), w.listener("127.0.0.1:0", backlog), bpf.Pod)
	fd := w.connect(f.Address, dying, unix.AF_INET, unix.SOCK_STREAM)
	w.Backends.SetState(staying, bpf.Free)
	w.Backends.SetState(dying, bpf.Draining)
	if err := w.cut(); err != nil || w.ended(fd) {
		t.Fatalf("ended while it drains (%v)", err)
	}
	w.Backends.SetState(dying, bpf.Ended)
	if err := w.cut(); err != nil || !w.ended(fd) {
		t.Errorf("it goes on (%v)", err)
	}
}

// A client whose peer ended in good order before it died reads all that it sent, and
// its end.
func TestPeerHadEnded(t *testing.T) {
	w := newWorld(t)
	f := frontend("10.96.0.1:80", unix.IPPROTO_TCP)
	w.serve(f, w.place.Serve(t, netip.MustParseAddrPort("127.0.0.1:0"), "bye"), w.listener("127.0.0.1:0", backlog), bpf.Pod)
	fd := w.connect(f.Address, dying, unix.AF_INET, unix.SOCK_STREAM)
	w.until("the peer ends", func() bool {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		return err == nil && info.State == closeWait
	})
	w.Clusters.Set(dyingCluster, bpf.ClusterDown)
	if err := w.cut(); err != nil || w.ended(fd) {
		t.Errorf("ended, although the peer had (%v)", err)
	}
	for _, want := range []string{"bye", ""} {
		if got, _, err := bpftest.Receive(fd); err != nil || got != want {
			t.Errorf("read %q (%v), want %q", got, err, want)
		}
	}
}
