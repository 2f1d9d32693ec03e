package session

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The tests write messages in a small notation: bytes in hexadecimal, spaces
// where they help.

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return b
}

// attr writes an attribute: flags, code and value.
func attr(flags, code byte, value ...byte) []byte {
	return attribute{flags, code, value}.appendTo(nil)
}

// updateOf writes an UPDATE.
func updateOf(withdrawn, attrs, nlri []byte) message {
	return build(typeUpdate, []byte{byte(len(withdrawn) >> 8), byte(len(withdrawn))}, withdrawn,
		[]byte{byte(len(attrs) >> 8), byte(len(attrs))}, attrs, nlri)
}

func join(all ...[]byte) []byte {
	var out []byte
	for _, b := range all {
		out = append(out, b...)
	}
	return out
}

// show writes a message as the tests compare it.
func show(m message) string {
	switch m.kind() {
	case typeKeepalive:
		return "keepalive"
	case typeUpdate:
	default:
		return fmt.Sprintf("type %d", m.kind())
	}
	t := terms{families: map[Family]bool{IPv4Unicast: false, IPv6Unicast: false}, fourAS: true}
	u, end := t.parse(m)
	if end != nil {
		return "unreadable: " + end.Error()
	}
	var out []string
	for _, p := range list(u.withdrawn, IPv4Unicast) {
		out = append(out, "-"+p)
	}
	if u.unreach != nil {
		for _, p := range list(u.unreach.nlri, u.unreach.family) {
			out = append(out, "-"+p)
		}
	}
	var codes []string
	for _, a := range u.attrs {
		codes = append(codes, strconv.Itoa(int(a.code)))
	}
	for _, p := range list(u.nlri, IPv4Unicast) {
		out = append(out, "+"+p)
	}
	if u.reach != nil {
		for _, p := range list(u.reach.nlri, u.reach.family) {
			out = append(out, "+"+p)
		}
	}
	if len(out) == 0 {
		return "end " + strings.Join(codes, ",")
	}
	if strings.Contains(strings.Join(out, ""), "+") {
		out = append(out, "attrs "+strings.Join(codes, ","))
	}
	return strings.Join(out, " ")
}

func list(b []byte, f Family) []string {
	var out []string
	for len(b) > 0 {
		bits, n := int(b[0]), 1+(int(b[0])+7)/8
		raw := make([]byte, 16)
		if f.AFI == 1 {
			raw = raw[:4]
		}
		copy(raw, b[1:n])
		a, _ := netip.AddrFromSlice(raw)
		out = append(out, netip.PrefixFrom(a, bits).String())
		b = b[n:]
	}
	return out
}

// caps writes an OPEN with these capabilities.
func openOf(as uint16, hold uint16, id string, caps ...[]byte) message {
	all := join(caps...)
	body := join([]byte{4, byte(as >> 8), byte(as), byte(hold >> 8), byte(hold)}, netip.MustParseAddr(id).AsSlice())
	if len(all) == 0 {
		return build(typeOpen, body, []byte{0})
	}
	return build(typeOpen, body, []byte{byte(len(all) + 2), 2, byte(len(all))}, all)
}

// theRouter is what the tests' router offers.
func theRouter() message {
	return openOf(64512, 9, "10.0.0.2", []byte{1, 4, 0, 1, 0, 1}, []byte{1, 4, 0, 2, 0, 1}, []byte{2, 0},
		[]byte{65, 4, 0, 0, 0xfc, 0}, []byte{64, 10, 0x80, 120, 0, 1, 1, 0x80, 0, 2, 1, 0}, append([]byte{73, 5, 3}, "tor\x00"...))
}

var external = terms{
	families: map[Family]bool{IPv4Unicast: false, IPv6Unicast: false},
	fourAS:   true, external: true, holdTime: 9 * time.Second,
}
