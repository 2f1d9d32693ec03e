package bpf

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
)

// wayGrace is how long a program may go on with a number that was taken back: it runs for
// microseconds, and a flow remembers a number for up to 134 ms.
const wayGrace = time.Second

// wayRenewal is how far the numbers of ways are given out anew.
type wayRenewal struct {
	due time.Time
	// next is what is to be done then; nil while numbers are given.
	next func() error
}

// RenewWays gives out anew the numbers by which flows remember their ways, when most are
// used up by next hops that may be gone. It is to be called every second or so, and takes
// a few of such calls: until the last, what has no number asks the kernel for each packet.
// After an error it is to be called again.
func (p *Packets) RenewWays(now time.Time) error {
	r := &p.renewal
	if now.Before(r.due) {
		return nil
	}
	if r.next == nil {
		used, limit, err := p.Ways()
		if err != nil || used < int(limit)/4*3 {
			return err
		}
		r.next = p.stopWays
	}
	if err := r.next(); err != nil {
		return fmt.Errorf("giving ways new numbers: %w", err)
	}
	r.due = now.Add(wayGrace)
	return nil
}

// Ways returns how many ways have numbers, and of how many. While numbers are given out anew
// all seem to be used up.
func (p *Packets) Ways() (used int, limit uint32, err error) {
	var given uint32
	if err := p.flows[packetMapWaysGiven].Lookup(uint32(0), &given); err != nil {
		return 0, 0, fmt.Errorf("looking how many ways have numbers: %w", err)
	}
	limit = p.flows[packetMapWays].MaxEntries() - 1 // 0 is none
	return int(min(given, limit)), limit, nil
}

func (p *Packets) setWaysGiven(n uint32) error {
	return p.flows[packetMapWaysGiven].Put(uint32(0), n)
}

// stopWays has no number given any more.
func (p *Packets) stopWays() error {
	if err := p.setWaysGiven(p.flows[packetMapWays].MaxEntries()); err != nil {
		return err
	}
	p.renewal.next = p.forgetWays
	return nil
}

// forgetWays takes all numbers back: no flow notes one from here on.
func (p *Packets) forgetWays() error {
	m := p.flows[packetMapWayNumbers]
	var all []packetWay
	var way packetWay
	var number uint32
	entries := m.Iterate()
	for entries.Next(&way, &number) {
		all = append(all, way)
	}
	err := entries.Err()
	for _, way := range all {
		if e := m.Delete(way); !errors.Is(e, ebpf.ErrKeyNotExist) {
			err = errors.Join(err, e)
		}
	}
	if err == nil {
		p.renewal.next = p.giveWays
	}
	return err
}

// giveWays gives numbers again, from the first on.
func (p *Packets) giveWays() error {
	if err := p.setWaysGiven(0); err != nil {
		return err
	}
	p.renewal.next = nil
	return nil
}
