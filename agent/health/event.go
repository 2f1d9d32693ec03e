package health

import (
	"slices"
	"time"
)

// Event is something that people want to know of at 3 a.m.
type Event struct {
	// Seq counts the events of this process, from 1.
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
	// What is cluster/node, a cluster, or this node.
	What string `json:"what"`
	From string `json:"from,omitempty"`
	To   string `json:"to"`
	// Reason is for people, Evidence who saw what.
	Reason   string   `json:"reason,omitempty"`
	Evidence []string `json:"evidence,omitempty"`
	// Observed: nothing was done about it, for --failover=observe.
	Observed bool `json:"observed,omitempty"`
}

// maxEvents bounds how many are remembered.
const maxEvents = 1000

// maxNews is how many events of others may wait to be written down.
const maxNews = 100

// Tell writes an event down that somebody else noticed. It never blocks: of a
// flood only the first are remembered, and the rest is logged.
func (h *Health) Tell(e Event) {
	select {
	case h.news <- e:
	default:
		h.deps.Log.Warn("too much is new to be remembered", "what", e.What, "from", e.From, "to", e.To, "reason", e.Reason)
	}
}

// ring holds the last events. Its slice is shared with readers and never changed
// in place.
type ring struct {
	last   uint64
	events []Event
}

func (r *ring) add(e Event) {
	r.last++
	e.Seq = r.last
	from := max(0, len(r.events)+1-maxEvents)
	r.events = append(slices.Clone(r.events[from:]), e)
}
