package session

import (
	"net/netip"
	"sync/atomic"
	"time"
)

// State is how far a session is.
type State string

// The states.
const (
	// Idle waits for the next attempt or for the router to dial.
	Idle State = "Idle"
	// Connecting waits for TCP.
	Connecting State = "Connecting"
	// Opening exchanges OPEN and the first KEEPALIVE.
	Opening State = "Opening"
	// Established passes on routes.
	Established State = "Established"
	// Stopped is a session whose Run has returned.
	Stopped State = "Stopped"
)

// Status is what is known of a session at one moment. It is immutable.
type Status struct {
	State State
	// Since is when State began.
	Since time.Time
	// Reason says why the session is not Established, in words for operators.
	Reason string
	// Local and Remote are the ends of the present connection.
	Local, Remote netip.AddrPort
	// LocalOpen and RouterOpen are the OPENs of the present connection, or of
	// the last one.
	LocalOpen, RouterOpen Open
	// Complete is when the end of our routes was sent for every family (RFC
	// 4724): from then on the router drops what it still kept of an earlier
	// session. Zero before that.
	Complete time.Time
	// HoldTime is what both agreed upon.
	HoldTime time.Duration
	// Attempts counts connections dialled, Successes sessions established.
	Attempts, Successes uint64
	// LastEnd is how the last connection ended that had got as far as TCP.
	LastEnd End
	// Received and Sent count what came from the router and what went to it.
	Received, Sent Counts
	// Withdrawn counts UPDATEs whose prefixes were withdrawn because the message
	// was malformed, Discarded malformed attributes that were dropped alone.
	Withdrawn, Discarded uint64
}

// End is how a connection ended.
type End struct {
	At     time.Time
	Reason string
	// Sent or Received is the NOTIFICATION that ended it, if one did.
	Sent, Received *Notification
	// Established is set if the session had been.
	Established bool
}

// Counts are messages that went one way over all connections.
type Counts struct {
	Updates, Keepalives, Others, Bytes uint64
	// Last is when the last one did; zero if none has.
	Last time.Time
}

// counter is Counts that one goroutine writes and another reads.
type counter struct {
	updates, keepalives, others, bytes atomic.Uint64
	last                               atomic.Int64 // Unix nanoseconds
}

func (c *counter) add(m message, now time.Time) {
	switch m.kind() {
	case typeUpdate:
		c.updates.Add(1)
	case typeKeepalive:
		c.keepalives.Add(1)
	default:
		c.others.Add(1)
	}
	c.bytes.Add(uint64(len(m)))
	c.last.Store(now.UnixNano())
}

func (c *counter) counts() Counts {
	out := Counts{Updates: c.updates.Load(), Keepalives: c.keepalives.Load(),
		Others: c.others.Load(), Bytes: c.bytes.Load()}
	if ns := c.last.Load(); ns != 0 {
		out.Last = time.Unix(0, ns)
	}
	return out
}

// tally is what the goroutines of all connections of a session count.
type tally struct {
	received, sent       counter
	withdrawn, discarded atomic.Uint64
}
