package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/agent/health/gossip"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/internal/control"
)

// Gossip is how this agent's gossip is.
type Gossip = gossip.Snapshot

// gossips reports whether this agent gossips at all.
func (c Config) gossips() bool { return c.Failover != health.Off && c.GossipPort != 0 }

// gossip answers /gossip.
func (a *Agent) gossip(*http.Request) (any, error) {
	if p := a.pool.Load(); p != nil {
		return p.Snapshot(), nil
	}
	if !a.config.gossips() {
		return nil, errors.New("this agent does not gossip (--gossip-port 0, or --failover off)")
	}
	return nil, errors.New("the agent does not run yet")
}

// askAgents bounds how long it may take to ask all agents.
const askAgents = 8 * time.Second

// latency answers /latency.
func (a *Agent) latency(r *http.Request) (any, error) {
	j := a.judge.Load()
	if j == nil {
		return nil, errors.New("the agent does not run yet")
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), askAgents, fmt.Errorf("no answer within %v", askAgents))
	defer cancel()
	return j.Latency(ctx)
}

// deaf is how long no other agent may be heard before that is worth a word.
const deaf = 30 * time.Second

// gossipConcerns say what of it is not in order. Without gossip nothing is missed:
// the agent watches all nodes itself.
func gossipConcerns(s *Gossip, started, now time.Time) []string {
	const alone = "so that this node watches all others itself"
	if s == nil {
		return nil
	}
	if s.Problem != "" {
		return []string{"no gossip, " + alone + ": " + s.Problem}
	}
	silent, since := 0, started
	for _, m := range s.Members {
		switch {
		case m.Address == s.Address, m.State == gossip.StateLeft:
		case m.State == gossip.StateAlive:
			return nil
		default:
			silent++
			if m.Since.After(since) {
				since = m.Since
			}
		}
	}
	switch {
	case silent == 0 || now.Sub(since) < deaf:
		return nil
	case !s.Running:
		return []string{"no gossip, " + alone + ": its keys are not in the store"}
	}
	return []string{fmt.Sprintf("gossip reaches none of %d other agents of this cluster, %s: is UDP and TCP to port %d let through?", silent, alone, s.Address.Port())}
}

// gossipSamples are the metrics of gossip.
func gossipSamples(s *Gossip) []control.Sample {
	if s == nil {
		return nil
	}
	out := []control.Sample{
		{Name: "tombolo_gossip_running", Help: "1 while this agent gossips.", Value: truth(s.Running)},
		{Name: "tombolo_gossip_sent_total", Help: "Payloads that this agent gossiped.", Counter: true, Value: float64(s.Sent)},
		{Name: "tombolo_gossip_received_total", Help: "Payloads of others that were received.", Counter: true, Value: float64(s.Received)},
	}
	count := map[gossip.State]int{}
	for _, m := range s.Members {
		count[m.State]++
	}
	for _, state := range []gossip.State{gossip.StateAlive, gossip.StateLeft, gossip.StateLost, gossip.StateUnknown} {
		out = append(out, control.Sample{Name: "tombolo_gossip_members", Help: "Nodes of this cluster by what gossip knows of their agents.",
			Value: float64(count[state]), Labels: []string{"state", string(state)}})
	}
	for _, reason := range slices.Sorted(maps.Keys(s.Refused)) {
		out = append(out, control.Sample{Name: "tombolo_gossip_refused_total", Help: "What was refused of what arrived at the port of gossip.",
			Counter: true, Value: float64(s.Refused[reason]), Labels: []string{"reason", reason}})
	}
	return out
}

// gossipKeys are what the report to the store says of the keys that this agent has.
func gossipKeys(s *Gossip) []string {
	if s == nil {
		return nil
	}
	return s.Keys[:min(len(s.Keys), clustermesh.MaxGossipKeys)]
}
