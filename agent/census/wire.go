package census

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/agent/pods"
)

// Pair is a pod under an address.
type Pair struct {
	Address netip.Addr `json:"address"`
	UID     string     `json:"uid"`
}

// Answer is what a node says of pairs, in the order of the question.
type Answer struct {
	// Life is the one of which it speaks, or an earlier one.
	Life   health.Life
	States []pods.State
}

// A question is a version, the number of pairs in 2 bytes, and of each pair the
// address in 16 bytes and the uid behind its length in one. An answer is a version,
// a status, boot id and epoch, the number of pairs, and a byte each. All numbers
// are big-endian, and nothing may follow.
const (
	wireVersion = 1
	maxPairs    = 1024
	maxUID      = 128
	maxQuestion = 3 + maxPairs*(16+1+maxUID)
	answerHead  = 1 + 1 + 16 + 8 + 2
	maxAnswer   = answerHead + maxPairs
)

// The statuses of an answer.
const (
	statusKnows = iota
	statusKnowsNothing
)

// errKnowsNothing is of a node that does not know which pods it has.
var errKnowsNothing = errors.New("it does not know which pods run there")

func appendQuestion(b []byte, pairs []Pair) []byte {
	b = append(b, wireVersion)
	b = binary.BigEndian.AppendUint16(b, uint16(len(pairs)))
	for _, p := range pairs {
		a := p.Address.As16()
		b = append(append(b, a[:]...), byte(len(p.UID)))
		b = append(b, p.UID...)
	}
	return b
}

func parseQuestion(b []byte) ([]Pair, error) {
	if len(b) < 3 || b[0] != wireVersion {
		return nil, errors.New("a question of another version, or none")
	}
	n := int(binary.BigEndian.Uint16(b[1:]))
	if n == 0 || n > maxPairs {
		return nil, fmt.Errorf("a question about %d pods, want 1 to %d", n, maxPairs)
	}
	b = b[3:]
	pairs := make([]Pair, 0, n)
	for range n {
		if len(b) < 17 || len(b) < 17+int(b[16]) {
			return nil, errors.New("a question that is cut")
		}
		p := Pair{Address: netip.AddrFrom16([16]byte(b)).Unmap(), UID: string(b[17 : 17+b[16]])}
		if !pods.ValidUID(p.UID) {
			return nil, fmt.Errorf("a question about uid %q", p.UID)
		}
		pairs, b = append(pairs, p), b[17+len(p.UID):]
	}
	if len(b) > 0 {
		return nil, errors.New("a question with something behind it")
	}
	return pairs, nil
}

// appendAnswer writes an answer; without states it is that nothing is known.
func appendAnswer(b []byte, a Answer) []byte {
	status := byte(statusKnows)
	if len(a.States) == 0 {
		status = statusKnowsNothing
	}
	b = append(b, wireVersion, status)
	b = append(b, a.Life.BootID[:]...)
	b = binary.BigEndian.AppendUint64(b, a.Life.Epoch)
	b = binary.BigEndian.AppendUint16(b, uint16(len(a.States)))
	for _, s := range a.States {
		b = append(b, byte(s))
	}
	return b
}

// parseAnswer reads the answer to a question about n pairs.
func parseAnswer(b []byte, n int) (a Answer, err error) {
	switch {
	case len(b) < answerHead || b[0] != wireVersion:
		return a, errors.New("its answer is cut, or of another version")
	case b[1] == statusKnowsNothing:
		return a, errKnowsNothing
	case b[1] != statusKnows:
		return a, fmt.Errorf("its answer has status %d", b[1])
	}
	a.Life.BootID = [16]byte(b[2:])
	a.Life.Epoch = binary.BigEndian.Uint64(b[18:])
	states := b[answerHead:]
	if got := int(binary.BigEndian.Uint16(b[26:])); got != n || len(states) != n {
		return a, fmt.Errorf("it answers about %d pods in %d bytes, and was asked about %d", got, len(states), n)
	}
	for _, s := range states {
		if pods.State(s) > pods.Reused {
			return a, fmt.Errorf("it answers with state %d", s)
		}
		a.States = append(a.States, pods.State(s))
	}
	return a, nil
}
