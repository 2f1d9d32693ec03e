package bpf

import (
	"errors"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
	"tombolo.io/tombolo/bpf/bpftest"
)

// A client of either family, or of IPv4 through an AF_INET6 socket, reaches a
// backend, and getpeername shows the frontend.
func TestConnect(t *testing.T) {
	for _, c := range []struct {
		name, frontend string
		family         int
		protocol       int
	}{
		{"IPv4", "10.96.0.1:80", unix.AF_INET, 0},
		{"IPv6", "[fd00:96::1]:80", unix.AF_INET6, 0},
		{"IPv4 through AF_INET6", "10.96.0.1:80", unix.AF_INET6, 0},
		// The hooks see MPTCP's first subflow, getpeername the whole.
		{"MPTCP", "10.96.0.1:80", unix.AF_INET, unix.IPPROTO_MPTCP},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			f := tcp(c.frontend)
			backend := w.Serve(t, local[f.Address.Addr().Is6()], "one")
			w.put(t, 1, f, active(backend))
			fd := w.Socket(t, c.family, unix.SOCK_STREAM, c.protocol)
			if err := unix.Connect(fd, bpftest.Sockaddr(f.Address, c.family == unix.AF_INET6)); err != nil {
				t.Fatalf("connecting: %v", err)
			}
			if got := bpftest.Read(t, fd); got != "one" {
				t.Errorf("%q answered", got)
			}
			if got := peer(t, fd); got != f.Address && c.protocol != unix.IPPROTO_MPTCP {
				t.Errorf("getpeername shows %s", got)
			}
			if c := w.counters(t); c.Selected != 1 {
				t.Errorf("counters: %+v", c)
			}
		})
	}
}

func peer(t *testing.T, fd int) netip.AddrPort {
	t.Helper()
	sa, err := unix.Getpeername(fd)
	if err != nil {
		t.Fatalf("asking for the peer: %v", err)
	}
	return bpftest.AddrPort(sa)
}

// What is no frontend is left alone: another port, another protocol, another
// scope, an address that nobody knows.
func TestNotAFrontend(t *testing.T) {
	w := newWorld(t)
	elsewhere := w.Serve(t, local[false], "service")
	direct := w.Serve(t, local[false], "direct")
	w.put(t, 1, Frontend{Address: direct, Protocol: unix.IPPROTO_UDP}, active(elsewhere))
	w.put(t, 2, Frontend{Address: direct, Protocol: unix.IPPROTO_TCP, Scope: ScopePacket}, active(elsewhere))
	w.put(t, 3, tcp(netip.AddrPortFrom(direct.Addr(), direct.Port()+1).String()), active(elsewhere))
	fd, err := w.Connect(t, direct)
	if err != nil {
		t.Fatal(err)
	}
	if got := bpftest.Read(t, fd); got != "direct" {
		t.Errorf("%q answered", got)
	}
	if got := peer(t, fd); got != direct {
		t.Errorf("getpeername shows %s", got)
	}
}

// Each backend gets its share of connections.
func TestShares(t *testing.T) {
	w := newWorld(t)
	f := tcp("10.96.0.1:80")
	one, two := w.Serve(t, local[false], "one"), w.Serve(t, local[false], "two")
	w.put(t, 1, f, active(one), active(two))
	const n = 1000
	seen := w.asks(t, w.Place, f, n)
	// Five standard deviations of a fair coin.
	if d := seen["one"] - n/2; d < -79 || d > 79 || seen["one"]+seen["two"] != n {
		t.Errorf("who answered: %v", seen)
	}
}

// A frontend without a backend refuses at once, in each way in which a socket speaks to
// it.
func TestRefused(t *testing.T) {
	send := func(fd int, to unix.Sockaddr) error { return unix.Sendto(fd, []byte("?"), 0, to) }
	for _, c := range ways {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			empty := netip.MustParseAddrPort(c.frontend)
			freed := netip.AddrPortFrom(empty.Addr(), 80)
			w.put(t, 1, tcp(empty.String()))
			w.put(t, 2, udp(empty.String()))
			numbers := w.put(t, 3, tcp(freed.String()), active(w.Serve(t, local[empty.Addr().Is6()], "one")))
			w.Backends.SetState(numbers[0], Free)
			for _, r := range []struct {
				name string
				typ  int
				to   netip.AddrPort
				call func(fd int, to unix.Sockaddr) error
			}{
				{"connecting", unix.SOCK_STREAM, empty, unix.Connect},
				{"connecting to a backend that is gone", unix.SOCK_STREAM, freed, unix.Connect},
				{"connecting UDP", unix.SOCK_DGRAM, empty, unix.Connect},
				{"sending", unix.SOCK_DGRAM, empty, send},
			} {
				fd := w.Socket(t, c.family, r.typ, 0)
				if err := r.call(fd, bpftest.Sockaddr(r.to, c.family == unix.AF_INET6)); !errors.Is(err, unix.ECONNREFUSED) {
					t.Errorf("%s: %v", r.name, err)
				}
			}
			if c := w.counters(t); c.Refused != 4 {
				t.Errorf("counters: %+v", c)
			}
		})
	}
}

// Kernels without bpf_set_retval refuse with EPERM.
func TestRefusedWithoutRetval(t *testing.T) {
	w := newWorld(t)
	w.put(t, 1, tcp("10.96.0.1:80"))
	progs, err := loadPrograms(w.maps, w.cfg.sizes(), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.programs.close(); err != nil {
		t.Fatal(err)
	}
	w.programs = progs
	if err := w.Attach(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Connect(t, tcp("10.96.0.1:80").Address); !errors.Is(err, unix.EPERM) {
		t.Errorf("connecting: %v", err)
	}
}

// A UDP socket that was connected to a frontend and then to the backend itself
// shows the backend.
func TestReconnect(t *testing.T) {
	w := newWorld(t)
	f := udp("10.96.0.1:53")
	backend := w.Serve(t, local[false], "one")
	w.put(t, 1, f, active(backend))
	fd := w.Socket(t, unix.AF_INET, unix.SOCK_DGRAM, 0)
	for _, to := range []netip.AddrPort{f.Address, backend} {
		if err := unix.Connect(fd, bpftest.Sockaddr(to, false)); err != nil {
			t.Fatal(err)
		}
		if got := peer(t, fd); got != to {
			t.Errorf("connected to %s, getpeername shows %s", to, got)
		}
	}
}
