package session

import (
	"bufio"
	"context"
	"errors"
	"net"
	"time"
)

// rival is a connection that the router dialled while another one was
// forwarded. Nothing is sent on it before its OPEN has told who wins.
type rival struct {
	conn net.Conn
	in   *bufio.Reader
	// open is nil until it was read.
	open   message
	parsed Open
}

// present is the connection that is forwarded, as the rule sees it.
type present struct {
	dialled, established bool
	local                Open
}

// yields says whether the present connection gives way to one that the router
// dialled, and whose OPEN is o. The connection of the side with the higher
// identifier stays (RFC 4271 6.8), with the higher AS if those are equal (RFC
// 6286). A router that restarts gracefully dials anew because it has lost the
// old one (RFC 4724 4.2).
func (p present) yields(o Open) bool {
	switch {
	case p.established:
		return o.Restart != nil
	case !p.dialled:
		return true
	}
	return higher(o, p.local)
}

func higher(a, b Open) bool {
	if a.ID == b.ID {
		return a.ASN > b.ASN
	}
	return b.ID.Less(a.ID)
}

// errReplaced ends a connection that the router itself has given up.
var errReplaced = errors.New("the router connected anew")

// challenge begins to read the OPEN of a rival. An older one is closed: the
// router itself has given it up.
func (r *runner) challenge(conn net.Conn) {
	if r.rival != nil {
		r.rival.conn.Close()
	}
	v := &rival{conn: conn, in: bufio.NewReaderSize(conn, bufferSize)}
	r.rival = v
	r.start(func() event {
		stop := context.AfterFunc(r.ctx, func() { conn.Close() })
		defer stop()
		conn.SetReadDeadline(time.Now().Add(openTimeout))
		m, err := readOpen(v.in)
		var open Open
		if err == nil {
			open, err = ParseOpen(m)
		}
		conn.SetReadDeadline(time.Time{})
		return challenged{v, m, open, err}
	})
}

func (e challenged) take(r *runner) {
	if e.r != r.rival {
		return
	}
	if e.err != nil {
		r.rival.conn.Close()
		r.rival = nil
		return
	}
	e.r.open, e.r.parsed = e.message, e.open
	r.settle()
}

// settle decides between the flow and the rival as soon as both are known.
func (r *runner) settle() {
	v := r.rival
	switch {
	case v == nil || v.open == nil:
	case r.flow == nil:
		r.rival = nil
		if r.dialing != nil {
			r.dialing()
		}
		r.forward(v.conn, v.in, v.open, false)
	case !r.introduced:
	case present{r.flow.dialled, r.up, r.flow.local}.yields(v.parsed):
		if r.up {
			r.flow.cancel(errReplaced)
		} else {
			r.flow.cancel(&Notification{Code: codeCease, Subcode: ceaseCollision})
		}
	default:
		r.rival = nil
		r.wg.Go(func() {
			sayGoodbye(v.conn, &Notification{Code: codeCease, Subcode: ceaseCollision})
			v.conn.Close()
		})
	}
}
