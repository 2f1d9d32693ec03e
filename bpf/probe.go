package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"
	"unsafe"
)

// DefaultProbePort is the UDP port to which probes are sent. It is registered
// for nothing, and stands beside that of gossip, 7946.
const DefaultProbePort = 7947

// ProbeKind is what an address is on the node that a probe asks.
type ProbeKind uint8

// The kinds.
const (
	// ProbeNode is an address of the node itself.
	ProbeNode = ProbeKind(responderProbeKindPROBE_NODE)
	// ProbePods is an address of the prefixes of its pods, whether a pod has it
	// or not.
	ProbePods = ProbeKind(responderProbeKindPROBE_PODS)
)

// String returns the kind in a word.
func (k ProbeKind) String() string {
	switch k {
	case ProbeNode:
		return "node"
	case ProbePods:
		return "pods"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// BootID is a kernel's own: another one is another start of the machine.
type BootID [16]byte

// ThisBoot returns the running kernel's.
func ThisBoot() (BootID, error) {
	const path = "/proc/sys/kernel/random/boot_id"
	text, err := os.ReadFile(path)
	if err != nil {
		return BootID{}, fmt.Errorf("reading the kernel's boot id: %w", err)
	}
	b, err := ParseBootID(strings.TrimSpace(string(text)))
	if err != nil {
		return BootID{}, fmt.Errorf("reading %s: %w", path, err)
	}
	return b, nil
}

// ParseBootID reads a boot id as String writes it.
func ParseBootID(s string) (b BootID, err error) {
	var p [5]uint64
	n, err := fmt.Sscanf(s, "%08x-%04x-%04x-%04x-%012x", &p[0], &p[1], &p[2], &p[3], &p[4])
	if err != nil || n != len(p) {
		return b, fmt.Errorf("%q is not a boot id", s)
	}
	binary.BigEndian.PutUint32(b[0:], uint32(p[0]))
	binary.BigEndian.PutUint16(b[4:], uint16(p[1]))
	binary.BigEndian.PutUint16(b[6:], uint16(p[2]))
	binary.BigEndian.PutUint64(b[8:], p[3]<<48|p[4])
	if b.String() != s {
		return BootID{}, fmt.Errorf("%q is not a boot id", s)
	}
	return b, nil
}

// String returns the boot id as the kernel writes it.
func (b BootID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// Probe is a probe on the wire: a request, or the reply to one.
type Probe struct {
	Reply bool
	Kind  ProbeKind
	// Nonce is the asker's own, which the reply repeats: who does not see the
	// request cannot answer it.
	Nonce uint64

	// What follows is zero in a request. Target is the address that was asked,
	// as the one who answers saw it.
	Target netip.Addr
	// BootID is the node's. A request may name it to be answered although its
	// source is no node's address.
	BootID BootID
	// Epoch is the endpoint epoch of the node.
	Epoch uint64
}

// ProbeSize is how many bytes a probe has, request or reply.
const ProbeSize = int(unsafe.Sizeof(responderProbe{}))

const (
	probeMagic   = 0x746d626f
	probeVersion = 1
)

// Seen is what follows a probe that has room for it, filled in by the one who
// answers. One of an earlier version leaves it as it was.
type Seen struct {
	// Source is the address from which the request came, invalid when the reply
	// does not say. Another than it was sent from is the work of a NAT.
	Source netip.Addr
	// Time is what the clock of the node showed; zero when it does not know.
	Time time.Time
}

// SeenSize is how many bytes must follow a request for the reply to have a Seen.
const SeenSize = int(unsafe.Sizeof(responderProbeSeen{}))

// ParseSeen reads what follows a probe in a datagram. Without it, or from one who
// does not fill it in, it is the zero value.
func ParseSeen(datagram []byte) (s Seen) {
	var c responderProbeSeen
	if len(datagram) < ProbeSize+SeenSize {
		return s
	}
	copy((*[SeenSize]byte)(unsafe.Pointer(&c))[:], datagram[ProbeSize:])
	if c.Source.Word != [4]uint32{} {
		s.Source = addr(c.Source.Word)
	}
	if ns := bigEndian64(c.Time); ns != 0 {
		s.Time = time.Unix(0, int64(ns))
	}
	return s
}

// ErrNoProbe is returned by ParseProbe for bytes that are not a probe of this
// version.
var ErrNoProbe = errors.New("not a probe")

// Append appends the probe's bytes.
func (p Probe) Append(b []byte) []byte {
	c := responderProbe{
		Magic:   bigEndian32(probeMagic),
		Version: probeVersion,
		Type:    uint8(responderProbeTypePROBE_REQUEST),
		Kind:    uint8(p.Kind),
		Nonce:   bigEndian64(p.Nonce),
		BootId:  p.BootID,
		Epoch:   bigEndian64(p.Epoch),
	}
	if p.Reply {
		c.Type = uint8(responderProbeTypePROBE_REPLY)
	}
	if p.Target.IsValid() {
		c.Target.Word = words(p.Target)
	}
	return append(b, (*[ProbeSize]byte)(unsafe.Pointer(&c))[:]...)
}

// ParseProbe reads what Append wrote; bytes that follow are passed over.
func ParseProbe(b []byte) (Probe, error) {
	var c responderProbe
	if copy((*[ProbeSize]byte)(unsafe.Pointer(&c))[:], b) < ProbeSize {
		return Probe{}, fmt.Errorf("%w: %d bytes", ErrNoProbe, len(b))
	}
	if c.Magic != bigEndian32(probeMagic) || c.Version != probeVersion || c.Reserved != 0 {
		return Probe{}, ErrNoProbe
	}
	p := Probe{
		Kind:   ProbeKind(c.Kind),
		Nonce:  bigEndian64(c.Nonce),
		BootID: c.BootId,
		Epoch:  bigEndian64(c.Epoch),
	}
	switch responderProbeType(c.Type) {
	case responderProbeTypePROBE_REQUEST:
	case responderProbeTypePROBE_REPLY:
		p.Reply = true
	default:
		return Probe{}, fmt.Errorf("%w: of type %d", ErrNoProbe, c.Type)
	}
	if p.Kind != ProbeNode && p.Kind != ProbePods {
		return Probe{}, fmt.Errorf("%w: of %v", ErrNoProbe, p.Kind)
	}
	if c.Target.Word != [4]uint32{} {
		p.Target = addr(c.Target.Word)
	}
	return p, nil
}

// bigEndian32 and bigEndian64 swap bytes where the machine's order is another
// than the network's; each is its own reverse.
func bigEndian32(v uint32) uint32 {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], v)
	return binary.NativeEndian.Uint32(b[:])
}

func bigEndian64(v uint64) uint64 {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], v)
	return binary.NativeEndian.Uint64(b[:])
}
