package session

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

// verdict is what becomes of a message of the router's.
type verdict struct {
	// forward is what GoBGP gets in its place.
	forward []message
	// withdrawn says, if not empty, why the prefixes are withdrawn.
	withdrawn string
	// discarded counts attributes that were dropped because they were malformed.
	discarded int
	// end is set if the session cannot go on.
	end *Notification
}

// update is an UPDATE taken apart.
type update struct {
	withdrawn, nlri []byte
	attrs           []attribute
	reach, unreach  *reach
	verdict         fault
	why             string
	discarded       int
}

// check says what GoBGP may see of a message that came after the OPEN. The
// connection's own messages, OPEN and NOTIFICATION, are the caller's.
func (t terms) check(m message) verdict {
	switch m.kind() {
	case typeUpdate:
		return t.checkUpdate(m)
	case typeRouteRefresh:
		b := m.body()
		f := Family{binary.BigEndian.Uint16(b), b[3]}
		if _, ok := t.families[f]; !ok || b[2] != 0 { // RFC 2918 4, RFC 7313 5
			return verdict{forward: []message{keepalive()}}
		}
	}
	return verdict{forward: []message{m}}
}

func (t terms) checkUpdate(m message) verdict {
	u, end := t.parse(m)
	if end != nil {
		return verdict{end: end}
	}
	v := verdict{discarded: u.discarded}
	if u.verdict == withdraw {
		v.withdrawn = u.why
		v.forward = u.withdrawal()
	} else {
		v.forward = []message{u.message(m)}
	}
	if err := t.decode(v.forward); err == nil {
		return v
	} else if v.withdrawn == "" {
		v.withdrawn = err.Error()
		v.forward = u.withdrawal()
	}
	if err := t.decode(v.forward); err != nil {
		return verdict{end: &Notification{Code: codeUpdate}}
	}
	return v
}

// parse takes an UPDATE apart. What leaves in doubt which prefixes it is about
// ends the session (RFC 7606 3).
func (t terms) parse(m message) (*update, *Notification) {
	b := m.body()
	u := &update{}
	malformed := &Notification{Code: codeUpdate, Subcode: 1}
	n := int(binary.BigEndian.Uint16(b))
	if len(b) < 2+n+2 {
		return nil, malformed
	}
	u.withdrawn, b = b[2:2+n], b[2+n:]
	if n = int(binary.BigEndian.Uint16(b)); len(b) < 2+n {
		return nil, malformed
	}
	u.nlri = b[2+n:]
	pathID, agreed := t.families[IPv4Unicast]
	if !prefixes(u.withdrawn, IPv4Unicast, pathID) || !prefixes(u.nlri, IPv4Unicast, pathID) {
		return nil, &Notification{Code: codeUpdate, Subcode: 10}
	}
	if !agreed {
		u.withdrawn, u.nlri = nil, nil
	}
	all, rest := attributes(b[2 : 2+n])
	for _, a := range all {
		if end := t.take(u, a); end != nil {
			return nil, end
		}
	}
	if len(rest) > 0 {
		u.fault(withdraw, "attributes are longer than their field")
		hides := len(rest) > 1 && (rest[1] == attrReach || rest[1] == attrUnreach)
		if hides || len(u.nlri) == 0 && u.reach == nil {
			return nil, malformed
		}
	}
	t.mandatory(u)
	return u, nil
}

// take adds one attribute.
func (t terms) take(u *update, a attribute) *Notification {
	switch a.code {
	case attrReach, attrUnreach:
		return t.takeReach(u, a)
	}
	if _, ok := rules[a.code]; !ok {
		if a.flags&flagOptional == 0 {
			return &Notification{codeUpdate, 2, a.appendTo(nil)}
		}
		return nil
	}
	if u.has(a.code) {
		u.discarded++ // RFC 7606 3 g
		return nil
	}
	a, f := t.examine(a)
	switch f {
	case withdraw:
		u.fault(withdraw, fmt.Sprintf("attribute %s is malformed", bgp.BGPAttrType(a.code)))
	case discard:
		u.discarded++
		return nil
	}
	u.attrs = append(u.attrs, a)
	return nil
}

// takeReach adds MP_REACH_NLRI or MP_UNREACH_NLRI; a family that was not agreed
// upon is dropped.
func (t terms) takeReach(u *update, a attribute) *Notification {
	parse, at := parseReach, &u.reach
	if a.code == attrUnreach {
		parse, at = parseUnreach, &u.unreach
	}
	if *at != nil {
		return &Notification{Code: codeUpdate, Subcode: 1} // RFC 7606 3 g
	}
	r, ok := parse(a.value)
	if !ok || a.flags&(flagOptional|flagTransitive) != flagOptional {
		return &Notification{codeUpdate, 9, a.appendTo(nil)}
	}
	pathID, agreed := t.families[r.family]
	if !agreed {
		return nil
	}
	if a.code == attrReach {
		f, ok := r.hop()
		if !ok {
			return &Notification{codeUpdate, 9, a.appendTo(nil)}
		}
		u.fault(f, "next hop is no address to send to")
	}
	if !prefixes(r.nlri, r.family, pathID) {
		return &Notification{codeUpdate, 9, a.appendTo(nil)}
	}
	*at = &r
	a.flags = flagOptional
	u.attrs = append(u.attrs, a)
	return nil
}

// mandatory looks for what an UPDATE with prefixes must have (RFC 4271 5).
func (t terms) mandatory(u *update) {
	if len(u.nlri) == 0 && u.reach == nil {
		return
	}
	need := []byte{attrOrigin, attrASPath}
	if len(u.nlri) > 0 {
		need = append(need, attrNextHop)
	}
	if !t.external {
		need = append(need, attrLocalPref)
	}
	for _, code := range need {
		if !u.has(code) {
			u.fault(withdraw, fmt.Sprintf("attribute %s is missing", bgp.BGPAttrType(code)))
		}
	}
}

func (u *update) has(code byte) bool {
	return slices.ContainsFunc(u.attrs, func(a attribute) bool { return a.code == code })
}

func (u *update) fault(f fault, why string) {
	if f > u.verdict {
		u.verdict, u.why = f, why
	}
}

// message writes the UPDATE anew. One of which nothing is left becomes a
// KEEPALIVE: an empty UPDATE would be the end of the routes (RFC 4724 2), and so
// would be an MP_UNREACH_NLRI without prefixes, unless it came as such.
func (u *update) message(came message) message {
	if f, ok := endOf(came); ok && (f == IPv4Unicast && len(u.attrs) == 0 || u.unreach != nil) {
		return updateMessage(nil, u.attrs, nil)
	}
	attrs := u.attrs
	if u.unreach != nil && len(u.unreach.nlri) == 0 {
		attrs = slices.DeleteFunc(slices.Clone(attrs), func(a attribute) bool { return a.code == attrUnreach })
	}
	if u.reach != nil && len(u.reach.nlri) == 0 {
		attrs = slices.DeleteFunc(slices.Clone(attrs), func(a attribute) bool { return a.code == attrReach })
	}
	prefixes := len(u.withdrawn) + len(u.nlri)
	for _, r := range []*reach{u.reach, u.unreach} {
		if r != nil {
			prefixes += len(r.nlri)
		}
	}
	if prefixes == 0 {
		return keepalive()
	}
	return updateMessage(u.withdrawn, attrs, u.nlri)
}

// endOf says whether a message is the end of the routes of a family (RFC 4724 2),
// and of which.
func endOf(m message) (Family, bool) {
	b := m.body()
	switch {
	case m.kind() != typeUpdate || len(b) < 4:
		return Family{}, false
	case len(b) == 4:
		return IPv4Unicast, true
	case binary.BigEndian.Uint16(b) != 0 || int(binary.BigEndian.Uint16(b[2:])) != len(b)-4:
		return Family{}, false
	}
	all, rest := attributes(b[4:])
	if len(rest) > 0 || len(all) != 1 || all[0].code != attrUnreach || len(all[0].value) != 3 {
		return Family{}, false
	}
	r, ok := parseUnreach(all[0].value)
	return r.family, ok
}

// withdrawal returns messages that withdraw every prefix of the UPDATE.
func (u *update) withdrawal() []message {
	var out []message
	if routes := append(clone(u.withdrawn), u.nlri...); len(routes) > 0 {
		out = append(out, updateMessage(routes, nil, nil))
	}
	for _, r := range []*reach{u.unreach, u.reach} {
		if r != nil && len(r.nlri) > 0 {
			out = append(out, updateMessage(nil, []attribute{r.unreach()}, nil))
		}
	}
	if out == nil {
		out = []message{keepalive()}
	}
	return out
}

func updateMessage(withdrawn []byte, attrs []attribute, nlri []byte) message {
	var field []byte
	for _, a := range attrs {
		field = a.appendTo(field)
	}
	return build(typeUpdate, binary.BigEndian.AppendUint16(nil, uint16(len(withdrawn))), withdrawn,
		binary.BigEndian.AppendUint16(nil, uint16(len(field))), field, nlri)
}

// errTooLong is a message that grew beyond what may be sent when its AS numbers
// got four octets.
var errTooLong = errors.New("message is too long with AS numbers of four octets")

// decode reads messages as GoBGP will, and says what it would stumble over. A
// panic of the library's is an error here: in its own goroutine it would end
// the process.
func (t terms) decode(all []message) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("decoding panics: %v", r)
		}
	}()
	families := map[bgp.RouteFamily]bgp.BGPAddPathMode{}
	option := &bgp.MarshallingOption{AddPath: map[bgp.RouteFamily]bgp.BGPAddPathMode{}}
	for f, pathID := range t.families {
		families[bgp.AfiSafiToRouteFamily(f.AFI, f.SAFI)] = bgp.BGP_ADD_PATH_NONE
		if pathID {
			option.AddPath[bgp.AfiSafiToRouteFamily(f.AFI, f.SAFI)] = bgp.BGP_ADD_PATH_RECEIVE
		}
	}
	for _, m := range all {
		if len(m) > maxMessage {
			return errTooLong
		}
		parsed, err := bgp.ParseBGPMessage(m, option)
		if err != nil {
			return fmt.Errorf("decoding: %w", err)
		}
		if u, ok := parsed.Body.(*bgp.BGPUpdate); ok {
			if _, err := bgp.ValidateUpdateMsg(u, families, t.external, false, true); err != nil {
				return fmt.Errorf("validating: %w", err)
			}
		}
	}
	return nil
}
