package session

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
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
