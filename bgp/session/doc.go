// Package session owns the TCP connection to a router and passes messages
// between it and the GoBGP server of that peer, which is on loopback in the
// same process.
//
//	GoBGP server ◄── loopback TCP, MD5 with a random key ──► Session ◄── TCP ──► router
//
// GoBGP keeps the state machine, the timers and the routes. The session does
// what the library cannot: it dials at once and again, forwards exactly one
// connection, sets MD5, TTL, source and device, says in every OPEN that our
// data path keeps forwarding, lets nothing through that could crash the
// library, and knows why a session is not there.
//
// What a router sends goes through pure functions before anybody acts on it:
// frame (message.go) to a whole message, ParseOpen and admit (open.go) to the
// terms of the session, check (check.go) to what GoBGP may see of an UPDATE.
// Whatever is passed on is written anew from what was understood, so that
// GoBGP reads only messages of our making. A malformed UPDATE becomes the
// withdrawal of its prefixes (RFC 7606); what cannot be contained ends the
// session with a NOTIFICATION. What GoBGP sends goes out as it came, but for
// the forwarding bit and for prefixes of equal attributes, which travel
// together (pack.go).
//
// Run is the one goroutine that owns a Session. It never waits for the router
// or for GoBGP: connections are dialled, and their messages copied, by
// goroutines that report to it and that end with it.
//
// The package stores no routes, knows no policy, and does not configure GoBGP:
// its owner does, when asked to (Owner.Reset).
package session
