package agent

import (
	"tombolo.io/tombolo/agent/pods"
	"tombolo.io/tombolo/internal/control"
)

// Pods is what this node knows of its own pods.
type Pods struct {
	// Known is how many run here; nothing is known while Unknown is set, and other
	// clusters that ask are told so.
	Known   int  `json:"known"`
	Unknown bool `json:"unknown,omitempty"`
	// Problems say what cannot be read.
	Problems []string `json:"problems,omitempty"`
}

// podsOf returns what is known, and what of it is not in order: that nobody tells
// this agent of pods is no fault.
func podsOf(s *pods.Snapshot) (p Pods, reasons []string) {
	p = Pods{Known: s.Set.Len(), Unknown: s.Set == nil, Problems: s.Problems}
	if s.Absent {
		return p, nil
	}
	return p, listed(len(s.Problems), func(i int) string { return s.Problems[i] })
}

// samples are the metrics of the node's pods.
func (p Pods) samples() []control.Sample {
	return []control.Sample{
		{Name: "tombolo_pods_known", Help: "Pods that run on this node, as the node itself says.", Value: float64(p.Known)},
		{Name: "tombolo_pods_problems", Help: "What cannot be read of the pods that run on this node.", Value: float64(len(p.Problems))},
	}
}
