package session

import (
	"encoding/binary"
	"slices"
)

// packer puts prefixes with equal attributes into common UPDATEs: GoBGP sends
// one for each IPv6 prefix, and after its start for each IPv4 prefix too.
//
// It holds back no longer than more messages are there already, and it changes
// the order of different prefixes only: a prefix that comes twice sends what
// was held back first, and so does a message that is not packed, such as the
// end of a family's routes.
type packer struct {
	// groups are in the order of their first prefix.
	groups []*group
	byKey  map[string]*group
	// held has the prefixes in groups, each with its family.
	held map[string]struct{}
}

// maxHeld bounds what is held back while messages keep coming.
const maxHeld = 4096

// group is an UPDATE that is being filled.
type group struct {
	key string
	// attrs are all of the message's attributes; at is the index of the one that
	// the prefixes belong to, or -1 if they have a field of their own.
	attrs []attribute
	at    int
	// withdrawn says that the prefixes of the field are withdrawn.
	withdrawn bool
	nlri      []byte
	// room is how many bytes of prefixes the message can take.
	room int
}

// bulk is an UPDATE about prefixes of one family, all withdrawn or all with the
// same attributes.
type bulk struct {
	group
	family Family
}

// add takes a message and returns those that go out now.
func (p *packer) add(m message) []message {
	b, ok := unpack(m)
	if !ok {
		return append(p.flush(), clone(m))
	}
	var out []message
	for nlri := b.nlri; len(nlri) > 0; {
		one := nlri[:1+(int(nlri[0])+7)/8]
		nlri = nlri[len(one):]
		name := string(byte(b.family.AFI)) + string(one)
		if _, twice := p.held[name]; twice || len(p.held) >= maxHeld {
			out = append(out, p.flush()...)
		}
		out = append(out, p.put(&b.group, one)...)
		p.held[name] = struct{}{}
	}
	return out
}

// put adds a prefix to its group, and returns the group's message if it was full.
func (p *packer) put(like *group, prefix []byte) []message {
	if p.held == nil {
		p.held, p.byKey = map[string]struct{}{}, map[string]*group{}
	}
	var out []message
	g := p.byKey[like.key]
	if g != nil && len(g.nlri)+len(prefix) > g.room {
		out = append(out, g.message())
		g.nlri = nil // its prefixes count as held until the next flush
	}
	if g == nil {
		fresh := *like
		fresh.nlri = nil
		g = &fresh
		p.groups, p.byKey[g.key] = append(p.groups, g), g
	}
	g.nlri = append(g.nlri, prefix...)
	return out
}

// flush returns everything that is held back.
func (p *packer) flush() []message {
	var out []message
	for _, g := range p.groups {
		out = append(out, g.message())
	}
	*p = packer{}
	return out
}

func (g *group) message() message {
	switch {
	case g.at >= 0:
		attrs := slices.Clone(g.attrs)
		attrs[g.at].value = append(clone(attrs[g.at].value), g.nlri...)
		return updateMessage(nil, attrs, nil)
	case g.withdrawn:
		return updateMessage(g.nlri, nil, nil)
	}
	return updateMessage(nil, g.attrs, g.nlri)
}

// unpack takes an UPDATE apart; ok is false if it is of another kind than those
// that are packed.
func unpack(m message) (b bulk, ok bool) {
	if m.kind() != typeUpdate {
		return bulk{}, false
	}
	body := m.body()
	n := int(binary.BigEndian.Uint16(body))
	if len(body) < 4+n {
		return bulk{}, false
	}
	withdrawn, rest := body[2:2+n], body[2+n:]
	n = int(binary.BigEndian.Uint16(rest))
	if len(rest) < 2+n {
		return bulk{}, false
	}
	attrs, tail := attributes(clone(rest[2 : 2+n]))
	nlri := rest[2+n:]
	if len(tail) > 0 {
		return bulk{}, false
	}
	b = bulk{group: group{attrs: attrs, at: -1}, family: IPv4Unicast}
	switch at := slices.IndexFunc(attrs, carries); {
	case len(withdrawn) > 0 && len(attrs) == 0 && len(nlri) == 0:
		b.withdrawn, b.nlri = true, withdrawn
	case len(withdrawn) == 0 && len(nlri) > 0 && at < 0:
		b.nlri = nlri
	case len(withdrawn) == 0 && len(nlri) == 0 && at >= 0 && !slices.ContainsFunc(attrs[at+1:], carries):
		if !b.cut(at) {
			return bulk{}, false
		}
	default:
		return bulk{}, false
	}
	return b, len(b.nlri) > 0 && prefixes(b.nlri, b.family, false) && b.measure()
}

// carries says whether an attribute holds prefixes.
func carries(a attribute) bool { return a.code == attrReach || a.code == attrUnreach }

// cut separates the prefixes from the attribute that carries them.
func (b *bulk) cut(at int) bool {
	a := &b.attrs[at]
	parse := parseReach
	if a.code == attrUnreach {
		parse = parseUnreach
	}
	r, ok := parse(a.value)
	if !ok || r.family != IPv4Unicast && r.family != IPv6Unicast {
		return false
	}
	b.at, b.family, b.nlri = at, r.family, r.nlri
	a.value = slices.Clip(a.value[:len(a.value)-len(r.nlri)])
	return true
}

// measure works out key and room; false if there is no room for the prefixes.
func (b *bulk) measure() bool {
	size := headerLen + 4
	key := []byte{0}
	if b.withdrawn {
		key[0] = 1
	}
	for _, a := range b.attrs {
		key = a.appendTo(key)
		size += 4 + len(a.value) // the longer header, which the one with the prefixes may need
	}
	b.key = string(key)
	b.room = maxMessage - size
	return len(b.nlri) <= b.room
}
