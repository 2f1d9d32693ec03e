package bgp

import (
	"slices"

	"tombolo.io/tombolo/clustermesh"
)

// change is what a different BGPPeer asks of the session with it.
type change int

const (
	// nothing: the difference is in what the session does not use.
	nothing change = iota
	// reconnect ends the TCP connection, as a broken cable would, and opens a
	// session with the new values. The router keeps our routes meanwhile.
	reconnect
	// restart also replaces the library's server: its AS and its families are
	// fixed when it starts.
	restart
)

// String returns the change in a word, as logs show it.
func (c change) String() string { return [...]string{"nothing", "reconnect", "restart"}[c] }

// changeOf compares a peer as the session knows it with what it should be. Its
// choice is made attribute by attribute here and not by the library, whose
// UpdatePeer resets a session for a description and ignores other attributes.
func changeOf(old, new *clustermesh.BGPPeer) change {
	switch {
	case old.LocalASN != new.LocalASN, !slices.Equal(families(old), families(new)):
		return restart
	case old.Address != new.Address, old.Port != new.Port, old.Interface != new.Interface,
		old.ASN != new.ASN, old.HoldTime != new.HoldTime, old.Keepalive != new.Keepalive,
		old.ConnectRetry != new.ConnectRetry, old.RestartTime != new.RestartTime,
		old.PasswordFile != new.PasswordFile, old.Multihop != new.Multihop:
		return reconnect
	}
	return nothing
}

// families returns the families that a session carries, sorted.
func families(p *clustermesh.BGPPeer) []clustermesh.Family {
	if len(p.Families) == 0 {
		return []clustermesh.Family{clustermesh.IPv4Unicast, clustermesh.IPv6Unicast}
	}
	out := slices.Clone(p.Families)
	slices.Sort(out)
	return slices.Compact(out)
}
