package gossip

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
)

// letter is a payload on the wire:
//
//	byte 0      version, 1
//	byte 1      its kind
//	byte 2      length of the sender's name, which follows
//	8 bytes     a number that the sender uses once
//	then        the payload
type letter struct {
	kind    kind
	from    string
	number  uint64
	payload []byte
}

// kind is what becomes of a letter.
type kind uint8

const (
	direct  kind = iota // it is for the receiver alone
	toAll               // whoever has it passes it on
	goodbye             // as toAll, and the sender leaves
	kinds
)

const (
	letterVersion = 1
	maxName       = 253 // of a node, as RFC 1123 has it
	// MaxPayload bounds what fits a datagram in every network.
	MaxPayload = 1000
)

func (l letter) append(b []byte) []byte {
	b = append(b, letterVersion, byte(l.kind), byte(len(l.from)))
	b = append(b, l.from...)
	b = binary.BigEndian.AppendUint64(b, l.number)
	return append(b, l.payload...)
}

// open reads what append wrote. The payload is a part of b.
func open(b []byte) (l letter, err error) {
	if len(b) < 3 || b[0] != letterVersion || b[1] >= byte(kinds) {
		return l, errors.New("no letter of this version")
	}
	n := int(b[2])
	if n == 0 || n > maxName || len(b) < 3+n+8 || len(b) > 3+n+8+MaxPayload {
		return l, errors.New("a letter that is cut, or too long")
	}
	return letter{
		kind: kind(b[1]), from: string(b[3 : 3+n]), number: binary.BigEndian.Uint64(b[3+n:]), payload: b[3+n+8:],
	}, nil
}

// firstNumber is where a sender begins to count: one that restarted does not repeat.
func firstNumber() uint64 { return rand.Uint64() }

// stamp is what tells letters apart.
type stamp struct {
	from   string
	number uint64
}

// remembered bounds how many letters are remembered.
const remembered = 8192

// seen remembers the letters of late, the oldest at next.
type seen struct {
	known map[stamp]struct{}
	order []stamp
	next  int
}

func newSeen() *seen { return &seen{known: map[stamp]struct{}{}} }

// add takes a letter in, and says whether it is a new one.
func (s *seen) add(l letter) bool {
	k := stamp{l.from, l.number}
	if _, ok := s.known[k]; ok {
		return false
	}
	s.known[k] = struct{}{}
	if len(s.order) < remembered {
		s.order = append(s.order, k)
		return true
	}
	delete(s.known, s.order[s.next])
	s.order[s.next] = k
	s.next = (s.next + 1) % remembered
	return true
}
