package bgp

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"tombolo.io/tombolo/bgp/session"
	"tombolo.io/tombolo/clustermesh"
)

// peering is what one router takes: a library server with the router's paths,
// and the session that connects the two. It is owned by the speaker's loop.
type peering struct {
	log   *slog.Logger
	local endpoints
	key   string // TCP MD5 between session and library
	moved chan<- struct{}
	// peer is what the session was made from, and password the MD5 key; nil
	// before the first session.
	peer     *clustermesh.BGPPeer
	password string
	library  *library
	session  *session.Session
	// end stops the session for the cause it is given, and returns when it has.
	end func(cause error)
	// refused is why the router does not have what it should, in words for
	// operators; nil while it has.
	refused error
	// met is set when the router has no routes of a process before this one, or
	// had them refreshed: the next session is no restarted speaker's.
	met atomic.Bool
}

// newPeering returns a peering without a session. number is one that no other
// peering of this process has, 1 to 65000. restarted says that a process before
// this one had a session with the router.
func newPeering(log *slog.Logger, number int, restarted bool, moved chan<- struct{}) *peering {
	p := &peering{log: log, key: rand.Text(), moved: moved}
	p.local.session = netip.AddrFrom4([4]byte{127, 1, byte(number >> 8), byte(number)})
	p.met.Store(!restarted)
	return p
}

// errSettling says that a session cannot be ended now.
var errSettling = errors.New("the router still takes in what it is told since the restart")

// errChanged ends a session whose attributes changed: the router keeps our
// routes until the next one.
var errChanged = errors.New("another configuration")

// set makes the router have what it should: a session with these attributes,
// and these paths. What runs goes on when the attributes cannot be used: a
// mistake in an object takes no route away, and holds no path back.
func (p *peering) set(ctx context.Context, id netip.Addr, r router) error {
	conf, err := p.prepare(ctx, id, &r.Peer)
	if p.library != nil {
		err = errors.Join(err, p.library.set(ctx, r.Paths))
	}
	// Never a neighbour before the RIB is whole: after a restart the router would
	// drop what it kept for us at the first End-of-RIB. A path that the library
	// refuses now it refuses later too, and holds the others back no longer.
	if conf != nil {
		p.start(*conf)
	}
	p.refused = err
	return err
}

// prepare ends the session and the library's server where the attributes of
// the router ask for it. It returns the configuration of the session that is to
// be started, nil if none is.
func (p *peering) prepare(ctx context.Context, id netip.Addr, peer *clustermesh.BGPPeer) (*session.Config, error) {
	password, err := passwordOf(peer)
	if err != nil {
		return nil, err
	}
	need := p.need(peer, password)
	if need == nothing {
		p.peer = peer
		return nil, nil
	}
	server := p.local.server
	if need == restart {
		if server, err = freePort(); err != nil {
			return nil, err
		}
	}
	conf, err := configure(peer, password, session.Server{Addr: server, Source: p.local.session, Password: p.key})
	if err != nil {
		return nil, err
	}
	if p.settling() {
		return nil, errSettling
	}
	p.stop(errChanged)
	if need == restart {
		if err := p.renew(ctx, id, server, peer.LocalASN); err != nil {
			return nil, err
		}
	}
	p.peer, p.password = peer, password
	return &conf, nil
}

// need returns what the session needs to become one with these attributes.
func (p *peering) need(peer *clustermesh.BGPPeer, password string) change {
	if p.library == nil {
		return restart
	}
	need := changeOf(p.peer, peer)
	if need == nothing && (p.session == nil || password != p.password) {
		return reconnect
	}
	return need
}

// renew replaces the library's server.
func (p *peering) renew(ctx context.Context, id netip.Addr, server netip.AddrPort, as uint32) error {
	if p.library != nil {
		p.library.stop()
		p.library = nil
	}
	p.local.server = server
	library, err := startLibrary(ctx, p.local, p.key, as, id, p.log)
	if err == nil {
		p.library = library
	}
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

// settleTime bounds how long a router may take to be told everything: the
// deferral time, and what sending takes.
const settleTime = (deferralSeconds + 3) * time.Second

// settling reports whether the router has not been told all of our paths since
// the session came up, or may hold it for up before we do. Were the session to go
// down now, the router would drop whatever it still keeps of the one before (RFC
// 4724 4.2: "a route previously marked as stale MUST be deleted").
func (p *peering) settling() bool {
	if p.session == nil {
		return false
	}
	s := p.session.Status()
	untold := s.State == session.Opening ||
		s.State == session.Established && s.Complete.IsZero() && s.RouterOpen.Restart != nil
	return untold && time.Since(s.Since) < settleTime
}

// told reports whether the router has what we last gave to the library, apart
// from what is on its way.
func (p *peering) told() bool {
	if p.session == nil || p.refused != nil {
		return false
	}
	s := p.session.Status()
	return s.State == session.Established && (!s.Complete.IsZero() || s.RouterOpen.Restart == nil)
}

// rekeyed reports whether a session that is down has a key that is no longer
// the file's. One that is up needs no other: the router has the same.
func (p *peering) rekeyed() bool {
	if p.session == nil || p.peer.PasswordFile == "" || p.session.Status().State == session.Established {
		return false
	}
	password, err := passwordOf(p.peer)
	return err == nil && password != p.password
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
