package session

import (
	"encoding/binary"
	"net/netip"
)

// The path attributes that are passed on.
const (
	attrOrigin      = 1
	attrASPath      = 2
	attrNextHop     = 3
	attrMED         = 4
	attrLocalPref   = 5
	attrAtomic      = 6
	attrAggregator  = 7
	attrCommunities = 8
	attrOriginator  = 9
	attrClusterList = 10
	attrReach       = 14
	attrUnreach     = 15
	attrLarge       = 32
)

// Flags of an attribute (RFC 4271 4.3).
const (
	flagOptional   = 0x80
	flagTransitive = 0x40
	flagPartial    = 0x20
	flagExtended   = 0x10
)

// fault is what is wrong with an attribute, by what RFC 7606 does about it; the
// greater is the worse.
type fault int

const (
	fine     fault = iota
	discard        // the attribute alone is dropped
	withdraw       // the message withdraws its prefixes
)

// attribute is one path attribute as it came.
type attribute struct {
	flags, code byte
	value       []byte
}

// rule is how an attribute is read.
type rule struct {
	// flags is what the optional and transitive bits must be.
	flags byte
	// internal attributes mean something between routers of one AS only.
	internal bool
	check    func(v []byte, t terms) fault
}

// rules has the attributes that are passed on (RFC 7606 7). Others that are
// optional are dropped: this session's routes go no further than this node,
// and what GoBGP does not see it cannot stumble over. That includes AS4_PATH,
// with which a router of two-octet AS numbers would tell the true path.
var rules = map[byte]rule{
	attrOrigin:      {flagTransitive, false, origin},
	attrASPath:      {flagTransitive, false, nil}, // see asPath: it is rewritten
	attrNextHop:     {flagTransitive, false, nextHop},
	attrMED:         {flagOptional, false, exactly(4, withdraw)},
	attrLocalPref:   {flagTransitive, true, exactly(4, withdraw)},
	attrAtomic:      {flagTransitive, false, exactly(0, discard)},
	attrAggregator:  {flagOptional | flagTransitive, false, aggregator},
	attrCommunities: {flagOptional | flagTransitive, false, multiple(4)},
	attrOriginator:  {flagOptional, true, exactly(4, withdraw)},
	attrClusterList: {flagOptional, true, multiple(4)},
	attrLarge:       {flagOptional | flagTransitive, false, multiple(12)},
}

// attributes splits the path attributes of an UPDATE. rest is not empty if the
// last one, which it begins with, is longer than what is left.
func attributes(b []byte) (all []attribute, rest []byte) {
	for len(b) > 0 {
		head := 3
		if b[0]&flagExtended != 0 {
			head = 4
		}
		if len(b) < head {
			return all, b
		}
		n := int(b[2])
		if head == 4 {
			n = int(binary.BigEndian.Uint16(b[2:]))
		}
		if len(b) < head+n {
			return all, b
		}
		all = append(all, attribute{b[0], b[1], b[head : head+n]})
		b = b[head+n:]
	}
	return all, nil
}

// appendTo writes the attribute.
func (a attribute) appendTo(b []byte) []byte {
	flags := a.flags &^ (flagExtended | 0x0f)
	if len(a.value) > 255 {
		b = append(b, flags|flagExtended, a.code)
		b = binary.BigEndian.AppendUint16(b, uint16(len(a.value)))
	} else {
		b = append(b, flags, a.code, byte(len(a.value)))
	}
	return append(b, a.value...)
}

// examine says what is wrong with an attribute that has a rule, and returns it
// as it is passed on.
func (t terms) examine(a attribute) (attribute, fault) {
	r := rules[a.code]
	kind := a.flags & (flagOptional | flagTransitive)
	if kind != r.flags || a.flags&flagPartial != 0 && kind != flagOptional|flagTransitive {
		return a, withdraw
	}
	if r.internal && t.external {
		return a, discard
	}
	if a.code == attrASPath {
		path, f := t.asPath(a.value)
		return attribute{a.flags, a.code, path}, f
	}
	return a, r.check(a.value, t)
}

func exactly(n int, otherwise fault) func([]byte, terms) fault {
	return func(v []byte, _ terms) fault {
		if len(v) != n {
			return otherwise
		}
		return fine
	}
}

func multiple(n int) func([]byte, terms) fault {
	return func(v []byte, _ terms) fault {
		if len(v) == 0 || len(v)%n != 0 {
			return withdraw
		}
		return fine
	}
}

func origin(v []byte, _ terms) fault {
	if len(v) != 1 || v[0] > 2 {
		return withdraw
	}
	return fine
}

func nextHop(v []byte, _ terms) fault {
	if len(v) != 4 || v[0] == 0 || v[0] == 127 || v[0] >= 224 {
		return withdraw
	}
	return fine
}

func aggregator(v []byte, t terms) fault {
	if t.fourAS && len(v) == 8 || !t.fourAS && len(v) == 6 {
		return fine
	}
	return discard
}

// Types of segments of an AS_PATH. Those of confederations (RFC 5065) never
// leave one, and we are in none.
const (
	segmentSet      = 1
	segmentSequence = 2
)

// asPath reads an AS_PATH and returns it with AS numbers of four octets, which
// is how the library reads a path first. Another AS that sends an empty one
// forgot itself.
func (t terms) asPath(v []byte) ([]byte, fault) {
	if len(v) == 0 && t.external {
		return nil, withdraw
	}
	size := 2
	if t.fourAS {
		size = 4
	}
	out := make([]byte, 0, 2*len(v))
	for len(v) > 0 {
		if len(v) < 2 || v[0] != segmentSet && v[0] != segmentSequence || v[1] == 0 || len(v) < 2+int(v[1])*size {
			return nil, withdraw
		}
		out = append(out, v[0], v[1])
		numbers := v[2 : 2+int(v[1])*size]
		v = v[2+len(numbers):]
		for ; len(numbers) > 0; numbers = numbers[size:] {
			if size == 2 {
				out = append(out, 0, 0)
			}
			out = append(out, numbers[:size]...)
		}
	}
	return out, fine
}

// reach is an MP_REACH_NLRI or MP_UNREACH_NLRI (RFC 4760) taken apart.
type reach struct {
	family Family
	// nextHop is empty in MP_UNREACH_NLRI.
	nextHop []byte
	nlri    []byte
}

func parseReach(v []byte) (reach, bool) {
	if len(v) < 5 {
		return reach{}, false
	}
	r := reach{family: Family{binary.BigEndian.Uint16(v), v[2]}}
	n := int(v[3])
	if len(v) < 4+n+1 {
		return reach{}, false
	}
	r.nextHop, r.nlri = v[4:4+n], v[4+n+1:]
	return r, true
}

func parseUnreach(v []byte) (reach, bool) {
	if len(v) < 3 {
		return reach{}, false
	}
	return reach{family: Family{binary.BigEndian.Uint16(v), v[2]}, nlri: v[3:]}, true
}

// unreach returns the attribute that withdraws the prefixes of r.
func (r reach) unreach() attribute {
	v := binary.BigEndian.AppendUint16(nil, r.family.AFI)
	return attribute{flagOptional, attrUnreach, append(append(v, r.family.SAFI), r.nlri...)}
}

// hop says what is wrong with the next hop; ok is false if its length alone is
// wrong for the family, which leaves in doubt where the prefixes begin.
// IPv4 prefixes may have an IPv6 next hop (RFC 8950).
func (r reach) hop() (f fault, ok bool) {
	switch len(r.nextHop) {
	case 4:
		if r.family != IPv4Unicast {
			return withdraw, false
		}
		return nextHop(r.nextHop, terms{}), true
	case 16, 32:
		a := netip.AddrFrom16([16]byte(r.nextHop))
		if a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() {
			return withdraw, true
		}
		return fine, true
	}
	return withdraw, false
}

// prefixes says whether NLRI of a family are well formed (RFC 7606 5.3).
func prefixes(b []byte, f Family, pathID bool) bool {
	longest := 128
	if f.AFI == 1 {
		longest = 32
	}
	for len(b) > 0 {
		if pathID {
			if len(b) < 5 {
				return false
			}
			b = b[4:]
		}
		bits := int(b[0])
		n := 1 + (bits+7)/8
		if bits > longest || len(b) < n {
			return false
		}
		b = b[n:]
	}
	return true
}
