package session

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

// Bounds of waiting.
const (
	// openTimeout is how long the router may take to send its OPEN.
	openTimeout = 20 * time.Second
	// serverTimeout is how long GoBGP may take to accept and send its OPEN:
	// right after a reset its state machine refuses for a moment.
	serverTimeout = 5 * time.Second
	serverRetry   = 10 * time.Millisecond
	// farewell is how long the last message may take to go out, and how long the
	// router is listened to afterwards so that it gets it: closing a socket that
	// holds unread data would reset the connection and could overtake it.
	farewell = time.Second
)

// bufferSize holds several of the longest messages.
const bufferSize = 64 << 10

// flow is one connection to the router and its leg to GoBGP. run is its
// goroutine; the fields above it are set before.
type flow struct {
	conf    Config
	owner   Owner
	tally   *tally
	router  net.Conn
	dialled bool
	in      *bufio.Reader
	// early is the router's OPEN if it was read before.
	early message
	// report tells the session what happened; it drops what comes too late.
	report func(event)
	cancel context.CancelCauseFunc

	server     net.Conn
	fromServer *bufio.Reader
	local      Open
	terms      terms
	// progress is touched by both directions; see advance.
	progress struct {
		sync.Mutex // two goroutines, three words, no order between them to make use of
		received   bool
		sent       bool
		up         bool
	}
}

// ended is how a flow ended.
type ended struct {
	reason         string
	sent, received *Notification
}

func (e *ended) Error() string { return e.reason }

// refused says that one side refused the other's OPEN.
func (e *ended) refused() bool {
	return e.sent != nil && e.sent.Code == codeOpen || e.received != nil && e.received.Code == codeOpen
}

// run passes messages on until something ends the flow. It leaves nothing
// open.
func (f *flow) run(ctx context.Context) *ended {
	stop := context.AfterFunc(ctx, f.interrupt)
	defer stop()
	err := f.pass(ctx)
	end := &ended{}
	if !errors.As(err, &end) {
		end = &ended{reason: endReason(err)}
	}
	if ctx.Err() != nil {
		end = endedBy(context.Cause(ctx))
	}
	f.close(end)
	return end
}

// endedBy says how the end of a flow's context ends the flow.
func endedBy(cause error) *ended {
	if n := (*Notification)(nil); errors.As(cause, &n) {
		return &ended{reason: "we ended the session: " + n.Error(), sent: n}
	}
	return &ended{reason: cause.Error()}
}

// interrupt makes both directions let go of the router at the end of a message;
// its connection stays open for a last one.
func (f *flow) interrupt() {
	f.router.SetReadDeadline(time.Unix(1, 0))
	f.router.SetWriteDeadline(time.Now().Add(farewell))
}

func (f *flow) close(end *ended) {
	if f.server != nil {
		f.server.Close()
	}
	if end.sent != nil {
		sayGoodbye(f.router, end.sent)
	}
	f.router.Close()
}

// sayGoodbye sends a NOTIFICATION and sees to it that it arrives.
func sayGoodbye(conn net.Conn, n *Notification) {
	conn.SetDeadline(time.Now().Add(farewell))
	if _, err := conn.Write(n.message()); err != nil {
		return // the connection is going to be closed anyway
	}
	if t, ok := conn.(interface{ CloseWrite() error }); ok && t.CloseWrite() == nil {
		io.Copy(io.Discard, conn)
	}
}

func (f *flow) pass(ctx context.Context) error {
	if err := f.openServer(ctx); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { f.server.Close() })
	defer stop()
	if err := f.exchange(ctx); err != nil {
		return err
	}
	ends := make(chan error, 2)
	go func() { ends <- f.toServer() }()
	go func() { ends <- f.toRouter() }()
	err := <-ends
	// Whichever direction ends first ends the other. Only if GoBGP has gone
	// there may be a last message of its to be read.
	f.interrupt()
	if !errors.Is(err, errServerGone) {
		f.server.Close()
	}
	other := <-ends
	var end *ended
	if errors.Is(err, errServerGone) && errors.As(other, &end) {
		return other
	}
	return err
}

// openServer connects to GoBGP and reads its OPEN.
func (f *flow) openServer(ctx context.Context) error {
	if err := f.owner.Reset(ctx); err != nil {
		return &ended{reason: fmt.Sprintf("resetting GoBGP's peer: %v", err)}
	}
	ctx, cancel := context.WithTimeout(ctx, serverTimeout)
	defer cancel()
	for {
		m, err := f.tryServer(ctx)
		if err == nil {
			return f.introduce(m)
		}
		select {
		case <-ctx.Done():
			return &ended{reason: fmt.Sprintf("GoBGP sends no OPEN: %v", err)}
		case <-time.After(serverRetry):
		}
	}
}

func (f *flow) tryServer(ctx context.Context) (message, error) {
	conn, err := dialServer(ctx, f.conf.Server)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	r := bufio.NewReaderSize(conn, bufferSize)
	m, err := read(r)
	if err == nil && m.kind() != typeOpen {
		err = fmt.Errorf("its first message is of type %d", m.kind())
	}
	if !stop() || err != nil {
		conn.Close()
		return nil, errors.Join(err, ctx.Err())
	}
	f.server, f.fromServer = conn, r
	return m, nil
}

// introduce sends GoBGP's OPEN to the router.
func (f *flow) introduce(m message) error {
	local, err := ParseOpen(m)
	if err != nil {
		return &ended{reason: fmt.Sprintf("GoBGP's OPEN: %v", err)}
	}
	f.local = local
	f.report(introduced{f})
	m = forwarding(m)
	f.tally.sent.add(m, time.Now())
	_, err = f.router.Write(m)
	return err
}

// exchange reads the router's OPEN, agrees, and passes it on.
func (f *flow) exchange(ctx context.Context) error {
	m := f.early
	if m == nil {
		f.router.SetReadDeadline(time.Now().Add(openTimeout))
		if ctx.Err() != nil { // the deadline that interrupt set was overwritten
			return ctx.Err()
		}
		var err error
		if m, err = readOpen(f.in); err != nil {
			return err
		}
		f.router.SetReadDeadline(time.Time{})
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	f.tally.received.add(m, time.Now())
	open, err := ParseOpen(m)
	if err != nil {
		return refuse(err.(*Notification), "peer's OPEN is malformed")
	}
	if n, why := admit(f.conf, f.local, open); n != nil {
		return refuse(n, why)
	}
	f.terms = agree(f.local, open)
	f.report(agreed{f, open})
	if err := setPatience(f.router, 2*f.terms.holdTime); err != nil {
		return &ended{reason: err.Error()}
	}
	pass := open.forGoBGP()
	if err := f.terms.decode([]message{pass}); err != nil {
		return refuse(&Notification{Code: codeOpen}, fmt.Sprintf("peer's OPEN: %v", err))
	}
	_, err = f.server.Write(pass)
	return err
}

// readOpen reads the first message of a router.
func readOpen(r *bufio.Reader) (message, error) {
	m, err := read(r)
	var n *Notification
	var timeout net.Error
	switch {
	case errors.As(err, &n):
		return nil, refuse(n, "peer sends what is no BGP: "+n.Error())
	case errors.As(err, &timeout) && timeout.Timeout():
		return nil, &ended{reason: fmt.Sprintf("peer sent no OPEN in %v", openTimeout)}
	case errors.Is(err, io.EOF):
		return nil, &ended{reason: "the router closed the connection before its OPEN: it may not know us as a neighbour"}
	case err != nil:
		return nil, err
	case m.kind() == typeNotification:
		n = parseNotification(m)
		return nil, &ended{reason: "the router refused our OPEN: " + n.Error(), received: n}
	case m.kind() != typeOpen:
		return nil, refuse(&Notification{Code: codeFSM, Subcode: 1}, fmt.Sprintf("peer's first message is of type %d", m.kind()))
	}
	return clone(m), nil
}

// refuse ends a flow with a NOTIFICATION of ours.
func refuse(n *Notification, reason string) *ended { return &ended{reason: reason, sent: n} }

// toServer passes on what the router sends.
func (f *flow) toServer() error {
	w := bufio.NewWriterSize(f.server, bufferSize)
	for {
		if !buffered(f.in) {
			if err := w.Flush(); err != nil {
				return errServerGone
			}
		}
		m, err := read(f.in)
		if n := (*Notification)(nil); errors.As(err, &n) {
			return refuse(n, "peer sends what is no BGP: "+n.Error())
		}
		if err != nil {
			return err
		}
		f.tally.received.add(m, time.Now())
		pass, err := f.examine(m)
		if err != nil {
			return err
		}
		for _, m := range pass {
			if _, err := w.Write(m); err != nil {
				return errServerGone
			}
		}
	}
}

// examine returns what GoBGP gets in a message's place.
func (f *flow) examine(m message) ([]message, error) {
	switch m.kind() {
	case typeNotification:
		n := parseNotification(m)
		return nil, &ended{reason: "the router ended the session: " + n.Error(), received: n}
	case typeKeepalive:
		f.advance(&f.progress.received)
	default:
		if state := f.state(); state != 3 || m.kind() == typeOpen {
			return nil, refuse(&Notification{Code: codeFSM, Subcode: state},
				fmt.Sprintf("peer sent a message of type %d too early or twice", m.kind()))
		}
	}
	v := f.terms.check(m)
	if v.end != nil {
		return nil, refuse(v.end, "peer sent a message that cannot be contained: "+v.end.Error())
	}
	f.tally.discarded.Add(uint64(v.discarded))
	if v.withdrawn != "" && f.tally.withdrawn.Add(1) == 1 {
		f.report(contained{f, v.withdrawn})
	}
	if f.conf.Deaf {
		return withoutRoutes(v.forward), nil
	}
	return v.forward, nil
}

// withoutRoutes returns messages without the UPDATEs that carry routes. A
// KEEPALIVE in their place holds GoBGP's timer off, as they would have (RFC 4271
// 4.4).
func withoutRoutes(all []message) []message {
	out := slices.DeleteFunc(slices.Clone(all), func(m message) bool {
		_, end := endOf(m)
		return m.kind() == typeUpdate && !end
	})
	if len(out) < len(all) {
		out = append(out, keepalive())
	}
	return out
}

// toRouter passes on what GoBGP sends, packed.
func (f *flow) toRouter() error {
	out := &outgoing{flow: f, w: bufio.NewWriterSize(f.router, bufferSize), open: maps.Clone(f.terms.families)}
	for {
		if !buffered(f.fromServer) {
			if err := out.flush(); err != nil {
				return err
			}
		}
		m, err := read(f.fromServer)
		if err != nil {
			return errors.Join(errServerGone, out.flush())
		}
		if m.kind() == typeNotification {
			n := parseNotification(m)
			return errors.Join(&ended{reason: "we ended the session: " + n.Error(), sent: n}, out.flush())
		}
		if err := out.take(m); err != nil {
			return err
		}
	}
}

// outgoing is what toRouter has read but not sent yet.
type outgoing struct {
	*flow
	w    *bufio.Writer
	pack packer
	open map[Family]bool // families whose end was not sent yet
}

func (o *outgoing) take(m message) error {
	if o.terms.sendsIDs {
		return o.write(m)
	}
	return o.write(o.pack.add(m)...)
}

func (o *outgoing) flush() error {
	if err := o.write(o.pack.flush()...); err != nil {
		return err
	}
	return o.w.Flush()
}

func (o *outgoing) write(all ...message) error {
	for _, m := range all {
		if _, err := o.w.Write(m); err != nil {
			return err
		}
		o.tally.sent.add(m, time.Now())
		if m.kind() == typeKeepalive {
			o.advance(&o.progress.sent)
		}
		if family, ok := endOf(m); ok {
			if delete(o.open, family); len(o.open) == 0 {
				o.report(complete{o.flow})
			}
		}
	}
	return nil
}

// errServerGone says that GoBGP closed its side.
var errServerGone = errors.New("GoBGP closed its side")

// advance notes a KEEPALIVE; the session is established when one went each way.
func (f *flow) advance(direction *bool) {
	f.progress.Lock()
	*direction = true
	up := f.progress.received && f.progress.sent && !f.progress.up
	f.progress.up = f.progress.up || up
	f.progress.Unlock()
	if up {
		f.report(established{f})
	}
}

// state returns the state of RFC 4271 as RFC 6608 numbers it: OpenConfirm is 2,
// Established 3. The router may speak as soon as it has said KEEPALIVE.
func (f *flow) state() uint8 {
	f.progress.Lock()
	defer f.progress.Unlock()
	if f.progress.received {
		return 3
	}
	return 2
}
