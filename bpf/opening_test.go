package bpf

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"tombolo.io/tombolo/bpf/bpftest"
)

// watched is a world with one service that wants to know of failures.
type watched struct {
	*world
	frontend Frontend
	backend  netip.AddrPort
	number   uint32
	told     chan []Failure
}

// watch makes a service of one backend, whose openings are watched.
func watch(t *testing.T, frontend string, backend netip.AddrPort) *watched {
	t.Helper()
	w := &watched{world: newWorld(t), frontend: tcp(frontend), told: make(chan []Failure, 100)}
	if backend.Port() == 0 { // one on which nobody listens
		backend = localAt(t, w.Place, backend)
	}
	w.backend = backend
	w.number = w.put(t, 1, w.frontend, active(backend))[0]
	w.outliers(true)
	f, err := w.Failures()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			all, err := f.Read()
			if err != nil {
				return
			}
			w.told <- all
		}
	}()
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	return w
}

// localAt returns an address whose port is free.
func localAt(t *testing.T, p *bpftest.Place, at netip.AddrPort) netip.AddrPort {
	t.Helper()
	family := unix.AF_INET
	if at.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := p.NewSocket(family, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, bpftest.Sockaddr(at, at.Addr().Is6())); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return bpftest.AddrPort(sa)
}

func (w *watched) outliers(on bool) {
	s := w.Services.Read(1)
	s.Outliers = on
	w.Services.Write(1, s)
}

// tells waits for failures of the service by a cause and returns how many in a
// row each was; nothing else may be told.
func (w *watched) tells(t *testing.T, cause FailureCause, n int) (runs []uint32) {
	t.Helper()
	for patience := time.After(10 * time.Second); len(runs) < n; {
		select {
		case all := <-w.told:
			for _, f := range all {
				if f.Service != 1 || f.Address != w.backend || f.Cause != cause {
					t.Errorf("told of %+v, want %v by service 1 at %v", f, cause, w.backend)
				}
				runs = append(runs, f.InARow)
			}
		case <-patience:
			t.Fatalf("told of %d failures, want %d", len(runs), n)
		}
	}
	return runs
}

// runs returns the runs that are counted with the backend.
func (w *watched) runs() (failures, resets uint32) {
	b := w.Backends.Read(w.number)
	return b.Failures, b.Resets
}

// Connections that are refused are counted in a row and told, of both families
// and of IPv4 through an AF_INET6 socket, until one opens.
func TestRefusedConnectionsAreTold(t *testing.T) {
	for _, c := range []struct {
		name, frontend string
		family         int
	}{
		{"IPv4", "10.96.0.1:80", unix.AF_INET},
		{"IPv6", "[fd00:96::1]:80", unix.AF_INET6},
		{"IPv4 through AF_INET6", "10.96.0.1:80", unix.AF_INET6},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := tcp(c.frontend).Address
			w := watch(t, c.frontend, local[at.Addr().Is6()])
			connect := func() error {
				fd := w.Socket(t, c.family, unix.SOCK_STREAM, 0)
				defer unix.Shutdown(fd, unix.SHUT_RDWR)
				return unix.Connect(fd, bpftest.Sockaddr(at, c.family == unix.AF_INET6))
			}
			for range 3 {
				if err := connect(); !errors.Is(err, unix.ECONNREFUSED) {
					t.Fatalf("connecting: %v", err)
				}
			}
			if runs := w.tells(t, Refused, 3); !slices.Equal(runs, []uint32{1, 2, 3}) {
				t.Errorf("in a row: %v", runs)
			}
			w.Serve(t, w.backend, "one")
			if err := connect(); err != nil {
				t.Fatal(err)
			}
			if failures, resets := w.runs(); failures != 0 || resets != 0 {
				t.Errorf("after one that opened: %d and %d", failures, resets)
			}
			if c := w.counters(t); c.FailedRefused != 3 || c.FailedSilent+c.FailedReset+c.FailuresLost != 0 {
				t.Errorf("counters: %+v", c)
			}
		})
	}
}

// Only what we led to a backend counts, for a service that asked, and not what
// the client itself gave up.
func TestFailuresThatDoNotCount(t *testing.T) {
	w := watch(t, "10.96.0.1:80", local[false])
	refused := func(fd int, to netip.AddrPort) {
		t.Helper()
		if err := unix.Connect(fd, bpftest.Sockaddr(to, false)); !errors.Is(err, unix.ECONNREFUSED) {
			t.Fatalf("connecting to %v: %v", to, err)
		}
	}
	w.outliers(false)
	fd := w.Socket(t, unix.AF_INET, unix.SOCK_STREAM, 0)
	refused(fd, w.frontend.Address)
	w.outliers(true)
	refused(fd, w.backend) // directly, by a socket that was led there before
	refused(w.Socket(t, unix.AF_INET, unix.SOCK_STREAM, 0), w.backend)
	if failures, _ := w.runs(); failures != 0 {
		t.Errorf("%d failures are counted", failures)
	}
	refused(fd, w.frontend.Address)
	refused(fd, w.backend)
	if runs := w.tells(t, Refused, 1); runs[0] != 1 {
		t.Errorf("in a row: %v", runs)
	}
	if failures, _ := w.runs(); failures != 1 {
		t.Errorf("%d failures are counted, want 1", failures)
	}
}

// A connect() that failed before its first SYN leaves the socket's opening behind.
// The connect() after it, which goes there without us, is none of the service's.
func TestOpeningLeftBehind(t *testing.T) {
	nowhere := netip.MustParseAddrPort("198.51.100.1:80")
	w := watch(t, "10.96.0.1:80", nowhere)
	fd := w.Socket(t, unix.AF_INET, unix.SOCK_STREAM, 0)
	connect := func(to netip.AddrPort, want error) {
		t.Helper()
		if err := unix.Connect(fd, bpftest.Sockaddr(to, false)); !errors.Is(err, want) {
			t.Fatalf("connecting to %v: %v, want %v", to, err, want)
		}
	}
	connect(w.frontend.Address, unix.ENETUNREACH)
	w.Own(t, netip.PrefixFrom(nowhere.Addr(), 32))
	connect(nowhere, unix.ECONNREFUSED)
	if failures, _ := w.runs(); failures != 0 {
		t.Errorf("%d failures are counted", failures)
	}
	connect(w.frontend.Address, unix.ECONNREFUSED)
	if failures, _ := w.runs(); failures != 1 {
		t.Errorf("%d failures are counted, want 1", failures)
	}
}

// full makes the backend listen and not answer SYNs any more: nobody accepts.
func (w *watched) full(t *testing.T) {
	t.Helper()
	fd := w.Socket(t, unix.AF_INET, unix.SOCK_STREAM, 0)
	if err := errors.Join(unix.Bind(fd, bpftest.Sockaddr(w.backend, false)), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Connect(t, w.backend); err != nil {
		t.Fatal(err)
	}
}

// opening starts to connect.
func (w *watched) opening(t *testing.T) int {
	t.Helper()
	fd, err := w.NewSocket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(fd, bpftest.Sockaddr(w.frontend.Address, false)); !errors.Is(err, unix.EINPROGRESS) {
		t.Fatalf("connecting: %v", err)
	}
	return fd
}

// A SYN without an answer is a failure when it is sent again, once; one that its
// client gave up before is none.
func TestSilentBackendIsTold(t *testing.T) {
	w := watch(t, "10.96.0.1:80", local[false])
	w.full(t)
	unix.Close(w.opening(t))
	began := time.Now()
	fd := w.opening(t)
	if runs := w.tells(t, Silent, 1); runs[0] != 1 {
		t.Errorf("in a row: %v", runs)
	}
	if took := time.Since(began); took < 900*time.Millisecond {
		t.Errorf("told after %v already", took)
	}
	unix.Close(fd)
	if failures, resets := w.runs(); failures != 1 || resets != 0 {
		t.Errorf("%d failures and %d resets are counted", failures, resets)
	}
}

// acceptor lets a backend accept connections and do something with each.
func (w *watched) acceptor(t *testing.T, each func(fd int)) {
	t.Helper()
	fd := w.Socket(t, unix.AF_INET, unix.SOCK_STREAM, 0)
	if err := errors.Join(unix.Bind(fd, bpftest.Sockaddr(w.backend, false)), unix.Listen(fd, 16)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Shutdown(fd, unix.SHUT_RDWR) })
	go func() {
		for {
			conn, _, err := unix.Accept(fd)
			if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
				continue
			}
			if err != nil {
				return
			}
			each(conn)
			unix.Close(conn)
		}
	}()
}

// A backend that accepts and resets, as a proxy does whose own backend is gone,
// fails too; it does not when a byte came, or when it ends in order.
func TestResetConnectionsAreTold(t *testing.T) {
	w := watch(t, "10.96.0.1:80", local[false])
	how := make(chan string, 1)
	w.acceptor(t, func(fd int) {
		way := <-how
		if way != "reset" {
			_, _ = unix.Write(fd, []byte("x"))
		}
		if way != "answer" {
			_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		}
	})
	connect := func(way string) {
		t.Helper()
		how <- way
		fd, err := w.Connect(t, w.frontend.Address)
		if errors.Is(err, unix.ECONNRESET) && way != "answer" {
			return // it came before connect() had returned
		}
		if err != nil {
			t.Fatal(err)
		}
		for { // to its end
			var b [1]byte
			n, err := unix.Read(fd, b[:])
			if errors.Is(err, unix.EINTR) || n > 0 {
				continue
			}
			if want := way != "answer"; errors.Is(err, unix.ECONNRESET) != want {
				t.Fatalf("%s: %v", way, err)
			}
			return
		}
	}
	connect("reset")
	connect("reset")
	if runs := w.tells(t, Reset, 2); !slices.Equal(runs, []uint32{1, 2}) {
		t.Errorf("in a row: %v", runs)
	}
	connect("answer and reset")
	if failures, resets := w.runs(); failures != 0 || resets != 0 {
		t.Errorf("after an answer %d and %d are counted", failures, resets)
	}
	connect("reset")
	connect("answer")
	if runs := w.tells(t, Reset, 1); runs[0] != 1 {
		t.Errorf("in a row: %v", runs)
	}
	if failures, resets := w.runs(); failures != 0 || resets != 0 {
		t.Errorf("after an end in order %d and %d are counted", failures, resets)
	}
}

// The kernel counts on while nobody listens, and of long runs tells some.
func TestFailuresWithoutAProcess(t *testing.T) {
	env := bpftest.New(t)
	d := load(t, env, SmallSizes())
	w := &watched{world: &world{Env: env, Datapath: d, backends: 1}, frontend: tcp("10.96.0.1:80")}
	if err := errors.Join(w.Attach(), w.Hear(true)); err != nil {
		t.Fatal(err)
	}
	w.backend = localAt(t, w.Place, local[false])
	w.number = w.put(t, 1, w.frontend, active(w.backend))[0]
	w.outliers(true)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	const n = 100
	for range n {
		fd, err := w.NewSocket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Connect(fd, bpftest.Sockaddr(w.frontend.Address, false)); !errors.Is(err, unix.ECONNREFUSED) {
			t.Fatal(err)
		}
		unix.Close(fd)
	}
	again, err := Load(d.cfg, d.log)
	if err != nil {
		t.Fatal(err)
	}
	*d = *again // which the test closes
	if failures, _ := w.runs(); failures != n {
		t.Errorf("%d failures are counted, want %d", failures, n)
	}
	f, err := w.Failures()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	told, err := f.rest(nil)
	if err != nil || len(told) != 0 {
		t.Errorf("a new process is told of what is old: %v, %v", told, err)
	}
	w.Backends.Forgive(w.number)
	if failures, resets := w.runs(); failures != 0 || resets != 0 {
		t.Errorf("forgiven, %d and %d are counted", failures, resets)
	}
}

// Of 100 failures in a row 64 are told, and then each sixteenth.
func TestLongRunsAreToldInPart(t *testing.T) {
	w := watch(t, "10.96.0.1:80", local[false])
	for range 100 {
		if _, err := w.Connect(t, w.frontend.Address); !errors.Is(err, unix.ECONNREFUSED) {
			t.Fatal(err)
		}
	}
	if runs := w.tells(t, Refused, 66); runs[63] != 64 || runs[64] != 80 || runs[65] != 96 {
		t.Errorf("in a row: %v", runs)
	}
}
