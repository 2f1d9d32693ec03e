package bgp

import (
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// What holds where a BGPPeer says nothing.
const (
	// defaultHoldTime is short: the routers of a datacentre are a link away.
	defaultHoldTime = 9 * time.Second
	// defaultConnectRetry is the pause between two attempts to connect.
	defaultConnectRetry = time.Second
	// defaultRestartTime is how long a router keeps our routes while we are
	// away (RFC 4724 3). It covers an upgrade with the image's download.
	defaultRestartTime = 2 * time.Minute
)

// deferralSeconds is how long a restarted speaker waits for the router's
// End-of-RIB before it sends its routes (RFC 4724 4.1).
const deferralSeconds = 3

// timers are the times of one session, none of them zero.
type timers struct {
	hold, keepalive, retry, restart time.Duration
}

func timersOf(p *clustermesh.BGPPeer) timers {
	t := timers{hold: p.HoldTime, keepalive: p.Keepalive, retry: p.ConnectRetry, restart: p.RestartTime}
	t.hold = orElse(t.hold, defaultHoldTime)
	t.keepalive = orElse(t.keepalive, max(t.hold/3, time.Second)) // RFC 4271 4.4: a third
	t.retry = orElse(t.retry, defaultConnectRetry)
	t.restart = orElse(t.restart, defaultRestartTime)
	return t
}

func orElse(d, other time.Duration) time.Duration {
	if d == 0 {
		return other
	}
	return d
}

func seconds(d time.Duration) uint64 { return uint64(d / time.Second) }
