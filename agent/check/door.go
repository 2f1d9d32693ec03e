package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/clustermesh"
)

// Door is where another node's agent listens, and whether this node gets there. Only
// nodes whose kernel answers are tried.
type Door struct {
	Cluster, Node string
	At            netip.AddrPort
	Use           Use
	// TCP is why there was no connection, UDP why no answer to a datagram; nil if
	// there was, or if it was not tried.
	TCP, UDP error
}

// Use is what a door is for.
type Use int

// The uses.
const (
	Census Use = iota // which pods live there, is asked by nodes of all clusters
	Gossip            // between the nodes of a cluster
)

// ErrSilent says that nothing came back.
var ErrSilent = errors.New("no answer")

// Of those who do not connect at once each is tried knocks times, so that one whose
// agent is just restarting is found.
const (
	knocks      = 3
	knockGap    = 500 * time.Millisecond
	knockLonger = 3500 * time.Millisecond // the SYN is sent three times
)

// Knock connects to an address, from one of this node's, and says something if it is
// told what.
func Knock(ctx context.Context, from netip.Addr, to netip.AddrPort, greeting []byte) (err error) {
	d := net.Dialer{Timeout: knockLonger, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	for range knocks {
		var c net.Conn
		if c, err = d.DialContext(ctx, "tcp", to.String()); err == nil {
			_, err = c.Write(greeting)
			return errors.Join(err, c.Close())
		}
		var late net.Error
		if errors.As(err, &late) && late.Timeout() {
			return ErrSilent
		}
		select {
		case <-time.After(knockGap):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

// Judge says what is wrong with a door.
func (d Door) Judge() []clustermesh.Finding {
	family := "IPv6"
	if d.At.Addr().Is4() {
		family = "IPv4"
	}
	f := clustermesh.Finding{Level: clustermesh.FindingWrong, Cluster: d.Cluster, Node: d.Node, Family: family}
	port, who, lost, option := d.At.Port(), "the nodes of all clusters", "while a mirror is stale nobody here learns which of its pods ended", "--probe-port"
	code := "census-closed"
	if d.Use == Gossip {
		who, lost, option = "the nodes of this cluster", "what these two agents suspect comes to the other late or never", "--gossip-port"
		code = "gossip-closed"
	}
	switch {
	case d.TCP == nil && d.UDP == nil:
		return nil
	case errors.Is(d.TCP, unix.ECONNREFUSED):
		f.Code = "no-listener"
		f.Problem = fmt.Sprintf("nobody listens at TCP port %d there, so %s", port, lost)
		f.Mend = fmt.Sprintf("see whether its agent runs, with %s %d, and whether another program has the port (ss -lntup, tombolo status there); or a firewall resets connections", option, port)
	default:
		f.Code = code
		f.Problem = fmt.Sprintf("%s port %d is closed: its kernel answers probes, and at that port nothing is answered; so %s", d.shut(), port, lost)
		f.Mend = fmt.Sprintf("let %s to and from port %d pass between %s, in every firewall on the way and on both nodes", d.shut(), port, who)
		if d.TCP == nil {
			f.Mend += "; if it passes, see whether both have the same keys (tombolo gossip)"
		}
	}
	return []clustermesh.Finding{f}
}

// shut names what did not get through.
func (d Door) shut() string {
	switch {
	case d.UDP == nil:
		return "TCP"
	case d.TCP == nil:
		return "UDP"
	}
	return "UDP and TCP"
}
