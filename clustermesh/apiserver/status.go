package apiserver

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/ipam"
	"tombolo.io/tombolo/clustermesh/mirror"
	"tombolo.io/tombolo/clustermesh/source"
)

// Status is what an API server says of itself. It is immutable.
type Status struct {
	Cluster clustermesh.Cluster `json:"cluster"`
	Health  clustermesh.Health  `json:"health"`
	// Reasons say why Health is not OK.
	Reasons []string `json:"reasons,omitempty"`
	// Leader says whether this API server leads; the others stand by.
	// LeaderName is the node of the one that does, empty while that is not known.
	Leader     bool   `json:"leader"`
	LeaderName string `json:"leaderName,omitempty"`
	// Passed is set once all that this leader knows is stored, Synced when that
	// is a complete pass, with nothing left to sweep.
	Passed bool          `json:"passed"`
	Synced bool          `json:"synced"`
	Epoch  string        `json:"epoch,omitempty"`
	Source source.Status `json:"source"`
	// Invalid are objects that cannot be stored as they are, where what is
	// stored stays, stored ones that cannot be read, and pods and addresses
	// that have no identity.
	Invalid []source.Problem `json:"invalid,omitempty"`
	// Mirrors are those of other clusters, in the API server that leads.
	Mirrors []mirror.Status `json:"mirrors,omitempty"`
	// Waiting is the number of keys that nobody wants and that were not deleted
	// because of Why; they go at Until, if nothing changes, zero for never.
	Waiting int       `json:"waiting"`
	Why     string    `json:"why,omitempty"`
	Until   time.Time `json:"until,omitzero"`
	// Relearning says why no identity is given out at present, empty when they
	// are.
	Relearning string `json:"relearning,omitempty"`
	// Gossip are the names of the keys of the agents' gossip, that of the one in use
	// first, in the API server that leads. Rotating says who holds their exchange up.
	Gossip   []string `json:"gossip,omitempty"`
	Rotating string   `json:"rotating,omitempty"`
	// Drains are what this cluster drains, in the API server that leads.
	Drains []clustermesh.Drain `json:"drains,omitempty"`
	// Pools are those of load-balancer addresses, and Troubled the services of
	// whose addresses there is something to say, in the API server that leads.
	Pools    []ipam.PoolState   `json:"pools,omitempty"`
	Troubled []ServiceAddresses `json:"troubled,omitempty"`
	// lacking is what is not as somebody asked for it.
	lacking []string
	// StoreErr says why the store cannot be read or written, since when.
	StoreErr   string    `json:"storeErr,omitempty"`
	StoreSince time.Time `json:"storeSince,omitzero"`
}

// Ready returns nil once the API server does its work, or what it waits for.
// One that stands by is ready when it could lead.
func (s Status) Ready() error {
	switch {
	case s.Health == clustermesh.HealthStopped:
		return errors.New(strings.Join(s.Reasons, "; "))
	case s.StoreErr != "":
		return errors.New("the store: " + s.StoreErr)
	case !s.Source.Synced && s.Source.Err != "":
		return fmt.Errorf("%s cannot be read: %s", s.Source.From, s.Source.Err)
	case !s.Source.Synced:
		return fmt.Errorf("%s was not read yet", s.Source.From)
	case s.LeaderName == "":
		return errors.New("nobody leads yet")
	case s.Leader && !s.Passed:
		return errors.New("the first pass of this term is not stored yet")
	}
	return nil
}

// maxReasons bounds how many single objects the reasons name.
const maxReasons = 5

// publish makes a new status, and reports it to the store when it says
// something new.
func (l *loop) publish() {
	s := l.state()
	old := l.server.status.Swap(&s)
	switch {
	case old.Why == s.Why:
	case s.Why != "":
		l.log.Warn("stored keys that nobody wants stay", "keys", s.Waiting, "reason", s.Why)
	default:
		l.log.Info("nothing waits to be deleted any more", "before", old.Why)
	}
	if old.Health == s.Health && slices.Equal(old.Reasons, s.Reasons) {
		return
	}
	value, err := clustermesh.Encode(l.report(s))
	if err != nil {
		l.log.Error("status cannot be stored", "err", err)
		return
	}
	select {
	case <-l.reports: // one that nobody took yet
	default:
	}
	l.reports <- value
}

func (l *loop) state() Status {
	s := Status{
		Cluster: l.server.config.Cluster, Health: clustermesh.HealthOK,
		Source: l.server.source.Status(), Leader: l.turn != nil, LeaderName: l.leader,
	}
	// The source says so before we have what it sends.
	s.Source.Synced = s.Source.Synced && l.catalog.synced()
	switch {
	case l.failed != nil:
		s.StoreErr, s.StoreSince = "it cannot be written: "+l.failed.Error(), l.since
	case l.away != nil:
		s.StoreErr, s.StoreSince = "it is out of reach: "+l.away.Error(), l.awaySince
	}
	if s.Leader {
		s.LeaderName = l.server.config.Node
	}
	if t := l.term; t != nil {
		s.Passed, s.Epoch = l.failed == nil && t.writer.Staged() == 0, t.epoch
		s.Synced = s.Passed && t.marked()
		s.Waiting, s.Why, s.Until = len(t.sweep.keys), t.sweep.reason, t.sweep.at
		if t.relearning != nil {
			s.Relearning = t.relearning.reason()
		}
		s.Gossip = t.gossip.IDs()
		if err := t.rotation.reason(time.Now()); t.rotating() && err != nil {
			s.Rotating = err.Error()
		}
		for _, key := range slices.Sorted(maps.Keys(t.drains)) {
			s.Drains = append(s.Drains, *t.drains[key])
		}
		s.Pools, s.Troubled, s.lacking = t.addresses.notices.pools, t.addresses.notices.troubled, t.addresses.notices.reasons()
		for subject, err := range t.invalid {
			s.Invalid = append(s.Invalid, source.Problem{Object: subject, Reason: err.Error()})
		}
		for _, p := range t.identities.registry.Problems() {
			s.Invalid = append(s.Invalid, source.Problem{Object: p.Subject, Reason: p.Reason})
		}
		slices.SortFunc(s.Invalid, func(a, b source.Problem) int { return strings.Compare(a.Object, b.Object) })
	}
	var trouble []string
	s.Mirrors, trouble = l.mirroring.peers()
	if s.Reasons = append(s.reasons(), trouble...); len(s.Reasons) > 0 {
		s.Health = clustermesh.HealthDegraded
	}
	return s
}

// reasons returns what is not as it should be.
func (s Status) reasons() []string {
	var out []string
	if s.StoreErr != "" {
		out = append(out, "the store: "+s.StoreErr)
	}
	if s.Source.Err != "" {
		out = append(out, s.Source.From+" cannot be read: "+s.Source.Err)
	}
	for _, h := range s.Source.Held {
		out = append(out, s.Source.From+": "+h.String())
	}
	if s.Why != "" {
		out = append(out, fmt.Sprintf("%d stored keys that nobody wants stay: %s", s.Waiting, s.Why))
	}
	if s.Relearning != "" {
		out = append(out, s.Relearning)
	}
	if s.Rotating != "" {
		out = append(out, s.Rotating)
	}
	out = append(out, s.lacking...)
	out = append(out, listed("object not taken", s.Source.Problems)...)
	return append(out, listed("object not stored", s.Invalid)...)
}

// listed names the first few problems and counts the others.
func listed(what string, problems []source.Problem) []string {
	var out []string
	for _, p := range problems[:min(len(problems), maxReasons)] {
		subject := strings.TrimSpace(p.Place + " " + p.Object)
		out = append(out, fmt.Sprintf("%s: %s: %s", what, subject, p.Reason))
	}
	if more := len(problems) - maxReasons; more > 0 {
		out = append(out, fmt.Sprintf("%s: %d more; tombolo status apiserver -o yaml names them", what, more))
	}
	return out
}

// report is the status as it is stored.
func (l *loop) report(s Status) *clustermesh.ProcessStatus {
	p := &clustermesh.ProcessStatus{
		Role: Role, Node: l.server.config.Node, Version: l.server.config.Version,
		Started: l.server.started.UTC().Truncate(time.Second), Health: s.Health,
	}
	for _, r := range s.Reasons {
		p.Reasons = append(p.Reasons, clustermesh.Line(r))
	}
	return p
}
