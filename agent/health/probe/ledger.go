package probe

import (
	"net/netip"
	"time"

	"tombolo.io/tombolo/bpf"
)

// Target is an address to ask, and what it is on its node.
type Target struct {
	Address netip.Addr
	Kind    bpf.ProbeKind
}

// Reply is a probe that was answered.
type Reply struct {
	// Nonce is what Send returned.
	Nonce  uint64
	Target Target
	// Sent and Arrived have monotonic time; Arrived is never before Sent.
	Sent, Arrived time.Time
	// BootID and Epoch are the node's: another of either means that what runs on
	// it may have changed.
	BootID bpf.BootID
	Epoch  uint64
}

// RTT is how long the way there and back took.
func (r Reply) RTT() time.Duration { return r.Arrived.Sub(r.Sent) }

// fault is why a datagram is no reply.
type fault int

const (
	accepted  fault = iota
	malformed       // not a reply of this version
	unknown         // a nonce that is not waited for: never sent, answered, forgotten
	elsewhere       // not from the address, port or kind that was asked
)

// ledger holds the probes that are waited for.
type ledger struct {
	port    uint16
	forget  time.Duration
	waiting map[uint64]waiting
	// order has the nonces as they were sent, to forget the oldest first.
	order []uint64
}

type waiting struct {
	target Target
	sent   time.Time
}

func newLedger(port uint16, forget time.Duration) *ledger {
	return &ledger{port: port, forget: forget, waiting: map[uint64]waiting{}}
}

// asked notes a probe, and forgets those that are too old.
func (l *ledger) asked(nonce uint64, t Target, now time.Time) {
	done := 0
	for _, old := range l.order {
		if w, ok := l.waiting[old]; ok && now.Sub(w.sent) < l.forget {
			break
		}
		delete(l.waiting, old)
		done++
	}
	l.order = append(l.order[done:], nonce)
	l.waiting[nonce] = waiting{t, now}
}

// unsent takes back the last one noted.
func (l *ledger) unsent(nonce uint64) { delete(l.waiting, nonce) }

// settle judges a datagram that was read now and had arrived some time before.
func (l *ledger) settle(datagram []byte, from netip.AddrPort, now time.Time, age time.Duration) (Reply, fault) {
	p, err := bpf.ParseProbe(datagram)
	if err != nil || !p.Reply {
		return Reply{}, malformed
	}
	w, ok := l.waiting[p.Nonce]
	if !ok {
		return Reply{}, unknown
	}
	// Whoever guesses a nonce has not used it up by that.
	if from != netip.AddrPortFrom(w.target.Address, l.port) || p.Target != w.target.Address || p.Kind != w.target.Kind {
		return Reply{}, elsewhere
	}
	delete(l.waiting, p.Nonce)
	// The stamp is of the clock that people set; it may have jumped since.
	age = min(max(age, 0), now.Sub(w.sent))
	return Reply{
		Nonce: p.Nonce, Target: w.target, Sent: w.sent, Arrived: now.Add(-age), BootID: p.BootID, Epoch: p.Epoch,
	}, accepted
}
