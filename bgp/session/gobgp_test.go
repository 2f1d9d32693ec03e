package session

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	api "github.com/osrg/gobgp/v3/api"
	"github.com/osrg/gobgp/v3/pkg/log"
	"github.com/osrg/gobgp/v3/pkg/server"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// patience is how long a test waits for what should take milliseconds.
const patience = time.Minute

// library is a GoBGP server with a few paths, and the owner of a session.
type library struct {
	*server.BgpServer
	leg     Server
	asn     uint32 // the router's
	restart bool   // the first OPEN says that we have restarted
	added   bool   // only Reset, on one goroutine, touches it
	changes chan Status
}

var legs atomic.Uint32

func newLibrary(t *testing.T) *library {
	t.Helper()
	l, err := startLibrary(t.Context(), Server{
		Addr:     netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), freePort(t)),
		Source:   netip.AddrFrom4([4]byte{127, 0, 1, byte(1 + legs.Add(1))}),
		Password: "only for loopback",
	}, "203.0.113.7/32 10.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.stop)
	return l
}

// stop shuts the session down first and waits: StopBgp
// writes what a session that is being opened reads, with nothing between them.
func (l *library) stop() {
	ctx := context.Background()
	_ = l.DisablePeer(ctx, &api.DisablePeerRequest{Address: l.leg.Source.String()})
	for until := time.Now().Add(patience); l.enabled(ctx) && time.Now().Before(until); {
		time.Sleep(time.Millisecond)
	}
	l.Stop()
}

func (l *library) enabled(ctx context.Context) (is bool) {
	_ = l.ListPeer(ctx, &api.ListPeerRequest{}, func(p *api.Peer) {
		state := p.GetState()
		is = state.GetSessionState() != api.PeerState_IDLE || state.GetAdminState() == api.PeerState_UP
	})
	return is
}

// startLibrary starts a server that has paths, written "PREFIX NEXTHOP".
func startLibrary(ctx context.Context, leg Server, paths ...string) (*library, error) {
	l := &library{server.NewBgpServer(server.LoggerOption(quiet{})), leg, 64512, false, false, make(chan Status, 1000)}
	go l.Serve()
	err := l.StartBgp(ctx, &api.StartBgpRequest{Global: &api.Global{
		Asn: 64513, RouterId: "10.0.0.1", ListenPort: int32(leg.Addr.Port()), ListenAddresses: []string{"127.0.0.1"}}})
	if err != nil {
		return nil, err
	}
	for _, p := range paths {
		prefix, hop, _ := strings.Cut(p, " ")
		if _, err := l.AddPath(ctx, &api.AddPathRequest{Path: path(netip.MustParsePrefix(prefix), hop)}); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func path(p netip.Prefix, hop string) *api.Path {
	f := &api.Family{Afi: api.Family_AFI_IP6, Safi: api.Family_SAFI_UNICAST}
	if p.Addr().Is4() {
		f.Afi = api.Family_AFI_IP
	}
	prefix := &api.IPAddressPrefix{Prefix: p.Addr().String(), PrefixLen: uint32(p.Bits())}
	attrs := []proto.Message{&api.OriginAttribute{}, &api.NextHopAttribute{NextHop: hop}}
	if f.Afi == api.Family_AFI_IP6 {
		attrs[1] = &api.MpReachNLRIAttribute{Family: f, NextHops: []string{hop}, Nlris: []*anypb.Any{pack(prefix)}}
	}
	return &api.Path{Family: f, Nlri: pack(prefix), Pattrs: []*anypb.Any{pack(attrs[0]), pack(attrs[1])}}
}

func pack(m proto.Message) *anypb.Any {
	a, err := anypb.New(m)
	if err != nil {
		panic(err) // a message of the library's own that it cannot write
	}
	return a
}

// freePort returns a port on which nothing listens; another process could take
// it before it is used, which no test has seen.
func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

func (l *library) Changed(s Status) { l.changes <- s }

func (l *library) Reset(ctx context.Context) error {
	if l.added {
		if err := l.DeletePeer(ctx, &api.DeletePeerRequest{Address: l.leg.Source.String()}); err != nil {
			return err
		}
	}
	restarting := l.restart && !l.added
	l.added = true
	return l.AddPeer(ctx, &api.AddPeerRequest{Peer: &api.Peer{
		Conf: &api.PeerConf{NeighborAddress: l.leg.Source.String(), PeerAsn: l.asn, LocalAsn: 64513,
			AuthPassword: l.leg.Password},
		Transport:       &api.Transport{PassiveMode: true, LocalAddress: "127.0.0.1"},
		Timers:          &api.Timers{Config: &api.TimersConfig{HoldTime: 9, KeepaliveInterval: 3}},
		EbgpMultihop:    &api.EbgpMultihop{Enabled: true, MultihopTtl: 2},
		GracefulRestart: &api.GracefulRestart{Enabled: true, RestartTime: 20, DeferralTime: 1, LocalRestarting: restarting},
		AfiSafis:        []*api.AfiSafi{family(api.Family_AFI_IP), family(api.Family_AFI_IP6)},
	}})
}

func family(afi api.Family_Afi) *api.AfiSafi {
	return &api.AfiSafi{
		Config:            &api.AfiSafiConfig{Family: &api.Family{Afi: afi, Safi: api.Family_SAFI_UNICAST}, Enabled: true},
		MpGracefulRestart: &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: true}},
	}
}

// watch returns what becomes the library's best path of a prefix, or ceases to be.
func (l *library) watch(t *testing.T) <-chan string {
	t.Helper()
	out := make(chan string, 10)
	best := &api.WatchEventRequest_Table{Filters: []*api.WatchEventRequest_Table_Filter{{Type: api.WatchEventRequest_Table_Filter_BEST}}}
	err := l.WatchEvent(t.Context(), &api.WatchEventRequest{Table: best}, func(r *api.WatchEventResponse) {
		for _, p := range r.GetTable().GetPaths() {
			var nlri api.IPAddressPrefix
			if err := p.Nlri.UnmarshalTo(&nlri); err != nil {
				continue
			}
			sign := "+"
			if p.IsWithdraw {
				sign = "-"
			}
			// The library has read the path without its lock: let its owner know
			// that this is done before the test goes on and the path changes.
			_, _ = l.GetBgp(context.Background(), &api.GetBgpRequest{})
			out <- fmt.Sprintf("%s%s/%d", sign, nlri.Prefix, nlri.PrefixLen)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// await returns the first status from now on of which ok is true.
func (l *library) await(t *testing.T, what string, ok func(Status) bool) Status {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case s := <-l.changes:
			if ok(s) {
				return s
			}
		case <-deadline:
			t.Fatalf("the session was never %s", what)
		}
	}
}

func (l *library) awaitState(t *testing.T, state State) Status {
	t.Helper()
	return l.await(t, string(state), func(s Status) bool { return s.State == state })
}

// quiet drops the library's log.
type quiet struct{}

func (quiet) Panic(string, log.Fields) {}
func (quiet) Fatal(string, log.Fields) {}
func (quiet) Error(string, log.Fields) {}
func (quiet) Warn(string, log.Fields)  {}
func (quiet) Info(string, log.Fields)  {}
func (quiet) Debug(string, log.Fields) {}
func (quiet) SetLevel(log.LogLevel)    {}
func (quiet) GetLevel() log.LogLevel   { return log.ErrorLevel }

// fake is the router that the test plays.
type fake struct {
	t    *testing.T
	l    net.Listener
	conn net.Conn
	in   *bufio.Reader
}

// newFake listens on an address of the loopback network.
func newFake(t *testing.T) *fake {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &fake{t: t, l: l}
}

func (r *fake) addr() netip.AddrPort { return r.l.Addr().(*net.TCPAddr).AddrPort() }

// accept takes the next connection and returns the OPEN on it. One that ends without a
// word the session had given up: it took the kernel's word for it too late.
func (r *fake) accept() Open {
	r.t.Helper()
	r.l.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	for {
		conn, err := r.l.Accept()
		if err != nil {
			r.t.Fatal(err)
		}
		r.use(conn)
		if _, err := r.in.Peek(1); err == nil {
			return r.open()
		}
	}
}

// open reads an OPEN.
func (r *fake) open() Open {
	r.t.Helper()
	o, err := ParseOpen(r.next(typeOpen))
	if err != nil {
		r.t.Fatal(err)
	}
	return o
}

func (r *fake) use(conn net.Conn) {
	r.conn, r.in = conn, bufio.NewReaderSize(conn, bufferSize)
	conn.SetDeadline(time.Now().Add(patience))
	r.t.Cleanup(func() { conn.Close() })
}

// next returns the next message, which must be of a type.
func (r *fake) next(kind byte) message {
	r.t.Helper()
	m, err := read(r.in)
	if err != nil {
		r.t.Fatalf("waiting for a message of type %d: %v", kind, err)
	}
	if m.kind() != kind {
		r.t.Fatalf("got a message of type %d, want %d: %x", m.kind(), kind, m)
	}
	return clone(m)
}

// notification skips messages up to a NOTIFICATION and returns it as code/subcode.
func (r *fake) notification() string {
	r.t.Helper()
	for {
		m, err := read(r.in)
		if err != nil {
			r.t.Fatalf("waiting for a NOTIFICATION: %v", err)
		}
		if m.kind() == typeNotification {
			n := parseNotification(m)
			r.conn.Close() // as a router does; the session waits for it, so that this is not lost
			return fmt.Sprintf("%d/%d", n.Code, n.Subcode)
		}
	}
}

// closed sees to it that the connection ends without a NOTIFICATION.
func (r *fake) closed() {
	r.t.Helper()
	for {
		m, err := read(r.in)
		if err == io.EOF {
			return
		}
		if err != nil {
			r.t.Fatalf("waiting for the end: %v", err)
		}
		if m.kind() == typeNotification {
			r.t.Fatalf("got %v before the end", parseNotification(m))
		}
	}
}

func (r *fake) send(all ...message) {
	r.t.Helper()
	for _, m := range all {
		if _, err := r.conn.Write(m); err != nil {
			r.t.Fatal(err)
		}
	}
}

// establish accepts and brings the session up.
func (r *fake) establish() Open { return r.establishAs(theRouter()) }

// establishAs does so with another OPEN.
func (r *fake) establishAs(open message) Open {
	r.t.Helper()
	o := r.accept()
	r.send(open, keepalive())
	r.next(typeKeepalive)
	return o
}

// begin runs a session with the router and returns what ends it.
func begin(t *testing.T, l *library, c Config) (*Session, context.CancelCauseFunc) {
	t.Helper()
	c.ASN, c.Server = l.asn, l.leg
	if c.ConnectRetry == 0 {
		c.ConnectRetry = time.Second // which is also how long a connection may take to be made
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	s := New(c, l, slog.New(slog.NewTextHandler(t.Output(), nil)))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel(nil)
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("the session ended with %v", err)
			}
		case <-time.After(patience):
			t.Error("the session does not end")
		}
		if state := s.Status().State; state != Stopped {
			t.Errorf("after its end the session is %s", state)
		}
	})
	return s, cancel
}
