package bpf

import (
	"errors"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
	"tombolo.io/tombolo/bpf/bpftest"
)

// newCrowdedWorld makes a world with places for so many sockets.
func newCrowdedWorld(t *testing.T, sockets uint32) *world {
	t.Helper()
	env := bpftest.New(t)
	sizes := SmallSizes()
	sizes.Sockets = sockets
	w := &world{Env: env, Datapath: load(t, env, sizes), backends: 1}
	if err := w.Attach(); err != nil {
		t.Fatal(err)
	}
	return w
}

// A closed socket's place is free: as many as one likes come one after the other.
func TestSocketPlacesAreFreed(t *testing.T) {
	w := newCrowdedWorld(t, socketWays)
	f := tcp("10.96.0.1:80")
	w.put(t, 1, f, active(w.Serve(t, local[false], "one")))
	for range 20 * socketWays {
		if err := askOnce(w.Place, f, "one"); err != nil {
			t.Fatal(err)
		}
	}
	if c := w.counters(t); c.Spilled != 0 || c.Selected != uint64(20*socketWays) {
		t.Errorf("counters: %+v", c)
	}
}

// Sockets for which there is no place are connected too, and each shows its own
// frontend, whichever of them are closed or connected again meanwhile.
func TestMoreSocketsThanPlaces(t *testing.T) {
	w := newCrowdedWorld(t, socketWays)
	one, two := udp("10.96.0.1:53"), udp("10.96.0.2:53")
	w.put(t, 1, one, active(w.Serve(t, local[false], "one")))
	w.put(t, 2, two, active(w.Serve(t, local[false], "two")))
	connect := func(fd int, f Frontend) {
		t.Helper()
		if err := unix.Connect(fd, bpftest.Sockaddr(f.Address, false)); err != nil {
			t.Fatalf("connecting to %v: %v", f, err)
		}
	}
	const n = 4 * 8
	fds, to := make([]int, n), make([]Frontend, n)
	for i := range fds {
		fds[i], to[i] = w.Socket(t, unix.AF_INET, unix.SOCK_DGRAM, 0), one
		connect(fds[i], one)
	}
	if c := w.counters(t); c.Spilled != n-uint64(socketWays) || c.OutOfMemory != 0 {
		t.Errorf("counters: %+v", c)
	}
	for i := 0; i < n; i += 2 { // of those with a place and those without
		to[i] = two
		connect(fds[i], two)
	}
	for i, fd := range fds {
		if got := peer(t, fd); got != to[i].Address {
			t.Errorf("socket %d is connected to %v and shows %v", i, to[i].Address, got)
		}
	}
	// A socket that is connected to nobody shows nobody.
	for _, fd := range []int{fds[0], fds[n-1]} {
		if err := unix.Connect(fd, bpftest.Sockaddr(w.Backends.Read(2).Address, false)); err != nil {
			t.Fatal(err)
		}
		if got := peer(t, fd); got != w.Backends.Read(2).Address {
			t.Errorf("connected to the backend itself it shows %v", got)
		}
		if _, err := unix.Getpeername(disconnect(fd)); !errors.Is(err, unix.ENOTCONN) {
			t.Errorf("disconnected: %v", err)
		}
	}
}

// disconnect ends what a datagram socket was connected to (connect(2): AF_UNSPEC),
// and returns it.
func disconnect(fd int) int {
	sa := unix.RawSockaddr{Family: unix.AF_UNSPEC}
	unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&sa)), unsafe.Sizeof(sa))
	return fd
}
