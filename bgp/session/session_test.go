package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestEstablished(t *testing.T) {
	l, r := newLibrary(t), newFake(t)
	s, _ := begin(t, l, Config{Router: r.addr()})
	o := r.establish()
	if o.ASN != 64513 || o.Restart == nil || !o.Restart.Forwarding[IPv4Unicast] || !o.Restart.Forwarding[IPv6Unicast] {
		t.Errorf("our OPEN: %+v, restart %+v", o, o.Restart)
	}
	for got := ""; !strings.HasPrefix(got, "+203.0.113.7/32 "); { // among ends of families
		got = show(r.next(typeUpdate))
	}
	l.awaitState(t, Established)
	got := s.Status()
	if got.Reason != "" || got.Successes != 1 || got.Attempts != 1 || got.Remote != r.addr() || got.HoldTime != 9*time.Second ||
		got.RouterOpen.Hostname != "tor" || got.LocalOpen.ASN != 64513 {
		t.Errorf("status %+v", got)
	}
	if got.Received.Keepalives != 1 || got.Received.Others != 1 || got.Sent.Updates == 0 || got.Sent.Last.IsZero() {
		t.Errorf("counts %+v, %+v", got.Received, got.Sent)
	}
}

// TestReasons has a router that ends the session in every way that it can.
func TestReasons(t *testing.T) {
	shutdown := cease(ceaseShutdown, "moving racks").message()
	for _, c := range []struct {
		name  string
		play  func(*fake)
		tells string // the NOTIFICATION that the router gets, or closed
		want  string
	}{
		{"wrong AS", func(r *fake) { r.accept(); r.send(openOf(64999, 9, "10.0.0.2")) },
			"2/2", "peer says its AS is 64999, we expect 64512"},
		{"hold time 0", func(r *fake) { r.accept(); r.send(openOf(64512, 0, "10.0.0.2")) },
			"2/6", "peer offers hold time 0: its session would never expire; set 3 s or more there"},
		{"refused by the router", func(r *fake) { r.accept(); r.send(build(typeNotification, []byte{2, 2})) },
			"closed", "the router refused our OPEN: OPEN message error: bad peer AS"},
		{"closed before OPEN", func(r *fake) { r.accept(); r.conn.(*net.TCPConn).CloseWrite() },
			"closed", "the router closed the connection before its OPEN: it may not know us as a neighbour"},
		{"no BGP", func(r *fake) { r.accept(); r.send(message("HTTP/1.1 400 Bad Request\r\n")) },
			"1/1", "peer sends what is no BGP: message header error: connection not synchronized"},
		{"KEEPALIVE first", func(r *fake) { r.accept(); r.send(keepalive()) },
			"5/1", "peer's first message is of type 4"},
		{"unknown type, even before OPEN", func(r *fake) { r.accept(); r.send(build(6)) },
			"1/3", "peer sends what is no BGP: message header error: bad message type"},
		{"UPDATE before KEEPALIVE", func(r *fake) { r.accept(); r.send(theRouter(), updateOf(nil, base, net24)) },
			"5/2", "peer sent a message of type 2 too early or twice"},
		{"OPEN twice", func(r *fake) { r.establish(); r.send(theRouter()) },
			"5/3", "peer sent a message of type 1 too early or twice"},
		{"unknown type", func(r *fake) { r.establish(); r.send(build(6)) },
			"1/3", "peer sends what is no BGP: message header error: bad message type"},
		{"what cannot be contained", func(r *fake) { r.establish(); r.send(updateOf(nil, join(attrs6, reach6), nil)) },
			"3/1", "peer sent a message that cannot be contained: UPDATE message error: malformed attribute list"},
		{"shutdown", func(r *fake) { r.establish(); r.send(shutdown) },
			"closed", `the router ended the session: cease: administrative shutdown ("moving racks")`},
		{"closed", func(r *fake) { r.establish(); r.conn.(*net.TCPConn).CloseWrite() },
			"closed", "the router closed the connection"},
		{"reset", func(r *fake) { r.establish(); r.conn.(*net.TCPConn).SetLinger(0); r.conn.Close() },
			"", "the connection was reset"},
		{"silence", func(r *fake) { r.accept(); r.send(openOf(64512, 3, "10.0.0.2"), keepalive()) },
			"4/0", "we ended the session: hold timer expired"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, r := newLibrary(t), newFake(t)
			begin(t, l, Config{Router: r.addr(), ConnectRetry: time.Second})
			c.play(r)
			switch c.tells {
			case "":
			case "closed":
				r.closed()
			default:
				if got := r.notification(); got != c.tells {
					t.Errorf("the router is told %s, want %s", got, c.tells)
				}
			}
			got := l.await(t, "ended", func(s Status) bool { return s.State == Idle && !s.LastEnd.At.IsZero() })
			if got.Reason != c.want || got.LastEnd.Reason != c.want {
				t.Errorf("reason %q, want %q", got.Reason, c.want)
			}
		})
	}
}

func TestNoConnection(t *testing.T) {
	closed := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), freePort(t))
	for _, c := range []struct {
		name string
		conf Config
		want string
	}{
		{"refused", Config{Router: closed}, "connection refused: nothing accepts BGP at " + closed.String()},
		{"source", Config{Router: closed, Source: netip.MustParseAddr("192.0.2.1")}, "source address 192.0.2.1 is not on this node"},
		{"device", Config{Router: closed, Device: "nosuch0"}, "device nosuch0 is not on this node"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLibrary(t)
			begin(t, l, c.conf)
			got := l.await(t, "idle for a reason", func(s Status) bool { return s.State == Idle && s.Attempts > 1 })
			if got.Reason != c.want {
				t.Errorf("reason %q, want %q", got.Reason, c.want)
			}
		})
	}
}

// TestCut has the router's side of an established connection reset, which is
// what a failing link or `ss -K` does.
func TestCut(t *testing.T) {
	l, r := newLibrary(t), newFake(t)
	// The first attempt must not wait for the next retry, which is later than any patience.
	begin(t, l, Config{Router: r.addr(), ConnectRetry: 2 * patience})
	for range 3 {
		r.establish()
		l.awaitState(t, Established)
		r.conn.(*net.TCPConn).SetLinger(0)
		r.conn.Close()
		if o := r.accept(); !o.Restart.Forwarding[IPv4Unicast] {
			t.Error("the forwarding bit is gone")
		}
		r.send(theRouter(), keepalive())
		r.next(typeKeepalive)
		l.awaitState(t, Established)
		r.conn.(*net.TCPConn).SetLinger(0)
		r.conn.Close()
	}
}

func TestStop(t *testing.T) {
	for _, c := range []struct {
		name  string
		cause error
		want  string
	}{
		{"to come back", nil, "closed"},
		{"for good", Shutdown("decommissioned"), "6/2"},
		{"peer removed", Deconfigured(), "6/3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, r := newLibrary(t), newFake(t)
			_, cancel := begin(t, l, Config{Router: r.addr()})
			r.establish()
			l.awaitState(t, Established)
			cancel(c.cause)
			if c.want == "closed" {
				r.closed()
			} else if got := r.notification(); got != c.want {
				t.Errorf("the router is told %s, want %s", got, c.want)
			}
		})
	}
}

// TestStopsInEveryState ends a session whose router does nothing at all.
func TestStopsInEveryState(t *testing.T) {
	l, r := newLibrary(t), newFake(t)
	_, cancel := begin(t, l, Config{Router: r.addr()})
	r.accept()
	l.awaitState(t, Opening)
	start := time.Now()
	cancel(nil)
	l.awaitState(t, Stopped)
	if took := time.Since(start); took > openTimeout/4 {
		t.Errorf("waiting for an OPEN, it stopped after %v", took)
	}
}

// TestMalformedUpdateWithdraws sees at GoBGP what the tables say.
func TestMalformedUpdateWithdraws(t *testing.T) {
	l, r := newLibrary(t), newFake(t)
	s, _ := begin(t, l, Config{Router: r.addr()})
	r.establish()
	l.awaitState(t, Established)
	events := l.watch(t)
	told := func(want string) {
		t.Helper()
		select {
		case got := <-events:
			if got != want {
				t.Fatalf("GoBGP took %s, want %s", got, want)
			}
		case <-time.After(patience):
			t.Fatalf("GoBGP took nothing, want %s", want)
		}
	}
	r.send(updateOf(nil, base, net24))
	told("+192.0.2.0/24")
	r.send(updateOf(nil, join(attr(0x40, 1, 3), path4, hop), net24))
	told("-192.0.2.0/24")
	r.send(updateOf(nil, base, net24))
	told("+192.0.2.0/24")
	if got := s.Status(); got.Withdrawn != 1 || got.State != Established {
		t.Errorf("status %+v", got)
	}
}

// twoOctets is the OPEN of a router whose AS numbers have two octets.
func twoOctets() message {
	return openOf(64512, 9, "10.0.0.2", []byte{1, 4, 0, 1, 0, 1}, []byte{64, 6, 0, 120, 0, 1, 1, 0x80})
}

// TestTwoOctets has a router that knows only AS numbers of two octets.
func TestTwoOctets(t *testing.T) {
	l, r := newLibrary(t), newFake(t)
	begin(t, l, Config{Router: r.addr()})
	r.establishAs(twoOctets())
	events := l.watch(t)
	r.send(updateOf(nil, join(originIGP, attr(0x40, 2, 2, 2, 0xfc, 0, 0x5b, 0xa0), hop, attr(0xc0, 7, 0xfc, 0, 10, 0, 0, 2),
		attr(0xc0, 17, 2, 2, 0, 0, 0xfc, 0, 0, 1, 0, 0)), net24))
	select {
	case got := <-events:
		if got != "+192.0.2.0/24" {
			t.Errorf("GoBGP took %s", got)
		}
	case <-time.After(patience):
		t.Error("GoBGP took nothing")
	}
	two := terms{families: map[Family]bool{IPv4Unicast: false}, external: true}
	for {
		u, end := two.parse(r.next(typeUpdate))
		if end != nil || u.verdict != fine {
			t.Fatalf("what we send is malformed: %v, %+v", end, u)
		}
		if len(u.nlri) > 0 {
			return
		}
	}
}

// TestCrashers sends everything that would bring the library down. The process
// that this test runs in is the one that would end.
func TestCrashers(t *testing.T) {
	l, r := newLibrary(t), newFake(t)
	begin(t, l, Config{Router: r.addr(), ConnectRetry: 50 * time.Millisecond})
	all := append(crashers(), build(6), build(0), build(7, []byte{1, 2, 3}), build(typeNotification, []byte{0, 0}))
	for _, open := range []message{theRouter(), twoOctets()} {
		for _, m := range all {
			r.establishAs(open)
			r.send(m, keepalive())
			r.conn.(*net.TCPConn).CloseWrite()
			for err := error(nil); err == nil; _, err = read(r.in) {
			}
			r.conn.Close()
		}
	}
	r.establish()
}

func TestMD5(t *testing.T) {
	for _, c := range []struct{ name, ours, theirs string }{
		{"same key", "secret", "secret"}, {"other key", "secret", "other"}, {"only ours", "secret", ""}, {"only theirs", "", "secret"},
	} {
		t.Run(c.name, func(t *testing.T) { testMD5(t, c.ours, c.theirs) })
	}
}

func testMD5(t *testing.T, ours, theirs string) {
	l, r := newLibrary(t), newFake(t)
	source := netip.MustParseAddr("127.0.0.1")
	if theirs != "" {
		raw, err := r.l.(*net.TCPListener).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if err := control(raw, func(fd int) error { return tcpMD5(fd, source, theirs) }); err != nil {
			t.Fatal(err)
		}
	}
	begin(t, l, Config{Router: r.addr(), Source: source, Password: ours, ConnectRetry: 200 * time.Millisecond})
	if ours == theirs {
		r.establish()
		l.awaitState(t, Established)
		return
	}
	got := l.await(t, "idle", func(s Status) bool { return s.State == Idle && s.Attempts > 0 })
	if !strings.HasPrefix(got.Reason, "no TCP answer: the router is away or ") || !strings.HasSuffix(got.Reason, " MD5 key") {
		t.Errorf("reason %q", got.Reason)
	}
}

// TestTTL has a router one hop away (RFC 5082): its packets must come with TTL 255.
func TestTTL(t *testing.T) {
	for _, theirs := range []int{255, 64} {
		t.Run(fmt.Sprint(theirs), func(t *testing.T) {
			l, r := newLibrary(t), newFake(t)
			raw, err := r.l.(*net.TCPListener).SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			err = control(raw, func(fd int) error {
				return errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, theirs),
					unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MINTTL, 255))
			})
			if err != nil {
				t.Fatal(err)
			}
			begin(t, l, Config{Router: r.addr(), TTL: 255, MinTTL: 255, Device: "lo", ConnectRetry: 200 * time.Millisecond})
			if theirs == 255 {
				r.establish()
				l.awaitState(t, Established)
				return
			}
			got := l.await(t, "idle", func(s Status) bool { return s.State == Idle && s.Attempts > 0 })
			if !strings.HasPrefix(got.Reason, "no TCP answer") {
				t.Errorf("reason %q", got.Reason)
			}
		})
	}
}

// listenerFor returns a listener at which the router is expected.
func listenerFor(t *testing.T, router netip.Addr, password string) (*Listener, <-chan net.Conn) {
	t.Helper()
	l, err := Listen(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"), "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the listener ended with %v", err)
		}
	})
	in, err := l.Expect(router, password)
	if err != nil {
		t.Fatal(err)
	}
	return l, in
}

// connect dials as the router does.
func (r *fake) connect(to netip.AddrPort, password string) error {
	conn, err := dial(r.t.Context(), Config{Router: to, Source: r.addr().Addr(), Password: password, ConnectRetry: 2 * time.Second})
	if err == nil {
		r.use(conn)
	}
	return err
}

func TestPassive(t *testing.T) {
	l, r := newLibrary(t), newFake(t)
	listener, in := listenerFor(t, r.addr().Addr(), "secret")
	s, _ := begin(t, l, Config{Router: r.addr(), Passive: true, Incoming: in, Password: "secret"})
	if err := r.connect(listener.Addr(), "wrong"); err == nil {
		t.Error("a connection with a wrong key was accepted")
	}
	for range 2 {
		if err := r.connect(listener.Addr(), "secret"); err != nil {
			t.Fatal(err)
		}
		r.open()
		r.send(theRouter(), keepalive())
		r.next(typeKeepalive)
		l.awaitState(t, Established)
		r.conn.Close()
		l.awaitState(t, Idle)
	}
	if n := s.Status().Attempts; n != 0 {
		t.Errorf("it dialled %d times", n)
	}
	if err := listener.Forget(r.addr().Addr()); err != nil {
		t.Fatal(err)
	}
	if err := r.connect(listener.Addr(), ""); err == nil {
		r.closed()
	}
}

// TestCollision has both sides dial. The router's identifier is 10.0.0.2, ours
// 10.0.0.1: the router's connection stays; or, with 10.0.0.0, ours.
func TestCollision(t *testing.T) {
	t.Run("theirs", func(t *testing.T) { testCollision(t, "10.0.0.2", false) })
	t.Run("ours", func(t *testing.T) { testCollision(t, "10.0.0.0", true) })
}

func testCollision(t *testing.T, id string, oursStays bool) {
	l, r := newLibrary(t), newFake(t)
	listener, in := listenerFor(t, r.addr().Addr(), "")
	begin(t, l, Config{Router: r.addr(), Incoming: in})
	open := openOf(64512, 9, id, []byte{64, 6, 0, 120, 0, 1, 1, 0x80})
	r.accept()
	theirs := &fake{t: t, l: r.l}
	if err := theirs.connect(listener.Addr(), ""); err != nil {
		t.Fatal(err)
	}
	theirs.send(open)
	winner, loser := theirs, r
	if oursStays {
		winner, loser = r, theirs
	}
	if got := loser.notification(); got != "6/7" {
		t.Errorf("the loser is told %s", got)
	}
	if oursStays {
		winner.send(open)
	} else {
		winner.open()
	}
	winner.send(keepalive())
	winner.next(typeKeepalive)
	l.awaitState(t, Established)
}

// TestRestartedRouter has a router that forgot its connection dial anew.
func TestRestartedRouter(t *testing.T) {
	l, r := newLibrary(t), newFake(t)
	listener, in := listenerFor(t, r.addr().Addr(), "")
	begin(t, l, Config{Router: r.addr(), Incoming: in})
	r.establish()
	l.awaitState(t, Established)
	again := &fake{t: t, l: r.l}
	if err := again.connect(listener.Addr(), ""); err != nil {
		t.Fatal(err)
	}
	again.send(openOf(64512, 9, "10.0.0.2"))
	if got := again.notification(); got != "6/7" {
		t.Errorf("a router without graceful restart is told %s", got)
	}
	if err := again.connect(listener.Addr(), ""); err != nil {
		t.Fatal(err)
	}
	again.send(theRouter())
	r.closed()
	again.open()
	again.send(keepalive())
	again.next(typeKeepalive)
	got := l.await(t, "established again", func(s Status) bool { return s.State == Established && s.Successes == 2 })
	if got.LastEnd.At.IsZero() || got.LastEnd.Reason != errReplaced.Error() {
		t.Errorf("status %+v", got)
	}
}

func TestYields(t *testing.T) {
	id := func(s string, as uint32) Open { return Open{ID: netip.MustParseAddr(s), ASN: as} }
	restarting := id("10.0.0.9", 1)
	restarting.Restart = &Restart{}
	ours := id("10.0.0.5", 5)
	for _, c := range []struct {
		name string
		p    present
		o    Open
		want bool
	}{
		{"higher identifier", present{true, false, ours}, id("10.0.0.6", 1), true},
		{"lower identifier", present{true, false, ours}, id("10.0.0.4", 9), false},
		{"compared as a number", present{true, false, id("9.0.0.0", 5)}, id("10.0.0.0", 1), true},
		{"equal identifiers, higher AS", present{true, false, ours}, id("10.0.0.5", 6), true},
		{"equal identifiers, lower AS", present{true, false, ours}, id("10.0.0.5", 4), false},
		{"the router dialled twice", present{false, false, ours}, id("10.0.0.4", 1), true},
		{"established", present{true, true, ours}, id("10.0.0.9", 9), false},
		{"established, graceful restart", present{true, true, ours}, restarting, true},
	} {
		if got := c.p.yields(c.o); got != c.want {
			t.Errorf("%s: yields is %v", c.name, got)
		}
	}
}

func TestValidate(t *testing.T) {
	c := Config{Router: netip.MustParseAddrPort("[fe80::1]:0"), Source: netip.MustParseAddr("10.0.0.1"),
		Password: strings.Repeat("x", 81), ConnectRetry: -1, Passive: true}
	err := c.Validate()
	if err == nil {
		t.Fatal("a wrong configuration is valid")
	}
	for _, want := range []string{"address and a port", "needs an interface", "router's family", "AS number", "80 bytes", "negative", "no listener", "loopback"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	if err := New(c, nil, slog.New(slog.DiscardHandler)).Run(t.Context()); err == nil {
		t.Error("it runs with a wrong configuration")
	}
}
