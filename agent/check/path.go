package check

import (
	"net/netip"
	"time"

	"tombolo.io/tombolo/bpf"
)

// Peer is a node to be asked, by its addresses of one family.
type Peer struct {
	Cluster, Node string
	// Address is the node's own, Pods any of its pods' prefix; invalid where it has none.
	Address, Pods netip.Addr
	// BootID is the node's, zero while it is not known. It is what makes its kernel
	// answer an address that is no node's.
	BootID bpf.BootID
}

// Way is from which of our addresses to which of theirs.
type Way int

// The ways.
const (
	AddressToAddress Way = iota
	AddressToPods
	PodsToAddress
	PodsToPods
	ways
)

// fromPods and toPods say what a way begins and ends with.
func (w Way) fromPods() bool { return w == PodsToAddress || w == PodsToPods }
func (w Way) toPods() bool   { return w == AddressToPods || w == PodsToPods }

// Leg is what became of the probes on one way to a node.
type Leg struct {
	// Asked is set if it was tried at all, Answered if there was a reply.
	Asked, Answered bool
	// Dropped: a reply came to this node, and no socket got it.
	Dropped bool
	// Sent is the address that we sent from, Saw that from which it came there;
	// invalid if the reply does not say.
	Sent, Saw netip.Addr
	// Unsent is why the kernel did not send, nil if it did.
	Unsent error
	// Refusal is an ICMP error that came instead of a reply.
	Refusal Refusal
}

// masked says whether the source address was another there.
func (l Leg) masked() bool { return l.Answered && l.Saw.IsValid() && l.Saw != l.Sent }

// Refusal is an ICMP error, from whom it came; the zero value is none.
type Refusal struct {
	Kind RefusalKind
	From netip.Addr
}

// RefusalKind is what an ICMP error says.
type RefusalKind int

// The kinds.
const (
	NotRefused RefusalKind = iota
	NoPort                 // nobody listens: it arrived, and the kernel does not answer probes
	NoRoute                // no way on from there
	Prohibited             // a firewall rejects it
	Loop                   // it went round until its time to live was over
)

// Size is how long packets may be, in bytes of the whole IP packet.
type Size struct {
	// Device is what the device here takes, Passes the longest that came back; 0 if
	// it was not tried.
	Device, Passes int
	// ToldBy is who said by ICMP that longer ones do not pass; invalid if nobody did.
	ToldBy netip.Addr
}

// Path is all that was seen of the way to a node, in one family.
type Path struct {
	Peer
	Legs [ways]Leg
	// Pinged: its address was silent, and answered an echo request.
	Pinged bool
	// Heard: the node answered failover here once, in this family.
	Heard bool
	Size  Size
	// RTT is the way to its address and back. Clock is by how much its clock is ahead
	// of ours, by half the RTT at most wrong; it counts only if Timed.
	RTT, Clock time.Duration
	Timed      bool
}

// Family returns IPv4 or IPv6.
func (p *Path) Family() string {
	if p.Address.Is4() || !p.Address.IsValid() && p.Pods.Is4() {
		return "IPv4"
	}
	return "IPv6"
}
