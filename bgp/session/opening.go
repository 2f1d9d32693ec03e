package session

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

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
