package bpf

import (
	"fmt"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
	"tombolo.io/tombolo/bpf/bpftest"
)

// question sends a datagram with an address, and returns who answers, and from where.
func question(t *testing.T, fd int, to netip.AddrPort, v6 bool) (string, netip.AddrPort) {
	t.Helper()
	if err := unix.Sendto(fd, []byte("?"), 0, bpftest.Sockaddr(to, v6)); err != nil {
		t.Fatalf("sending to %s: %v", to, err)
	}
	name, from, err := bpftest.Receive(fd)
	if err != nil {
		t.Fatalf("%s: %v", to, err)
	}
	return name, from
}

// ways are the ways in which a socket speaks to a frontend.
var ways = []struct {
	name, frontend string
	family         int
}{
	{"IPv4", "10.96.0.1:53", unix.AF_INET},
	{"IPv6", "[fd00:96::1]:53", unix.AF_INET6},
	{"IPv4 through AF_INET6", "10.96.0.1:53", unix.AF_INET6},
}

// An unconnected socket keeps its backend, and the answer comes from the
// frontend; while others go to others.
func TestUnconnected(t *testing.T) {
	for _, c := range ways {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			f := udp(c.frontend)
			at := local[f.Address.Addr().Is6()]
			w.put(t, 1, f, active(w.Serve(t, at, "one")), active(w.Serve(t, at, "two")))
			seen := make(map[string]bool)
			for range 30 {
				fd := w.Socket(t, c.family, unix.SOCK_DGRAM, 0)
				first, from := question(t, fd, f.Address, c.family == unix.AF_INET6)
				if from != f.Address {
					t.Fatalf("the answer came from %s", from)
				}
				for range 5 {
					if again, _ := question(t, fd, f.Address, c.family == unix.AF_INET6); again != first {
						t.Fatalf("%q answered, and then %q", first, again)
					}
				}
				seen[first] = true
			}
			if !seen["one"] || !seen["two"] {
				t.Errorf("of 30 sockets all went to %v", seen)
			}
			if c := w.counters(t); c.Sticky != 150 || c.Selected != 30 {
				t.Errorf("counters: %+v", c)
			}
		})
	}
}

// A connected socket is told the frontend as the source, too.
func TestConnectedDatagrams(t *testing.T) {
	for _, c := range ways {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			f := udp(c.frontend)
			w.put(t, 1, f, active(w.Serve(t, local[f.Address.Addr().Is6()], "one")))
			fd := w.Socket(t, c.family, unix.SOCK_DGRAM, 0)
			if err := unix.Connect(fd, bpftest.Sockaddr(f.Address, c.family == unix.AF_INET6)); err != nil {
				t.Fatal(err)
			}
			if _, err := unix.Write(fd, []byte("?")); err != nil {
				t.Fatal(err)
			}
			name, from, err := bpftest.Receive(fd)
			if err != nil {
				t.Fatal(err)
			}
			if name != "one" || from != f.Address {
				t.Errorf("%q answered from %s", name, from)
			}
			if got := peer(t, fd); got != f.Address {
				t.Errorf("getpeername shows %s", got)
			}
		})
	}
}

// One socket talks to several frontends; more than it has places for make it
// forget the one longest unused, and no other.
func TestManyFrontends(t *testing.T) {
	w := newWorld(t)
	var frontends []Frontend
	for i := range datagramFlows + 1 {
		f := udp(fmt.Sprintf("10.96.0.%d:53", i+1))
		w.put(t, uint32(i+1), f, active(w.Serve(t, local[false], f.String())))
		frontends = append(frontends, f)
	}
	fd := w.Socket(t, unix.AF_INET, unix.SOCK_DGRAM, 0)
	check := func(f Frontend) {
		t.Helper()
		if name, from := question(t, fd, f.Address, false); name != f.String() || from != f.Address {
			t.Errorf("%s: %q answered from %s", f, name, from)
		}
	}
	for range 2 {
		for _, f := range frontends[:datagramFlows] {
			check(f)
		}
	}
	check(frontends[0])
	check(frontends[datagramFlows]) // takes the place of frontends[1]
	sticky := w.counters(t).Sticky
	for _, f := range append(frontends[2:datagramFlows+1], frontends[0]) {
		check(f)
	}
	if got := int(w.counters(t).Sticky - sticky); got != datagramFlows {
		t.Errorf("%d of %d were remembered", got, datagramFlows)
	}
	check(frontends[1])
	if got := int(w.counters(t).Selected); got != datagramFlows+2 {
		t.Errorf("%d selections", got)
	}
}

// A socket that turns to the backend by its own address is answered from there,
// whether it sends or connects, and from the frontend when it turns back.
func TestSpeaksDirectly(t *testing.T) {
	for _, c := range ways {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			f := udp(c.frontend)
			v6 := c.family == unix.AF_INET6
			backend := w.Serve(t, local[f.Address.Addr().Is6()], "one")
			w.put(t, 1, f, active(backend))
			fd := w.Socket(t, c.family, unix.SOCK_DGRAM, 0)
			for i, to := range []netip.AddrPort{f.Address, backend, f.Address, f.Address, backend} {
				if _, from := question(t, fd, to, v6); from != to {
					t.Errorf("question %d to %s: answered from %s", i, to, from)
				}
			}
			question(t, fd, f.Address, v6)
			if err := unix.Connect(fd, bpftest.Sockaddr(backend, v6)); err != nil {
				t.Fatal(err)
			}
			if _, err := unix.Write(fd, []byte("?")); err != nil {
				t.Fatal(err)
			}
			if _, from, err := bpftest.Receive(fd); err != nil || from != backend {
				t.Errorf("connected to %s: answered from %s (%v)", backend, from, err)
			}
		})
	}
}

// A socket leaves its backend when that goes down, is replaced, or belongs to a
// service that its frontend no longer leads to; it stays while it drains.
func TestSocketMovesOn(t *testing.T) {
	f := udp("10.96.0.1:53")
	for _, c := range []struct {
		name  string
		moves bool
		do    func(w *world, n uint32)
	}{
		{"down", true, func(w *world, n uint32) { w.Backends.SetState(n, Down) }},
		{"node down", true, func(w *world, n uint32) { w.Nodes.Set(7, PodsDown) }},
		{"cluster down", true, func(w *world, n uint32) { w.Clusters.Set(3, ClusterDown) }},
		{"free", true, func(w *world, n uint32) { w.Backends.SetState(n, Free) }},
		{"ended", true, func(w *world, n uint32) { w.Backends.SetState(n, Ended) }},
		{"draining", false, func(w *world, n uint32) { w.Backends.SetState(n, Draining) }},
		{"other node down", false, func(w *world, n uint32) { w.Nodes.Set(8, PodsDown|NodeDown) }},
		{"the node, but not its pods", false, func(w *world, n uint32) { w.Nodes.Set(7, NodeDown) }},
		{"written anew", true, func(w *world, n uint32) {
			b := w.Backends.Read(n)
			w.Backends.SetState(n, Free)
			if err := w.Grace(); err != nil {
				panic(err)
			}
			w.Backends.Write(n, b)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			one := active(w.Serve(t, local[false], "one"))
			one.Node, one.Cluster = 7, 3
			numbers := w.put(t, 1, f, one)
			fd := w.Socket(t, unix.AF_INET, unix.SOCK_DGRAM, 0)
			if name, _ := question(t, fd, f.Address, false); name != "one" {
				t.Fatalf("%q answered", name)
			}
			_, extent := w.table(1, unix.IPPROTO_UDP, active(w.Serve(t, local[false], "two")))
			w.Services.Write(1, Service{Primary: extent})
			if name, _ := question(t, fd, f.Address, false); name != "one" {
				t.Fatalf("before the change %q answered", name)
			}
			c.do(w, numbers[0])
			want := map[bool]string{true: "two", false: "one"}[c.moves]
			if name, from := question(t, fd, f.Address, false); name != want || from != f.Address {
				t.Errorf("%q answered from %s, want %q", name, from, want)
			}
		})
	}
}

// The most frontends that a socket remembers, as C has it.
const datagramFlows = len(mapsConversations{}.Flow)
