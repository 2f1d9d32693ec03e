package census

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

// patience is how long a node is waited for.
const patience = time.Second

// errNoSeal is of a cluster that does not say its seal, or whose nodes we do not know.
var errNoSeal = errors.New("its cluster says no seal")

// errMoved is of a node on which something changed between two parts of a question.
var errMoved = errors.New("its pods changed while it answered")

// ask asks a node about pairs, from one of our addresses.
func ask(ctx context.Context, r *roster, from netip.Addr, to netip.AddrPort, pairs []Pair) (Answer, error) {
	var all Answer
	for len(pairs) > 0 {
		some := pairs[:min(len(pairs), maxPairs)]
		pairs = pairs[len(some):]
		a, err := askSome(ctx, r, from, to, some)
		if err != nil {
			return Answer{}, err
		}
		if all.States != nil && all.Life != a.Life {
			return Answer{}, errMoved
		}
		all.Life, all.States = a.Life, append(all.States, a.States...)
	}
	return all, nil
}

func askSome(ctx context.Context, r *roster, from netip.Addr, to netip.AddrPort, pairs []Pair) (Answer, error) {
	key := r.keys[to.Addr()]
	if key == nil {
		return Answer{}, errNoSeal
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	d := tls.Dialer{NetDialer: &net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}, Config: prove(r.own, key)}
	conn, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return Answer{}, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return Answer{}, err
	}
	if _, err := conn.Write(appendQuestion(nil, pairs)); err != nil {
		return Answer{}, fmt.Errorf("asking: %w", err)
	}
	if err := conn.(*tls.Conn).CloseWrite(); err != nil { // the question ends here
		return Answer{}, fmt.Errorf("asking: %w", err)
	}
	raw, err := io.ReadAll(io.LimitReader(conn, maxAnswer+1))
	if err != nil {
		return Answer{}, fmt.Errorf("reading its answer: %w", err)
	}
	return parseAnswer(raw, len(pairs))
}
