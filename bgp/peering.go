package bgp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"

	"tombolo.io/tombolo/bgp/session"
	"tombolo.io/tombolo/clustermesh"
)

// defaultPort is BGP's (RFC 4271 4.2).
const defaultPort = 179

// peering is what one router takes: a library server with the router's paths,
// and the session that connects the two. It is owned by the speaker's loop.
type peering struct {
	log   *slog.Logger
	local endpoints
	key   string // TCP MD5 between session and library
	moved chan<- struct{}
	// peer is what the session was made from; nil before the first.
	peer    *clustermesh.BGPPeer
	library *library
	session *session.Session
	// end stops the session for the cause it is given, and returns when it has.
	end func(cause error)
	// refused is why there is no session, in words for operators.
	refused error
	// met is set once a session was established: from then on this process is no
	// restarted speaker for the router.
	met atomic.Bool
}

// newPeering returns a peering without a session. number is one that no other
// peering of this process has, 1 to 65000.
func newPeering(log *slog.Logger, number int, moved chan<- struct{}) *peering {
	p := &peering{log: log, key: rand.Text(), moved: moved}
	p.local.session = netip.AddrFrom4([4]byte{127, 1, byte(number >> 8), byte(number)})
	return p
}

// set makes the router have what it should: a session with these attributes,
// and these paths.
func (p *peering) set(ctx context.Context, id netip.Addr, r router) error {
	peer := r.Peer
	need := restart
	if p.peer != nil {
		need = changeOf(p.peer, &peer)
	}
	if need == nothing && p.session != nil {
		p.peer = &peer
		return p.library.set(ctx, r.Paths)
	}
	conf, err := p.configure(&peer)
	if err != nil {
		// What runs goes on: a mistake in an object takes no route away.
		p.refused = err
		return err
	}
	if need == restart || p.library == nil {
		if err := p.renew(ctx, id, &peer); err != nil {
			return err
		}
	} else {
		p.stop(errors.New("another configuration"))
	}
	conf.Server.Addr = p.local.server
	if err := conf.Validate(); err != nil {
		p.refused = fmt.Errorf("BGPPeer %s: %w", peer.Name, err)
		return p.refused
	}
	// Never a neighbour before the RIB is whole: after a restart the router would
	// drop what it kept for us at the first End-of-RIB.
	if err := p.library.set(ctx, r.Paths); err != nil {
		return err
	}
	p.peer, p.refused = &peer, nil
	p.start(conf)
	return nil
}

// configure returns the session's configuration, or why there can be none.
func (p *peering) configure(peer *clustermesh.BGPPeer) (session.Config, error) {
	conf := session.Config{
		Router: netip.AddrPortFrom(peer.Address, peer.Port), Device: peer.Interface,
		ASN: peer.ASN, ConnectRetry: timersOf(peer).retry, TTL: peer.Multihop,
		Server: session.Server{Source: p.local.session, Password: p.key},
	}
	if peer.Port == 0 {
		conf.Router = netip.AddrPortFrom(peer.Address, defaultPort)
	}
	if peer.Address.IsLinkLocalUnicast() && peer.Interface != "" {
		conf.Router = netip.AddrPortFrom(peer.Address.WithZone(peer.Interface), conf.Router.Port())
	}
	if peer.Multihop == 0 && peer.ASN != peer.LocalASN {
		conf.TTL = 1 // an eBGP router is on the link, unless it is said not to be
	}
	if peer.PasswordFile == "" {
		return conf, nil
	}
	// Without the key there is no session: one without MD5 is not what was asked for.
	text, err := os.ReadFile(peer.PasswordFile)
	if err != nil {
		return conf, fmt.Errorf("reading the MD5 key of BGPPeer %s: %w", peer.Name, err)
	}
	conf.Password = strings.TrimRight(string(text), "\r\n")
	if conf.Password == "" {
		return conf, fmt.Errorf("the MD5 key of BGPPeer %s is empty: write it into %s", peer.Name, peer.PasswordFile)
	}
	return conf, nil
}

// renew replaces the library's server.
func (p *peering) renew(ctx context.Context, id netip.Addr, peer *clustermesh.BGPPeer) error {
	p.stop(errors.New("another configuration"))
	if p.library != nil {
		p.library.stop()
		p.library = nil
	}
	server, err := freePort()
	if err != nil {
		return err
	}
	p.local.server = server
	p.library, err = startLibrary(ctx, p.local, p.key, peer.LocalASN, id, p.log)
	return err
}

// start runs a session.
func (p *peering) start(conf session.Config) {
	ctx, cancel := context.WithCancelCause(context.Background())
	owner := &owner{p: p, library: p.library, peer: p.peer}
	s := session.New(conf, owner, p.log)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Run(ctx); err != nil {
			p.log.Error("session not started", "error", err)
		}
	}()
	p.session = s
	p.end = func(cause error) { cancel(cause); <-done }
}

// stop ends the session and returns when it has ended.
func (p *peering) stop(cause error) {
	if p.end != nil {
		p.end(cause)
		p.end, p.session = nil, nil
	}
}

// close ends the peering. A final one tells the router, which then drops our
// routes; otherwise the connection just closes, and the router keeps them for
// the restart time.
func (p *peering) close(final bool) {
	cause := context.Canceled
	if final {
		cause = session.Deconfigured()
	}
	p.stop(cause)
	if p.library != nil {
		p.library.stop()
	}
}

// owner is what a session knows of its peering. Its methods run on the
// session's goroutines, so it touches only what does not change under them.
type owner struct {
	p       *peering
	library *library
	peer    *clustermesh.BGPPeer
}

// Reset gives the library a neighbour that connects at once.
func (o *owner) Reset(ctx context.Context) error {
	return o.library.join(ctx, o.peer, !o.p.met.Load())
}

// Changed wakes the speaker's loop, which asks for the status.
func (o *owner) Changed(s session.Status) {
	if s.State == session.Established {
		o.p.met.Store(true)
	}
	select {
	case o.p.moved <- struct{}{}:
	default: // it is going to look anyway
	}
}

// freePort returns a port of loopback on which nobody listens at the moment.
func freePort() (netip.AddrPort, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("finding a free port on loopback: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort(), nil
}

// status says how the session is.
func (p *peering) status(r router) PeerStatus {
	st := PeerStatus{
		Name: r.Peer.Name, Address: r.Peer.Address, ASN: r.Peer.ASN, LocalASN: r.Peer.LocalASN,
		Advertised: countByFamily(r.Paths),
	}
	if p.session == nil {
		st.State, st.Reason = "Refused", "starting"
	} else {
		now := p.session.Status()
		st.State, st.Since, st.Reason = string(now.State), now.Since, now.Reason
		st.Sent, st.Received, st.Malformed = messages(now.Sent), messages(now.Received), now.Withdrawn+now.Discarded
	}
	if p.refused != nil {
		st.Reason = p.refused.Error()
	}
	return st
}

func messages(c session.Counts) uint64 { return c.Updates + c.Keepalives + c.Others }
