package bgp

import (
	"errors"
	"iter"
	"net/http"

	"tombolo.io/tombolo/bgp/session"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/inspect"
	"tombolo.io/tombolo/internal/control"
)

// Surface is what the speaker shows on its socket.
func (s *Speaker) Surface() control.Surface {
	return control.Surface{
		Role: Role, Node: s.cfg.Node, Version: s.cfg.Version, Listen: s.cfg.MetricsListen,
		Health: func() (clustermesh.Health, []string) { st := s.Status(); return st.Health, st.Reasons },
		Ready:  func() error { return s.Status().Ready() },
		Detail: func() any { return inspect.Plain(s.Status().summary()) },
		Pages: map[string]control.Page{
			"/bgp/peers":  func(*http.Request) (any, error) { return s.Status().Peers, nil },
			"/bgp/routes": func(*http.Request) (any, error) { return s.Status().Routes, nil },
		},
		Samples: func() iter.Seq[control.Sample] { return s.Status().samples() },
	}
}

// Ready returns nil once a complete set of paths is there for every router, or
// says what is waited for. A router that does not answer is a reason to be
// Degraded: no restart of ours would mend it.
func (s *Status) Ready() error {
	if s.Source == "" {
		return errors.New("what to advertise is not known yet")
	}
	return nil
}

// Summary is a speaker's part of its /status.
type Summary struct {
	Source string `json:"source"`
	// Sessions counts those that there should be, Established those that are.
	Sessions, Established int
	// Advertised counts paths over all routers, Held those held back.
	Advertised, Held int
}

func (s *Status) summary() Summary {
	out := Summary{Source: s.Source, Sessions: len(s.Peers)}
	for _, p := range s.Peers {
		if p.State == string(session.Established) {
			out.Established++
		}
	}
	for _, r := range s.Routes {
		if r.Held == "" {
			out.Advertised++
		} else {
			out.Held++
		}
	}
	return out
}

// samples are the speaker's metrics.
func (s *Status) samples() iter.Seq[control.Sample] {
	return func(yield func(control.Sample) bool) {
		for _, p := range s.Peers {
			if !p.samples(yield) {
				return
			}
		}
		if !yield(control.Sample{Name: "tombolo_bgp_invalid_values", Help: "Values in etcd that do not decode.", Value: float64(s.Invalid)}) {
			return
		}
		yield(control.Sample{Name: "tombolo_bgp_held_paths", Help: "Paths that are not advertised though one asks for them.",
			Value: float64(s.summary().Held)})
	}
}

func (p PeerStatus) samples(yield func(control.Sample) bool) bool {
	up := 0.0
	if p.State == string(session.Established) {
		up = 1
	}
	peer := []string{"peer", p.Name}
	for _, s := range []control.Sample{
		{Name: "tombolo_bgp_session_up", Help: "1 while the session with a router is established.", Value: up, Labels: peer},
		{Name: "tombolo_bgp_messages_sent_total", Help: "Messages sent to a router.", Counter: true, Value: float64(p.Sent), Labels: peer},
		{Name: "tombolo_bgp_messages_received_total", Help: "Messages received from a router.", Counter: true, Value: float64(p.Received), Labels: peer},
		{Name: "tombolo_bgp_malformed_total", Help: "Malformed UPDATEs of a router that were contained (RFC 7606).", Counter: true, Value: float64(p.Malformed), Labels: peer},
	} {
		if !yield(s) {
			return false
		}
	}
	for family, n := range p.Advertised {
		if !yield(control.Sample{Name: "tombolo_bgp_advertised_paths", Help: "Paths that a router should have.",
			Value: float64(n), Labels: []string{"peer", p.Name, "family", family}}) {
			return false
		}
	}
	return true
}
