package bpf

import (
	"net/netip"
	"unsafe"
)

// State is what is known of a backend itself.
type State uint8

// The states.
const (
	// Free is nobody. A number that was in use must stay free for a grace
	// period before it is written again.
	Free = State(mapsBackendStateBACKEND_FREE)
	// Active takes new clients.
	Active = State(mapsBackendStateBACKEND_ACTIVE)
	// Draining keeps the clients it has.
	Draining = State(mapsBackendStateBACKEND_DRAINING)
	// Down does not answer, in our own judgement: it is passed over while
	// another serves, and tried when none does.
	Down = State(mapsBackendStateBACKEND_DOWN)
	// Ended had its time to drain: nobody uses it, and the connections that are
	// left are to be ended.
	Ended = State(mapsBackendStateBACKEND_ENDED)
)

// Kind is which of its node's two health bits, in its family, a backend depends on.
type Kind uint8

// The kinds.
const (
	Pod  = Kind(mapsBackendKindBACKEND_POD)  // an address of the node's pods
	Host = Kind(mapsBackendKindBACKEND_NODE) // an address of the node itself
)

// Backend is one endpoint of one service.
type Backend struct {
	// Service is the number of the only service that may use it: a program that
	// comes from another service's table passes it over.
	Service uint32
	Address netip.AddrPort
	// Protocol is the IANA number.
	Protocol uint8
	State    State
	Kind     Kind
	// Cluster and Node are indices of the health arrays; a node 0 is unknown,
	// and is never set down.
	Cluster uint16
	Node    uint32
	// Zone is a number of the caller's.
	Zone uint32
	// Failures and Resets count connections in a row that failed to open, and that
	// were reset before a byte came. The programs count them, for services with
	// Outliers; what is given to Write is not looked at.
	Failures, Resets uint32
	// Generation tells apart what had the same number one after the other. Write
	// counts it up; what is given to Write is not looked at.
	Generation uint32
}

// Backends is the array of backends, in memory that the programs read. Numbers
// are 1 to Len-1; one out of range panics, as an index does.
type Backends struct{ mem memory }

const backendWords = uint32(unsafe.Sizeof(mapsBackend{}) / 8)

// Len returns how many there is room for; number 0 is never used.
func (b *Backends) Len() uint32 { return uint32(len(b.mem.words)) / backendWords }

// Read returns backend n as it is now.
func (b *Backends) Read(n uint32) Backend {
	var c mapsBackend
	raw := (*[backendWords]uint64)(unsafe.Pointer(&c))
	for i := range raw {
		raw[i] = b.mem.load(n*backendWords + uint32(i))
	}
	return Backend{
		Service:    c.Service,
		Address:    netip.AddrPortFrom(addr(c.Address.Word), networkOrder(c.Port)),
		Protocol:   c.Protocol,
		State:      State(c.Head >> 32),
		Kind:       Kind(c.Head >> 40),
		Cluster:    uint16(c.Head >> 48),
		Node:       c.Node,
		Zone:       c.Zone,
		Failures:   c.Failures,
		Resets:     c.Resets,
		Generation: uint32(c.Head),
	}
}

// Of returns the backend of a socket, false if it is nobody's any more or the
// number another's.
func (b *Backends) Of(s Socket) (Backend, bool) {
	if s.Number == 0 || s.Number >= b.Len() {
		return Backend{}, false
	}
	be := b.Read(s.Number)
	// A socket of maps before these has a number of those, which may be another's
	// here: but not with the same address.
	return be, be.Generation == s.Generation && be.Address == s.Backend && be.State != Free
}

// Write stores a backend under number n, which was never used or has been free
// for a grace period, and returns its generation. The head is stored last:
// until then the number is free.
func (b *Backends) Write(n uint32, be Backend) (generation uint32) {
	at := n * backendWords
	generation = uint32(b.mem.load(at)) + 1
	c := mapsBackend{
		Head:     head(generation, be.State, be.Kind, be.Cluster),
		Service:  be.Service,
		Node:     be.Node,
		Port:     networkOrder(be.Address.Port()),
		Protocol: be.Protocol,
		Zone:     be.Zone,
	}
	c.Address.Word = words(be.Address.Addr())
	raw := (*[backendWords]uint64)(unsafe.Pointer(&c))
	for i := backendWords; i > 0; i-- {
		b.mem.store(at+i-1, raw[i-1])
	}
	return generation
}

// SetState changes the state of backend n alone, at once. Free takes the number
// out of use: no reference to it is followed any more, and after a grace period
// it may be written again. Free only what a grace period ago no table led to;
// a program that still had the old table would find nobody.
func (b *Backends) SetState(n uint32, s State) {
	at := n * backendWords
	h := b.mem.load(at)
	b.mem.store(at, h&^(0xff<<32)|uint64(s)<<32)
}

// Forgive forgets the failures of backend n.
func (b *Backends) Forgive(n uint32) {
	b.mem.store(n*backendWords+backendRuns, 0)
}

// backendRuns is the word of a backend that holds both its runs of failures.
const backendRuns = uint32(unsafe.Offsetof(mapsBackend{}.Failures) / 8)

func head(generation uint32, s State, k Kind, cluster uint16) uint64 {
	return uint64(generation) | uint64(s)<<32 | uint64(k)<<40 | uint64(cluster)<<48
}
