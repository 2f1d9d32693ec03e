package bpf

import (
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Flow is a flow of packets from outside, as the kernel remembers it.
type Flow struct {
	// Protocol is unix.IPPROTO_TCP or unix.IPPROTO_UDP.
	Protocol uint8
	// Client and Frontend are where the client's packets come from and go to.
	Client, Frontend netip.AddrPort
	// Backend is who gets them, and Source from where: the client itself, or this
	// node's address and a port of its.
	Backend, Source netip.AddrPort
	// Local: the backend is on this node. Tunnelled: its packets go to the backend's node
	// as they came, and that one leads them.
	Local, Tunnelled bool
	State            FlowState
	// Idle is how long ago its last packet was, a second or so more or less.
	Idle time.Duration

	keys   [2]packetTuple // in conntrack and in nat
	number uint32         // the backend's
}

// FlowState is how far a flow has come, in the words of the kernel's own conntrack.
type FlowState string

const (
	FlowSynSent     FlowState = "SYN_SENT"    // TCP: the backend did not answer yet
	FlowEstablished FlowState = "ESTABLISHED" // TCP
	FlowFinWait     FlowState = "FIN_WAIT"    // TCP: the client has ended its direction
	FlowCloseWait   FlowState = "CLOSE_WAIT"  // TCP: the backend has ended its own
	FlowTimeWait    FlowState = "TIME_WAIT"   // TCP: both have
	FlowClose       FlowState = "CLOSE"       // TCP: one of them sent a reset
	FlowUnreplied   FlowState = "UNREPLIED"   // UDP
	FlowAssured     FlowState = "ASSURED"     // UDP: the backend has answered
)

// FlowTable is the table of flows in use. It is safe beside the programs and beside the
// process that keeps it.
type FlowTable struct{ maps mapSet }

// flowMaps are the maps that have flows by the client's packets, and by the backend's:
// those that were answered, and those that were not.
var flowMaps = [][2]string{{packetMapConntrack, packetMapNat}, {packetMapUnanswered, packetMapUnansweredNat}}

// OpenFlows opens the table that is pinned below a bpffs. An error that is
// fs.ErrNotExist says that no packet path was ever loaded there.
func OpenFlows(bpffs string) (*FlowTable, error) {
	if err := checkBPFFS(bpffs); err != nil {
		return nil, err
	}
	t := &FlowTable{mapSet{}}
	for _, pair := range flowMaps {
		for _, name := range pair {
			m, err := ebpf.LoadPinnedMap(filepath.Join(packetsRoot(bpffs), flowLayout, name), nil)
			if err != nil {
				return nil, errors.Join(fmt.Errorf("opening the flows: map %s: %w", name, err), t.Close())
			}
			t.maps[name] = m
		}
	}
	return t, nil
}

// Close frees what OpenFlows opened.
func (t *FlowTable) Close() error { return t.maps.close() }

// Room is how many flows fit that were answered; of more, those longest unused are
// forgotten.
func (t *FlowTable) Room() uint32 { return t.maps[packetMapConntrack].MaxEntries() }

// RoomUnanswered is Room for flows that were not.
func (t *FlowTable) RoomUnanswered() uint32 { return t.maps[packetMapUnanswered].MaxEntries() }

// flowBatch is how many entries are read at once.
const flowBatch = 4096

// All returns the flows that the table has, in no order; those that come or go
// meanwhile may be there or not.
func (t *FlowTable) All() iter.Seq2[Flow, error] {
	return func(yield func(Flow, error) bool) {
		now, err := bootTime()
		if err != nil {
			yield(Flow{}, err)
			return
		}
		for _, pair := range flowMaps {
			if !t.each(pair, now, yield) {
				return
			}
		}
	}
}

// each yields the flows of a pair of maps, and returns whether to go on.
func (t *FlowTable) each(pair [2]string, now time.Duration, yield func(Flow, error) bool) bool {
	keys, values := make([]packetTuple, flowBatch), make([]packetConntrack, flowBatch)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := t.maps[pair[0]].BatchLookup(&cursor, keys, values, nil)
		end := errors.Is(err, ebpf.ErrKeyNotExist)
		if err != nil && !end {
			yield(Flow{}, fmt.Errorf("reading the flows: %w", err))
			return false
		}
		for i := range n {
			if f, ok := t.flow(pair, keys[i], values[i], now); ok && !yield(f, nil) {
				return false
			}
		}
		if end {
			return true
		}
	}
}

// bootTime is the clock of the programs.
func bootTime() (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0, fmt.Errorf("reading the clock: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}

// flow makes a flow of its entry, unless it has no other half: then it is none.
func (t *FlowTable) flow(pair [2]string, client packetTuple, c packetConntrack, now time.Duration) (Flow, bool) {
	var other packetNat
	if err := t.maps[pair[1]].Lookup(c.Reply, &other); err != nil || other.Flow != client {
		return Flow{}, false
	}
	return Flow{
		Protocol: client.Protocol,
		Client:   endpoint(client.Source, client.SourcePort), Frontend: endpoint(client.Destination, client.DestinationPort),
		Backend: endpoint(c.Reply.Source, c.Reply.SourcePort), Source: endpoint(c.Reply.Destination, c.Reply.DestinationPort),
		Local:     c.Flags&uint32(packetFlowFlagsFLOW_LOCAL) != 0,
		Tunnelled: c.Flags&uint32(packetFlowFlagsFLOW_TUNNEL) != 0,
		State:     flowState(client.Protocol, packetFlowFlags(c.Flags)),
		Idle:      max(0, now-time.Duration(c.Seen)),
		keys:      [2]packetTuple{client, c.Reply}, number: uint32(c.Reference),
	}, true
}

// find returns a flow by its client's packets.
func (t *FlowTable) find(protocol uint8, client, frontend netip.AddrPort) (Flow, bool) {
	key := packetTuple{Protocol: protocol, SourcePort: networkOrder(client.Port()), DestinationPort: networkOrder(frontend.Port())}
	key.Source.Word, key.Destination.Word = words(client.Addr()), words(frontend.Addr())
	now, err := bootTime()
	if err != nil {
		return Flow{}, false
	}
	for _, pair := range flowMaps {
		var c packetConntrack
		if t.maps[pair[0]].Lookup(key, &c) != nil {
			continue
		}
		if f, ok := t.flow(pair, key, c, now); ok {
			return f, true
		}
	}
	return Flow{}, false
}

func endpoint(a packetAddress, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(addr(a.Word), networkOrder(port))
}

func flowState(protocol uint8, f packetFlowFlags) FlowState {
	const fins = packetFlowFlagsFLOW_FIN_CLIENT | packetFlowFlagsFLOW_FIN_BACKEND
	answered := f&packetFlowFlagsFLOW_ANSWERED != 0
	switch {
	case protocol != unix.IPPROTO_TCP && answered:
		return FlowAssured
	case protocol != unix.IPPROTO_TCP:
		return FlowUnreplied
	case f&packetFlowFlagsFLOW_CUT != 0:
		return FlowClose
	case f&fins == fins:
		return FlowTimeWait
	case f&packetFlowFlagsFLOW_FIN_CLIENT != 0:
		return FlowFinWait
	case f&packetFlowFlagsFLOW_FIN_BACKEND != 0:
		return FlowCloseWait
	case answered:
		return FlowEstablished
	}
	return FlowSynSent
}

// Forget takes a flow out of the table: the next packet of a TCP connection is answered
// with a reset, the next datagram begins a flow anew. One that is gone is no error.
func (t *FlowTable) Forget(f Flow) error {
	for _, pair := range flowMaps {
		for i, name := range pair {
			if err := t.maps[name].Delete(f.keys[i]); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
				return fmt.Errorf("forgetting the flow of %v to %v: %w", f.Client, f.Frontend, err)
			}
		}
	}
	return nil
}
