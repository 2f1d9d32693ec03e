package session

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Capabilities (RFC 5492) that are passed on or looked at.
const (
	capMultiprotocol   = 1
	capRouteRefresh    = 2
	capExtendedNextHop = 5
	capRestart         = 64
	capFourOctetAS     = 65
	capAddPath         = 69
	capLongLived       = 71
	capHostname        = 73
)

// asTrans stands for an AS number that two octets cannot hold (RFC 6793).
const asTrans = 23456

// Family is an address family of BGP.
type Family struct {
	AFI  uint16
	SAFI uint8
}

// The families that are forwarded.
var (
	IPv4Unicast = Family{1, 1}
	IPv6Unicast = Family{2, 1}
)

// String returns the family's usual name.
func (f Family) String() string {
	switch f {
	case IPv4Unicast:
		return "ipv4-unicast"
	case IPv6Unicast:
		return "ipv6-unicast"
	}
	return fmt.Sprintf("afi %d safi %d", f.AFI, f.SAFI)
}

// Open is what an OPEN says.
type Open struct {
	ASN      uint32
	ID       netip.Addr
	HoldTime time.Duration
	// Families are those offered; IPv4 unicast if none is named (RFC 4760 8).
	Families []Family
	// Restart is nil without the capability of graceful restart.
	Restart *Restart
	// FourOctetAS is set if AS numbers in attributes have four octets.
	FourOctetAS bool
	// AddPath holds, per family, the bits of RFC 7911: 1 receives, 2 sends.
	AddPath map[Family]uint8
	// Hostname is what the router calls itself, or empty.
	Hostname string

	version byte
	caps    []capability
}

// Restart is the capability of graceful restart (RFC 4724).
type Restart struct {
	// Restarted is the R bit.
	Restarted bool
	Time      time.Duration
	// Forwarding says of each family whether its F bit is set.
	Forwarding map[Family]bool
}

type capability struct {
	code  byte
	value []byte
}

// ParseOpen takes an OPEN apart. The error is a *Notification.
func ParseOpen(m message) (Open, error) {
	b := m.body()
	o := Open{
		version:  b[0],
		ASN:      uint32(binary.BigEndian.Uint16(b[1:])),
		HoldTime: time.Duration(binary.BigEndian.Uint16(b[3:])) * time.Second,
		ID:       netip.AddrFrom4([4]byte(b[5:9])),
		AddPath:  map[Family]uint8{},
	}
	params, wide, ok := parameters(b[9:])
	for ok && len(params) > 0 {
		var kind byte
		var value []byte
		if kind, value, params, ok = parameter(params, wide); !ok {
			break
		}
		if kind != 2 {
			return Open{}, &Notification{Code: codeOpen, Subcode: 4}
		}
		ok = o.takeAll(value)
	}
	if !ok {
		return Open{}, &Notification{Code: codeOpen}
	}
	if len(o.Families) == 0 {
		o.Families = []Family{IPv4Unicast}
	}
	return o, nil
}

// parameters returns the optional parameters, and whether their lengths have two
// bytes (RFC 9072).
func parameters(b []byte) (params []byte, wide, ok bool) {
	if len(b) >= 4 && b[0] == 255 && b[1] == 255 {
		return b[4:], true, int(binary.BigEndian.Uint16(b[2:])) == len(b)-4
	}
	return b[1:], false, int(b[0]) == len(b)-1
}

// parameter splits the first parameter off.
func parameter(b []byte, wide bool) (kind byte, value, rest []byte, ok bool) {
	head := 2
	if wide {
		head = 3
	}
	if len(b) < head {
		return 0, nil, nil, false
	}
	n := int(b[head-1])
	if wide {
		n |= int(b[1]) << 8
	}
	if len(b) < head+n {
		return 0, nil, nil, false
	}
	return b[0], b[head : head+n], b[head+n:], true
}

// takeAll reads the capabilities of one parameter; false if they are malformed.
func (o *Open) takeAll(b []byte) bool {
	for len(b) > 0 {
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			return false
		}
		c := capability{b[0], clone(b[2 : 2+int(b[1])])}
		if !o.take(c) {
			return false
		}
		o.caps = append(o.caps, c)
		b = b[2+int(b[1]):]
	}
	return true
}

func (o *Open) take(c capability) bool {
	v := c.value
	switch c.code {
	case capMultiprotocol:
		if len(v) != 4 {
			return false
		}
		o.Families = append(o.Families, Family{binary.BigEndian.Uint16(v), v[3]})
	case capRouteRefresh:
		return len(v) == 0
	case capExtendedNextHop:
		return len(v)%6 == 0
	case capRestart:
		return o.takeRestart(v)
	case capFourOctetAS:
		if len(v) != 4 {
			return false
		}
		o.FourOctetAS, o.ASN = true, binary.BigEndian.Uint32(v)
	case capAddPath:
		for t := range slices.Chunk(v, 4) {
			if len(t) != 4 {
				return false
			}
			o.AddPath[Family{binary.BigEndian.Uint16(t), t[2]}] = t[3] & 3
		}
	case capLongLived:
		return len(v)%7 == 0
	case capHostname:
		if len(v) > 0 && int(v[0]) < len(v) {
			o.Hostname = printable(v[1 : 1+int(v[0])])
		}
	}
	return true
}

func (o *Open) takeRestart(v []byte) bool {
	if len(v) < 2 || (len(v)-2)%4 != 0 {
		return false
	}
	o.Restart = &Restart{
		Restarted:  v[0]&0x80 != 0,
		Time:       time.Duration(binary.BigEndian.Uint16(v)&0xfff) * time.Second,
		Forwarding: map[Family]bool{},
	}
	for t := range slices.Chunk(v[2:], 4) {
		o.Restart.Forwarding[Family{binary.BigEndian.Uint16(t), t[2]}] = t[3]&0x80 != 0
	}
	return true
}

// admit says whether a session with the router that sent o may come about: nil,
// or what it is told (RFC 4271 6.2) and the words for our operators.
func admit(c Config, local, o Open) (*Notification, string) {
	switch {
	case o.version != 4:
		return &Notification{codeOpen, 1, []byte{0, 4}}, fmt.Sprintf("peer speaks version %d of BGP", o.version)
	case o.ASN != c.ASN:
		return &Notification{Code: codeOpen, Subcode: 2},
			fmt.Sprintf("peer says its AS is %d, we expect %d", o.ASN, c.ASN)
	case o.ID.IsUnspecified():
		return &Notification{Code: codeOpen, Subcode: 3}, "peer has the BGP identifier 0.0.0.0"
	case o.ASN == local.ASN && o.ID == local.ID:
		return &Notification{Code: codeOpen, Subcode: 3}, fmt.Sprintf("peer has our own BGP identifier %s", o.ID)
	case o.HoldTime == 0:
		return &Notification{Code: codeOpen, Subcode: 6},
			"peer offers hold time 0: its session would never expire; set 3 s or more there"
	case o.HoldTime < 3*time.Second:
		return &Notification{Code: codeOpen, Subcode: 6}, fmt.Sprintf("peer offers hold time %v, less than 3 s", o.HoldTime)
	}
	return nil, ""
}

// passed are the capabilities that GoBGP gets to see; it knows others too, and
// what it does not see it cannot stumble over.
var passed = []byte{capMultiprotocol, capRouteRefresh, capExtendedNextHop, capRestart, capFourOctetAS, capAddPath, capLongLived}

// forGoBGP writes the router's OPEN anew, with the capabilities that are
// passed, each in its own place and at most 255 bytes of them.
func (o Open) forGoBGP() message {
	var caps []byte
	for _, c := range o.caps {
		if !slices.Contains(passed, c.code) || len(caps)+2+len(c.value) > 253 {
			continue
		}
		if c.code == capMultiprotocol && c.value[3] != 1 {
			continue
		}
		caps = append(append(caps, c.code, byte(len(c.value))), c.value...)
	}
	as := o.ASN
	if as > 0xffff {
		as = asTrans
	}
	b := []byte{4}
	b = binary.BigEndian.AppendUint16(b, uint16(as))
	b = binary.BigEndian.AppendUint16(b, uint16(o.HoldTime/time.Second))
	b = append(b, o.ID.AsSlice()...)
	if len(caps) == 0 {
		return build(typeOpen, append(b, 0))
	}
	return build(typeOpen, append(b, byte(len(caps)+2), 2, byte(len(caps))), caps)
}

// forwarding sets the F bit of every family in an OPEN of ours (RFC 4724 3): the
// data path keeps forwarding whatever ended the last session. ParseOpen has
// found the message right.
func forwarding(m message) message {
	m = clone(m)
	params, wide, _ := parameters(m.body()[9:])
	for len(params) > 0 {
		var caps []byte
		for _, caps, params, _ = parameter(params, wide); len(caps) > 0; caps = caps[2+int(caps[1]):] {
			if caps[0] != capRestart {
				continue
			}
			for i := 4 + 3; i < 2+int(caps[1]); i += 4 {
				caps[i] |= 0x80
			}
		}
	}
	return m
}

// terms are what two OPENs agree upon; they decide how an UPDATE is read.
type terms struct {
	// families that both offer, and whether the router's prefixes of one carry
	// a path identifier (RFC 7911).
	families map[Family]bool
	// sendsIDs says that prefixes of ours carry one.
	sendsIDs bool
	fourAS   bool
	external bool
	holdTime time.Duration
}

func agree(local, router Open) terms {
	t := terms{
		families: map[Family]bool{},
		fourAS:   local.FourOctetAS && router.FourOctetAS,
		external: local.ASN != router.ASN,
		holdTime: min(local.HoldTime, router.HoldTime),
	}
	for _, f := range local.Families {
		if slices.Contains(router.Families, f) {
			t.families[f] = local.AddPath[f]&1 != 0 && router.AddPath[f]&2 != 0
			t.sendsIDs = t.sendsIDs || local.AddPath[f]&2 != 0 && router.AddPath[f]&1 != 0
		}
	}
	return t
}
