package bgp

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"tombolo.io/tombolo/bgp/advertise"
	"tombolo.io/tombolo/bgp/session"
	"tombolo.io/tombolo/clustermesh"
)

// Status is what a speaker says of itself. It is immutable.
type Status struct {
	Node    string    `json:"node"`
	Started time.Time `json:"started"`
	// Health is OK or Degraded; Reasons say why it is not OK.
	Health  clustermesh.Health `json:"health"`
	Reasons []string           `json:"reasons,omitempty"`
	// Source says what the paths come from: "store", "disk" until the store was
	// seen whole, and empty while nothing is known.
	Source string `json:"source"`
	// StaleSince is since when what the store says may be old: it is out of reach, or no
	// API server keeps it up to date. Zero while neither is so.
	StaleSince time.Time `json:"staleSince,omitzero"`
	// Invalid counts values in the store that do not decode; what they held
	// before stays.
	Invalid int          `json:"invalid"`
	Peers   []PeerStatus `json:"peers"`
	Routes  []Route      `json:"routes"`
	// sessions are those of Peers, nil for one that has none.
	sessions []*session.Session
}

// PeerStatus is the state of the session with one router.
type PeerStatus struct {
	Name     string     `json:"name"`
	Address  netip.Addr `json:"address"`
	ASN      uint32     `json:"asn"`
	LocalASN uint32     `json:"localASN"`
	// State is the session's: Idle, Connecting, Opening, Established or Stopped;
	// or Refused when there is none because the BGPPeer cannot be used.
	State string    `json:"state"`
	Since time.Time `json:"since,omitzero"`
	// Reason is why the session is not Established, or why the last one ended.
	Reason string `json:"reason,omitempty"`
	// Complete is when the router was told the end of our routes (RFC 4724):
	// from then on it holds none that we do not have. Zero before that, and
	// with a router that keeps nothing over a restart.
	Complete time.Time `json:"complete,omitzero"`
	// Advertised counts the paths that the router should have, by family.
	Advertised map[string]int `json:"advertised"`
	// Sent and Received count messages. Malformed counts those of the router
	// whose prefixes were withdrawn or whose attributes were dropped (RFC 7606).
	Sent      uint64 `json:"sent"`
	Received  uint64 `json:"received"`
	Malformed uint64 `json:"malformed"`
	// refused is why the router does not have what it should although that
	// does not show in the session, empty if it has.
	refused string
}

// add notes a router and how its session is.
func (s *Status) add(r router, p *peering) {
	st := PeerStatus{
		Name: r.Peer.Name, Address: r.Peer.Address, ASN: r.Peer.ASN, LocalASN: r.Peer.LocalASN,
		Advertised: countByFamily(r.Paths),
	}
	if p.refused != nil {
		st.refused = p.refused.Error()
	}
	st.look(p.session)
	s.Peers, s.sessions = append(s.Peers, st), append(s.sessions, p.session)
	if st.State != string(session.Established) || st.refused != "" {
		s.Reasons = append(s.Reasons, fmt.Sprintf("peer %s is %s: %s", st.Name, st.State, st.Reason))
	}
}

// now returns the status with what sessions say at this moment: their counters
// go on while nothing happens that would make another status.
func (s *Status) now() *Status {
	out := *s
	out.Peers = slices.Clone(s.Peers)
	for i := range out.Peers {
		out.Peers[i].look(s.sessions[i])
	}
	return &out
}

// look takes in what a session says of itself.
func (p *PeerStatus) look(s *session.Session) {
	p.State, p.Reason = "Refused", p.refused
	if s == nil {
		return
	}
	now := s.Status()
	p.State, p.Since, p.Reason = string(now.State), now.Since, cmp.Or(p.refused, now.Reason)
	p.Complete = now.Complete
	p.Sent, p.Received, p.Malformed = messages(now.Sent), messages(now.Received), now.Withdrawn+now.Discarded
}

func messages(c session.Counts) uint64 { return c.Updates + c.Keepalives + c.Others }

// Route is a path towards one router, or one that is held back from it.
type Route struct {
	Peer        string       `json:"peer"`
	Prefix      netip.Prefix `json:"prefix"`
	NextHop     netip.Addr   `json:"nextHop,omitzero"`
	Communities []string     `json:"communities,omitempty"`
	LocalPref   uint32       `json:"localPref,omitempty"`
	// Service is namespace/name, empty for a pod prefix.
	Service        string   `json:"service,omitempty"`
	Advertisements []string `json:"advertisements"`
	// Held is why the path is not advertised, in one word; empty when it is.
	Held string `json:"held,omitempty"`
}

// routesOf lists what a router has, and what is held back from it.
func routesOf(r router, held []advertise.Held) []Route {
	var out []Route
	for _, p := range r.Paths {
		route := newRoute(r.Peer.Name, p.Prefix, p.Origin)
		route.NextHop, route.LocalPref = p.NextHop, p.LocalPref
		for _, c := range p.Communities {
			route.Communities = append(route.Communities, c.String())
		}
		out = append(out, route)
	}
	for _, h := range held {
		route := newRoute(r.Peer.Name, h.Prefix, h.Origin)
		route.Held = string(h.Reason)
		out = append(out, route)
	}
	return out
}

func newRoute(peer string, prefix netip.Prefix, o advertise.Origin) Route {
	route := Route{Peer: peer, Prefix: prefix, Advertisements: o.Advertisements}
	if o.Service != (clustermesh.ServiceName{}) {
		route.Service = o.Service.String()
	}
	return route
}

// countByFamily counts paths as "ipv4" and "ipv6".
func countByFamily(paths []advertise.Path) map[string]int {
	n := map[string]int{"ipv4": 0, "ipv6": 0}
	for _, p := range paths {
		if p.Prefix.Addr().Is4() {
			n["ipv4"]++
		} else {
			n["ipv6"]++
		}
	}
	return n
}
