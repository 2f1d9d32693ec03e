package session

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Owner is whoever configures GoBGP.
type Owner interface {
	// Reset makes the peer's GoBGP server ready for a new connection: the peer
	// is deleted, if it is there, and added again, its routes staying as they
	// are. Otherwise the library would refuse for five seconds. It is called
	// before every connection, the first one too.
	Reset(ctx context.Context) error
	// Changed is called on Run's goroutine when the state or its reason
	// changed. It must not block.
	Changed(Status)
}

// Session is one session with a router.
type Session struct {
	conf   Config
	owner  Owner
	log    *slog.Logger
	status atomic.Pointer[Status]
	tally  tally
}

// New returns a session that does nothing before Run.
func New(c Config, o Owner, log *slog.Logger) *Session {
	s := &Session{conf: c.withDefaults(), owner: o, log: log.With("router", c.Router)}
	s.status.Store(&Status{State: Idle, Since: time.Now(), Reason: "not started"})
	return s
}

// Status returns what is known now. It may be called at any time.
func (s *Session) Status() Status {
	out := *s.status.Load()
	out.Received, out.Sent = s.tally.received.counts(), s.tally.sent.counts()
	out.Withdrawn, out.Discarded = s.tally.withdrawn.Load(), s.tally.discarded.Load()
	return out
}

// Run keeps the session until ctx ends. Then the connection is just closed, so
// that the router keeps our routes for the restart time; unless the cause of
// ctx is a NOTIFICATION (see Shutdown), which is sent before.
func (s *Session) Run(ctx context.Context) error {
	if err := s.conf.Validate(); err != nil {
		return fmt.Errorf("checking the configuration of a session: %w", err)
	}
	r := &runner{Session: s, ctx: ctx, events: make(chan event), retry: time.NewTimer(0), now: s.Status()}
	r.publish(Idle, "waiting for the router to connect")
	r.loop()
	r.wg.Wait()
	r.publish(Stopped, "stopped")
	return nil
}

// event is what a goroutine of a session tells its owner.
type event interface{ take(*runner) }

type (
	// dialed ends an attempt to connect.
	dialed struct {
		conn net.Conn
		err  error
	}
	// introduced says that our OPEN went out.
	introduced struct{ f *flow }
	// agreed says that the router's OPEN was accepted.
	agreed struct {
		f    *flow
		open Open
	}
	// established says that the session is.
	established struct{ f *flow }
	// complete says that the router was told the last of our routes.
	complete struct{ f *flow }
	// contained says that for the first time a malformed UPDATE was turned into
	// a withdrawal.
	contained struct {
		f   *flow
		why string
	}
	// over says that a flow has ended.
	over struct {
		f   *flow
		end *ended
	}
	// challenged says that the OPEN of a rival was read, or that it has none.
	challenged struct {
		r       *rival
		message message
		open    Open
		err     error
	}
)

// runner is what Run's goroutine owns.
type runner struct {
	*Session
	ctx    context.Context
	events chan event
	retry  *time.Timer
	wg     sync.WaitGroup
	now    Status
	// dialing stops the attempt that is under way; nil if none is.
	dialing context.CancelFunc
	began   time.Time // of the last attempt
	cut     time.Time // when an established session was cut off last
	// flow is the one connection that is forwarded, or nil.
	flow *flow
	// introduced and up say how far flow is.
	introduced, up bool
	// rival is a connection of the router's that came while there was a flow.
	rival *rival
}

func (r *runner) loop() {
	defer r.retry.Stop()
	for {
		select {
		case <-r.ctx.Done():
			r.drop()
			return
		case <-r.retry.C:
			r.dial()
		case conn := <-r.conf.Incoming:
			r.accepted(conn)
		case e := <-r.events:
			e.take(r)
		}
	}
}

// drop ends what the context does not end by itself.
func (r *runner) drop() {
	if r.rival != nil {
		r.rival.conn.Close()
	}
}

// start runs a goroutine of the session; the event that it returns comes last.
func (r *runner) start(do func() event) {
	r.wg.Go(func() {
		r.report(do())
	})
}

// report is called by the session's goroutines.
func (r *runner) report(e event) {
	select {
	case r.events <- e:
	case <-r.ctx.Done():
		if d, ok := e.(dialed); ok && d.conn != nil {
			d.conn.Close()
		}
	}
}

// dial begins an attempt, unless there is a connection.
func (r *runner) dial() {
	if r.conf.Passive || r.flow != nil || r.dialing != nil {
		return
	}
	ctx, cancel := context.WithCancel(r.ctx)
	r.dialing, r.began = cancel, time.Now()
	r.now.Attempts++
	r.publish(Connecting, r.now.Reason)
	r.start(func() event {
		conn, err := dial(ctx, r.conf)
		return dialed{conn, err}
	})
}

func (d dialed) take(r *runner) {
	r.dialing()
	r.dialing = nil
	switch {
	case d.err != nil && r.flow != nil: // given up for a connection of the router's
	case d.err != nil:
		r.publish(Idle, dialReason(r.conf, d.err))
		r.later()
	case r.flow != nil:
		d.conn.Close()
	default:
		r.forward(d.conn, bufio.NewReaderSize(d.conn, bufferSize), nil, true)
	}
}

// A router needs a moment to notice that a connection was cut, and refuses
// before: for so long the session tries again so often.
const (
	hurryFor   = 2 * time.Second
	hurryRetry = 100 * time.Millisecond
)

// later sets the time of the next attempt: at once if the last one was long ago.
func (r *runner) later() {
	interval := r.conf.ConnectRetry
	if time.Since(r.cut) < hurryFor {
		interval = min(interval, hurryRetry)
	}
	r.retry.Reset(time.Until(r.began.Add(interval)))
}

// refusedRetry is the least time between two attempts when one side refused the
// other's OPEN: only a change of configuration can help.
const refusedRetry = 5 * time.Second

// after sets the time of the next attempt after a connection ended so. One that
// was cut off is taken up at once: meanwhile the router holds stale routes.
func (r *runner) after(e *ended, established bool) {
	switch {
	case e.refused():
		r.retry.Reset(max(refusedRetry, r.conf.ConnectRetry))
	case established && e.sent == nil && e.received == nil:
		r.cut = time.Now()
		r.retry.Reset(0)
	default:
		r.later()
	}
}

// accepted takes a connection that the router dialled.
func (r *runner) accepted(conn net.Conn) {
	if err := setAccepted(conn, r.conf); err != nil {
		r.log.Warn("connection of the router not taken", "error", err)
		conn.Close()
		return
	}
	if r.flow != nil {
		r.challenge(conn)
		return
	}
	if r.dialing != nil {
		r.dialing()
	}
	r.forward(conn, bufio.NewReaderSize(conn, bufferSize), nil, false)
}

// forward makes a connection the one that is forwarded.
func (r *runner) forward(conn net.Conn, in *bufio.Reader, early message, dialled bool) {
	ctx, cancel := context.WithCancelCause(r.ctx)
	f := &flow{conf: r.conf, owner: r.owner, tally: &r.tally, router: conn, dialled: dialled,
		in: in, early: early, report: r.report, cancel: cancel}
	r.flow, r.introduced, r.up = f, false, false
	r.now.Complete = time.Time{}
	r.now.Local, r.now.Remote = addrPort(conn.LocalAddr()), addrPort(conn.RemoteAddr())
	r.publish(Opening, r.now.Reason)
	r.start(func() event { return over{f, f.run(ctx)} })
}

func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	return t.AddrPort()
}

func (e introduced) take(r *runner) {
	if e.f != r.flow {
		return
	}
	r.introduced, r.now.LocalOpen = true, e.f.local
	r.settle()
}

func (e agreed) take(r *runner) {
	if e.f != r.flow {
		return
	}
	r.now.RouterOpen, r.now.HoldTime = e.open, e.f.terms.holdTime
	r.publish(Opening, r.now.Reason)
}

func (e established) take(r *runner) {
	if e.f != r.flow {
		return
	}
	r.up = true
	r.now.Successes++
	r.publish(Established, "")
}

func (e complete) take(r *runner) {
	if e.f != r.flow {
		return
	}
	r.now.Complete = time.Now()
	r.publish(r.now.State, r.now.Reason)
}

func (e contained) take(r *runner) {
	r.log.Warn("malformed UPDATE: its prefixes are withdrawn; more of them are only counted", "reason", e.why)
}

func (e over) take(r *runner) {
	if e.f != r.flow {
		return
	}
	e.f.cancel(nil)
	r.now.LastEnd = End{At: time.Now(), Reason: e.end.reason, Sent: e.end.sent, Received: e.end.received, Established: r.up}
	up := r.up
	r.flow, r.introduced, r.up = nil, false, false
	r.now.Local, r.now.Remote = netip.AddrPort{}, netip.AddrPort{}
	r.publish(Idle, e.end.reason)
	if r.rival != nil && r.rival.open != nil {
		r.settle()
		return
	}
	r.after(e.end, up)
}

// publish makes a change visible. It is logged when the state is one that
// stays, or its reason is news.
func (r *runner) publish(state State, reason string) {
	news := state != r.now.State && (state == Established || r.now.State == Established || state == Stopped)
	if reason != r.now.Reason && reason != "" && state == Idle {
		news = true
	}
	if state != r.now.State {
		r.now.Since = time.Now()
	}
	r.now.State, r.now.Reason = state, reason
	snapshot := r.now
	r.status.Store(&snapshot)
	if news {
		r.log.Info("session", "state", state, "reason", reason)
	}
	r.owner.Changed(r.Status())
}

// setAccepted sets on a connection of the router's what is set on our own
// before they are dialled.
func setAccepted(conn net.Conn, c Config) error {
	t, ok := conn.(*net.TCPConn)
	if !ok {
		return errors.New("not a TCP connection")
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return fmt.Errorf("reaching the socket: %w", err)
	}
	return control(raw, func(fd int) error { return setPath(fd, c) })
}
