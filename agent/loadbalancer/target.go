package loadbalancer

import (
	"fmt"
	"net/netip"
	"time"

	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/clustermesh"
)

// Target is the datapath's maps as this package reads and writes them. Arrays
// are memory and cannot fail; the hash of frontends and the grace period are
// calls into the kernel and can.
type Target interface {
	// Limits returns the number of entries of each map. It does not change.
	Limits() Limits

	// EachFrontend calls yield for every entry of the hash.
	EachFrontend(yield func(f Frontend, service uint32)) error
	// PutFrontend leads f to a service, at once, whatever it led to before. An
	// error means that nothing changed. The caller lets a grace period pass
	// between what frees memory of the hash (taking a frontend out, leading it
	// elsewhere) and adding another. One that is full says so by a fullError.
	PutFrontend(f Frontend, service uint32) error
	// DeleteFrontend takes f out; one that is not there is no error.
	DeleteFrontend(f Frontend) error

	// EachRange calls yield for every range of services, PutRange adds one and
	// DeleteRange removes it; one that is not there is no error. A map that is full
	// says so by a fullError.
	EachRange(yield func(r Range)) error
	PutRange(r Range) error
	DeleteRange(r Range) error

	// Service returns the entry of a service, PutService writes it: each table
	// in one word that readers load once.
	Service(number uint32) Service
	PutService(number uint32, s Service)
	// Slots returns the slots of an extent, which are backend numbers; PutSlots
	// writes them from an offset on, where no program reads. ReplaceSlots does so
	// where programs do: they see the old or the new number of each slot.
	Slots(at Extent) []uint32
	PutSlots(offset uint32, table []uint32)
	ReplaceSlots(offset uint32, table []uint32)

	// Backend returns the entry of a backend.
	Backend(number uint32) Backend
	// Usable reports whether the entry is in use, with whatever standing.
	Usable(number uint32) bool
	// PutBackend writes an entry that no table names, and makes it active as
	// its last step, under a generation that it did not have before.
	PutBackend(number uint32, b Backend)
	// SetStanding says whether an entry that is in use takes new connections.
	SetStanding(number uint32, s Standing)
	// DropBackend makes an entry unusable for those who still know it.
	DropBackend(number uint32)

	// Forgive forgets the failures that are counted of an entry.
	Forgive(number uint32)

	// SetClusterHealth and SetNodeHealth store a verdict.
	SetClusterHealth(cluster uint16, h Health)
	SetNodeHealth(node uint32, h Health)
	// ClusterHealth and NodeHealth return what is stored.
	ClusterHealth(cluster uint16) Health
	NodeHealth(node uint32) Health

	// Grace returns when every program that ran when it was called has ended.
	// It may be called from any goroutine.
	Grace() error
}

// Limits are numbers of entries; of all but Slots, Frontends and Ranges the unused entry
// zero is one.
type Limits struct{ Services, Slots, Backends, Nodes, Frontends, Ranges uint32 }

// Range is from where clients may come to a service that is guarded.
type Range bpf.Range

// Guard says whom a service keeps out: packets that are not from its ranges, sockets of
// the node and of its pods.
type Guard bpf.Guard

// Frontend is what a client dials.
type Frontend struct {
	Address  netip.AddrPort
	Protocol clustermesh.Protocol
	// Scope is who finds it.
	Scope Scope
}

// Scope is who finds a frontend.
type Scope uint8

// The scopes.
const (
	// Sockets are those of this node.
	Sockets = Scope(bpf.ScopeSocket)
	// Outside are packets from outside.
	Outside = Scope(bpf.ScopePacket)
	// Nodes are packets from outside that another node of the cluster sent here, for who
	// is on this node.
	Nodes = Scope(bpf.ScopeTunnel)
)

// String returns address:port/protocol, and the clients when they are not sockets.
func (f Frontend) String() string {
	switch f.Scope {
	case Outside:
		return fmt.Sprintf("%v/%v from outside", f.Address, f.Protocol)
	case Nodes:
		return fmt.Sprintf("%v/%v from other nodes", f.Address, f.Protocol)
	}
	return fmt.Sprintf("%v/%v", f.Address, f.Protocol)
}

// Extent is a run of slots that holds one table. One of no slots is no table,
// and is always the zero Extent.
type Extent struct{ Offset, Size uint32 }

func (e Extent) end() uint32 { return e.Offset + e.Size }

// over reports whether a table at e lies over the beginning of one at o.
func (e Extent) over(o Extent) bool { return e.Size > 0 && o.Size > 0 && e.Offset == o.Offset }

// Tier is one of a service's two tables.
type Tier int

// The tiers. A reader turns to Backup when Primary gives it no live backend.
const (
	Primary Tier = iota
	Backup
	tiers
)

// Service is an entry of the map of services.
type Service struct {
	Tables [tiers]Extent
	// Affinity is for how long a client stays on its backend; zero is off.
	Affinity time.Duration
	// Outliers: failures of its backends are counted.
	Outliers bool
	// Drops: packets from outside that it has no backend for are dropped, and not
	// refused.
	Drops bool
	Guard Guard
	// Owner is a digest of whose entry this is, which programs do not read: by
	// it a restarted process knows its own again. Zero is nobody's.
	Owner uint64
}

// Backend is an entry of the map of backends. It belongs to one service, and
// programs that come to it by another pass it over.
type Backend struct {
	// Standing is not looked at by PutBackend.
	Standing Standing
	Address  netip.AddrPort
	Protocol clustermesh.Protocol
	Cluster  uint16
	Node     uint32
	// OnNode: the address is one of the node itself, not of its pods.
	OnNode  bool
	Service uint32
}

// Standing is what a backend in use is good for.
type Standing uint8

// The standings.
const (
	// Active takes new connections.
	Active = Standing(bpf.Active)
	// Draining keeps its connections, and the datagrams of sockets that have it.
	Draining = Standing(bpf.Draining)
	// Silent keeps its connections; it does not answer, says its cluster, so that
	// datagrams go to another.
	Silent = Standing(bpf.Down)
	// Ended had its time to drain: its connections are ended (agent/disconnect).
	Ended = Standing(bpf.Ended)
)

// Health is what is stored of a cluster or a node: the bits of what is down.
type Health uint8

// The bits of a verdict, of both families: NodeDown & V6 is about IPv6 alone. Zero is
// "not known to be down".
const (
	V4 = Health(bpf.V4)
	V6 = Health(bpf.V6)

	ClusterDown = Health(bpf.ClusterDown)
	// NodeDown is about backends at the node's own addresses, PodsDown about
	// those at its pods'.
	NodeDown = Health(bpf.NodeDown)
	PodsDown = Health(bpf.PodsDown)

	// ThisNode is no verdict, but stored beside them: the number is this node's.
	ThisNode = Health(bpf.ThisNode)

	// Everything is all that a verdict may speak of.
	Everything = ClusterDown | NodeDown | PodsDown
)
