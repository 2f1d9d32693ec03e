package health

import (
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// Snapshot is what a Health thinks of the mesh. It is immutable.
type Snapshot struct {
	Mode Mode `json:"mode"`
	// Verdicts are about clusters and their nodes, by name, each with
	// the same in the shape of Kubernetes.
	Verdicts []Verdict `json:"verdicts"`
	// Blind is since when this node hears nobody, in the families BlindIn; zero when
	// it does. Sees are those in which it judges.
	Blind   time.Time            `json:"blind,omitzero"`
	BlindIn clustermesh.Families `json:"blindIn,omitempty"`
	Sees    clustermesh.Families `json:"sees,omitempty"`
	// Interval is between two probes to a node that is watched here; longer than it
	// was asked to be where the budget does not suffice.
	Interval time.Duration `json:"interval"`
	Watched  int           `json:"watched"`
	// Wanted is the interval that was asked for, Expected how long it takes at most
	// until a watched node that dies is down.
	Wanted   time.Duration `json:"wanted"`
	Expected time.Duration `json:"expected"`
	// Stalls counts how often the agent came so late that all that it waited for was
	// void; Starved is since when that keeps it from judging anybody, zero when not.
	Stalls  uint64    `json:"stalls"`
	Starved time.Time `json:"starved,omitzero"`
	// Alone: without gossip, this node watches all others itself.
	Alone bool `json:"alone,omitempty"`
	// Unread counts what others gossip and this version does not understand.
	Unread int `json:"unread"`
	// Remembered is set while some of whom is judged is known from before this process
	// started.
	Remembered *Remembered `json:"remembered,omitempty"`
	// Problem says why nobody is judged; empty when all is well.
	Problem string `json:"problem,omitempty"`

	events []Event
}

// Verdict is a verdict, and what belongs to it.
type Verdict struct {
	clustermesh.Verdict
	Condition clustermesh.Condition `json:"condition"`
	// Watched: this node watches it; RTT is how long a reply of it takes, zero when
	// that is not known.
	Watched bool          `json:"watched,omitempty"`
	RTT     time.Duration `json:"rtt,omitempty"`
	// HeardIn are the families in which it ever answered.
	HeardIn clustermesh.Families `json:"heardIn,omitempty"`
	// Unsent: some probes to it cannot be sent from here, or none; Reason says why.
	Unsent bool `json:"unsent,omitempty"`
}

// Snapshot returns what is thought now.
func (h *Health) Snapshot() *Snapshot { return h.snapshot.Load() }

// Events returns the events after a number that Event.Seq had, the oldest first.
func (s *Snapshot) Events(after uint64) []Event {
	for i, e := range s.events {
		if e.Seq > after {
			return s.events[i:]
		}
	}
	return nil
}

// show publishes a snapshot.
func (h *Health) show(now time.Time) {
	h.shown = now
	s := &Snapshot{Mode: h.config.Mode, Verdicts: []Verdict{}, events: h.events.events}
	if h.problem != nil {
		s.Problem = h.problem.Error()
	}
	if m := h.machine; m != nil {
		s.Blind, s.BlindIn = m.Blind()
		s.Sees, s.Interval, s.Alone, s.Unread = m.Sees(), m.interval, m.alone(), m.unread
		s.Wanted, s.Expected, s.Stalls, s.Starved = m.knobs.Interval, m.Expected(), m.Stalls(), m.Starved()
		for _, v := range m.Verdicts() {
			shown := Verdict{Verdict: v, Condition: v.Condition()}
			if n := m.nodes[Name{v.Cluster, v.Node}]; n != nil {
				why, _ := m.mute(n)
				shown.HeardIn, shown.Unsent = n.heardIn(), why != ""
				if shown.Watched, shown.RTT = n.watched, n.rtt(); n.watched {
					s.Watched++
				}
			}
			s.Verdicts = append(s.Verdicts, shown)
		}
	}
	for cluster, seen := range h.mesh.remembered {
		if s.Remembered == nil {
			s.Remembered = &Remembered{Since: seen}
		}
		if seen.Before(s.Remembered.Since) {
			s.Remembered.Since = seen
		}
		s.Remembered.Clusters = append(s.Remembered.Clusters, cluster)
	}
	if s.Remembered != nil {
		slices.Sort(s.Remembered.Clusters)
	}
	h.snapshot.Store(s)
}
