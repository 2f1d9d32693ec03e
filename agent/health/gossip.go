package health

import (
	"errors"
	"fmt"
	"time"
)

// Report is what the agents of a cluster tell each other about a node of any:
//
//	byte 0      version, 1
//	byte 1      state
//	byte 2      length of the cluster's name, which follows
//	then        length of the node's name, which follows; nothing may follow that
//
// It says neither who sends it nor when: the pool knows the sender, and whoever
// hears it asks the node itself. So one that comes twice, late or in disorder
// costs a burst at most, and none while a burst runs, was just answered, or the
// node is down already; that is all the deduplication there is.
type Report struct {
	Name  Name
	State ReportState
	// heard is when it arrived.
	heard time.Time
}

// ReportState is what is said of the node.
type ReportState uint8

// The states of a Report.
const (
	Suspected ReportState = 1 + iota // did not answer three times
	Down                             // failed the sender's burst
	Moved                            // lives another life, while its cluster's mirror is stale
)

// String writes suspect, down or moved.
func (s ReportState) String() string {
	switch s {
	case Down:
		return "down"
	case Moved:
		return "moved"
	}
	return "suspect"
}

const (
	reportVersion = 1
	maxName       = 253 // of a node, as RFC 1123 has it
	// reportLasts is for how long a report is evidence.
	reportLasts = time.Minute
	// maxReporters bounds how many of those who report a node are remembered.
	maxReporters = 8
)

// ErrVersion is of a report of another version, which is no fault.
var ErrVersion = errors.New("a report of another version")

// Append appends the report to b.
func (r Report) Append(b []byte) []byte {
	return appendName(append(b, reportVersion, byte(r.State)), r.Name)
}

func appendName(b []byte, n Name) []byte {
	b = append(append(b, byte(len(n.Cluster))), n.Cluster...)
	return append(append(b, byte(len(n.Node))), n.Node...)
}

// cutName cuts what appendName wrote from the front of b.
func cutName(b []byte) (n Name, rest []byte, err error) {
	for _, part := range []*string{&n.Cluster, &n.Node} {
		if len(b) == 0 || len(b) < 1+int(b[0]) || b[0] == 0 || b[0] > maxName {
			return Name{}, nil, errors.New("a name that is not whole")
		}
		*part, b = string(b[1:1+b[0]]), b[1+b[0]:]
	}
	return n, b, nil
}

// ParseReport reads what Append wrote, and refuses all else.
func ParseReport(b []byte) (Report, error) {
	if len(b) > 0 && b[0] != reportVersion {
		return Report{}, fmt.Errorf("%w: %d", ErrVersion, b[0])
	}
	if len(b) < 3 {
		return Report{}, errors.New("a report that is cut")
	}
	r := Report{State: ReportState(b[1])}
	if r.State < Suspected || r.State > Moved {
		return Report{}, fmt.Errorf("a report of state %d", b[1])
	}
	var rest []byte
	var err error
	if r.Name, rest, err = cutName(b[2:]); err != nil {
		return Report{}, err
	}
	if len(rest) > 0 {
		return Report{}, errors.New("a report with something behind it")
	}
	return r, nil
}

// hear takes a report in. What cannot be read was written by another version.
func (m *Machine) hear(g Message) {
	r, err := ParseReport(g.Payload)
	if err != nil {
		m.unread++
		return
	}
	n := m.nodes[r.Name]
	if n == nil || n.Name == m.self || g.From == m.self.Node {
		return
	}
	if r.State == Moved {
		m.prod(n)
		return
	}
	r.heard = m.now
	if _, ok := n.reports[g.From]; ok || len(n.reports) < maxReporters {
		n.reports[g.From] = r
	} else {
		for from, old := range n.reports {
			if m.now.Sub(old.heard) >= reportLasts {
				delete(n.reports, from)
				n.reports[g.From] = r
				break
			}
		}
	}
	m.suspect(n, false)
}

// Unread returns how many payloads of others were not understood.
func (m *Machine) Unread() int { return m.unread }

// remind tells those who joined since of what is down here.
func (m *Machine) remind(n *node) {
	if n.watched && n.anyDown() && m.now.Sub(n.told) >= remindEvery {
		n.told = m.now
		m.out.Gossip = append(m.out.Gossip, Report{Name: n.Name, State: Down}.Append(nil))
	}
}

const remindEvery = 5 * time.Second
