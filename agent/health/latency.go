package health

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"time"
)

// How long replies take is known where they arrive. So a map of the whole cluster's
// is asked for, when somebody wants it: the question goes to all agents, and each
// answers to the one who asked. Nothing is sent otherwise.
//
//	byte 0      2 for a question, 3 for an answer
//	8 bytes     the number of the question
//
// An answer goes on, in one datagram or several, with
//
//	2 bytes     how many entries there are, in all of them
//	then, each  a name as in a Report, and 4 bytes, the round-trip time in µs

const (
	question     = 2
	answerKind   = 3
	answerHeader = 1 + 8 + 2
	// maxAnswer bounds the payload of a datagram, maxEntries what one agent tells:
	// whom it watches comes first.
	maxAnswer  = 1000
	maxEntries = 512
	// maxOwed bounds the questions that wait for our answer.
	maxOwed = 16
	// spread is how far apart answers are, for each member: all of them go to one.
	spread = time.Millisecond
	// patience is how long the answers are waited for, besides.
	patience = 1500 * time.Millisecond
)

// Latency is how far the mesh's nodes are from those of one cluster.
type Latency struct {
	// From are the cluster's agents that answered, by name, Missing those that
	// gossip and did not.
	From    []Distances `json:"from"`
	Missing []string    `json:"missing"`
}

// Distances are the round-trip times that an agent measured, by cluster and node.
type Distances struct {
	Node string     `json:"node"`
	To   []Distance `json:"to"`
}

// Distance is to a node of the mesh.
type Distance struct {
	Cluster string        `json:"cluster"`
	Node    string        `json:"node"`
	RTT     time.Duration `json:"rtt"`
}

// Distances returns how long replies of the nodes take that answer now, whom this
// node watches before the others, so many at most.
func (m *Machine) Distances(most int) []Distance {
	var all []*node
	for _, n := range m.nodes {
		if n.rtt() > 0 && !n.anyDown() {
			all = append(all, n)
		}
	}
	slices.SortFunc(all, func(a, b *node) int {
		if a.watched != b.watched {
			if a.watched {
				return -1
			}
			return 1
		}
		return compareNames(a.Name, b.Name)
	})
	var out []Distance
	for _, n := range all[:min(len(all), most)] {
		out = append(out, Distance{n.Cluster, n.Node, n.rtt()})
	}
	return out
}

// rtt is how long a reply of a node takes, of its pods' prefix where its own address
// is not asked, by IPv4 where that is; zero when that is not known.
func (n *node) rtt() time.Duration {
	return cmp.Or(n.track[Address].rtt, n.track[Pods].rtt, n.track[Address6].rtt, n.track[Pods6].rtt)
}

// inquiry is a question of ours.
type inquiry struct {
	number uint64
	began  time.Time
	// missing are those who have not told all, with how many entries are still to
	// come; -1 before the first.
	missing map[string]int
	rows    map[string][]Distance
	done    chan struct{}
}

// answer is one that is due.
type answer struct {
	to     string
	number uint64
	due    time.Time
}

// Latency asks all agents of the cluster how far they are from whom. It waits for
// their answers, but not for ever, nor longer than ctx.
func (h *Health) Latency(ctx context.Context) (*Latency, error) {
	if h.config.Mode == Off {
		return nil, errors.New("failover is off (--failover=off): nobody measures")
	}
	q := &inquiry{number: rand.Uint64(), missing: map[string]int{}, rows: map[string][]Distance{}, done: make(chan struct{})}
	select {
	case h.surveys <- q:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	select {
	case <-q.done: // nobody changes it any more
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	out := &Latency{From: []Distances{}, Missing: []string{}}
	for node, to := range q.rows {
		if left, ok := q.missing[node]; ok && left < 0 {
			continue
		}
		slices.SortFunc(to, func(a, b Distance) int { return compareNames(Name{a.Cluster, a.Node}, Name{b.Cluster, b.Node}) })
		out.From = append(out.From, Distances{node, append([]Distance{}, to...)})
	}
	for node := range q.missing {
		out.Missing = append(out.Missing, node)
	}
	slices.SortFunc(out.From, func(a, b Distances) int { return cmp.Compare(a.Node, b.Node) })
	slices.Sort(out.Missing)
	return out, nil
}

// begin sends a question of ours.
func (h *Health) begin(q *inquiry, now time.Time) {
	q.began = now
	q.rows[h.config.Node] = nil
	if h.machine != nil {
		q.rows[h.config.Node] = h.machine.Distances(maxEntries)
	}
	for _, name := range h.members {
		if name != h.config.Node {
			q.missing[name] = -1
		}
	}
	if h.inquiries[q.number] = q; len(q.missing) > 0 {
		h.deps.Pool.Broadcast(binary.BigEndian.AppendUint64([]byte{question}, q.number))
	}
	h.conclude(q)
}

// conclude ends an inquiry to which all have answered.
func (h *Health) conclude(q *inquiry) {
	if len(q.missing) == 0 {
		delete(h.inquiries, q.number)
		close(q.done)
	}
}

// inform takes in what is about latencies, and says whether it was that.
func (h *Health) inform(m Message, now time.Time) bool {
	b := m.Payload
	switch {
	case len(b) < 9 || b[0] != question && b[0] != answerKind:
		return false
	case b[0] == question && len(h.answers) < maxOwed:
		wait := time.Duration(rand.Int64N(int64(len(h.members)+1))) * spread
		h.answers = append(h.answers, answer{m.From, binary.BigEndian.Uint64(b[1:]), now.Add(wait)})
	case b[0] == answerKind:
		q := h.inquiries[binary.BigEndian.Uint64(b[1:])]
		if q == nil {
			return true
		}
		if left, ok := q.missing[m.From]; ok {
			h.fill(q, m.From, left, b)
		}
	}
	return true
}

// fill takes in a part of an agent's answer. One that cannot be read is as if it
// were lost.
func (h *Health) fill(q *inquiry, from string, left int, b []byte) {
	total, entries, err := parseAnswer(b)
	if err != nil {
		return
	}
	if left < 0 {
		left = total
	}
	q.rows[from] = append(q.rows[from], entries...)
	if q.missing[from] = left - len(entries); q.missing[from] <= 0 {
		delete(q.missing, from)
	}
	h.conclude(q)
}

// answer sends the answers that are due, and gives up waiting for those of others.
// It returns when there is something of this kind to do again, at the latest.
func (h *Health) answer(now time.Time) time.Time {
	next := now.Add(time.Second)
	h.answers = slices.DeleteFunc(h.answers, func(a answer) bool {
		if a.due.After(now) {
			if a.due.Before(next) {
				next = a.due
			}
			return false
		}
		var all []Distance
		if h.machine != nil {
			all = h.machine.Distances(maxEntries)
		}
		for _, payload := range appendAnswers(a.number, all) {
			h.deps.Pool.Send(a.to, payload)
		}
		return true
	})
	for _, q := range h.inquiries {
		end := q.began.Add(patience + time.Duration(len(h.members))*spread)
		if !end.After(now) {
			delete(h.inquiries, q.number)
			close(q.done)
		} else if end.Before(next) {
			next = end
		}
	}
	return next
}

// appendAnswers writes an answer, in as many datagrams as it takes.
func appendAnswers(number uint64, all []Distance) (out [][]byte) {
	header := binary.BigEndian.AppendUint64([]byte{answerKind}, number)
	header = binary.BigEndian.AppendUint16(header, uint16(len(all)))
	b := slices.Clone(header)
	for _, d := range all {
		if len(b)+len(d.Cluster)+len(d.Node)+6 > maxAnswer {
			out, b = append(out, b), slices.Clone(header)
		}
		b = appendName(b, Name{d.Cluster, d.Node})
		b = binary.BigEndian.AppendUint32(b, uint32(min(d.RTT.Microseconds(), 1<<32-1)))
	}
	return append(out, b)
}

// parseAnswer reads a datagram of an answer, and how many entries all have.
func parseAnswer(b []byte) (total int, out []Distance, err error) {
	if len(b) < answerHeader || len(b) > maxAnswer {
		return 0, nil, errors.New("an answer that is cut, or too long")
	}
	total = int(binary.BigEndian.Uint16(b[9:]))
	for b = b[answerHeader:]; len(b) > 0; b = b[4:] {
		var n Name
		if n, b, err = cutName(b); err != nil {
			return 0, nil, err
		}
		if len(b) < 4 {
			return 0, nil, errors.New("an answer that is cut")
		}
		out = append(out, Distance{n.Cluster, n.Node, time.Duration(binary.BigEndian.Uint32(b)) * time.Microsecond})
	}
	if total > maxEntries || len(out) > total {
		return 0, nil, errors.New("an answer of more entries than it says, or than there may be")
	}
	return total, out, nil
}
