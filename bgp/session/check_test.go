package session

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The attributes of the base UPDATE.
var (
	originIGP = attr(0x40, 1, 0)
	path4     = attr(0x40, 2, 2, 1, 0, 0, 0xfc, 0)
	hop       = attr(0x40, 3, 10, 0, 0, 2)
	med       = attr(0x80, 4, 0, 0, 0, 1)
	community = attr(0xc0, 8, 0xfc, 0, 0, 1)
	base      = join(originIGP, path4, hop)
	net24     = []byte{24, 192, 0, 2}
	net25     = []byte{25, 198, 51, 100, 128}
	net48     = []byte{48, 0x20, 1, 0xd, 0xb8, 0, 1}
	reach6    = attr(0x80, 14, join([]byte{0, 2, 1, 16}, v6hop, []byte{0}, net48)...)
	unreach6  = attr(0x80, 15, join([]byte{0, 2, 1}, net48)...)
	v6hop     = []byte{0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}
	attrs6    = join(originIGP, path4, reach6)
)

// told writes a verdict: what is forwarded, "withdrawn" or the NOTIFICATION.
func told(v verdict) string {
	if v.end != nil {
		return fmt.Sprintf("end %d/%d", v.end.Code, v.end.Subcode)
	}
	var out []string
	for _, m := range v.forward {
		out = append(out, show(m))
	}
	s := strings.Join(out, " | ")
	if v.withdrawn != "" {
		s += " (malformed)"
	}
	if v.discarded > 0 {
		s += fmt.Sprintf(" (%d discarded)", v.discarded)
	}
	return s
}

func TestCheckUpdate(t *testing.T) {
	internal, twoOctets, onlyV4, pathIDs := external, external, external, external
	internal.external = false
	twoOctets.fourAS = false
	onlyV4.families = map[Family]bool{IPv4Unicast: false}
	pathIDs.families = map[Family]bool{IPv4Unicast: true, IPv6Unicast: true}
	const good, gone = "+192.0.2.0/24 attrs 1,2,3", "-192.0.2.0/24 (malformed)"
	const good6, gone6 = "+2001:db8:1::/48 attrs 1,2,14", "-2001:db8:1::/48 (malformed)"

	for _, c := range []struct {
		name string
		t    terms
		m    message
		want string
	}{
		{"announcement", external, updateOf(nil, base, net24), good},
		{"withdrawal", external, updateOf(net24, nil, nil), "-192.0.2.0/24"},
		{"both", external, updateOf(net25, base, net24), "-198.51.100.128/25 +192.0.2.0/24 attrs 1,2,3"},
		{"IPv6", external, updateOf(nil, attrs6, nil), good6},
		{"IPv6 withdrawal", external, updateOf(nil, unreach6, nil), "-2001:db8:1::/48"},
		{"end of IPv4", external, updateOf(nil, nil, nil), "end "},
		{"end of IPv6", external, updateOf(nil, attr(0x80, 15, 0, 2, 1), nil), "end 15"},
		{"all that may be", external, updateOf(nil, join(base, med, attr(0x40, 6), attr(0xc0, 7, 0, 0, 0xfc, 0, 10, 0, 0, 2),
			community, attr(0xc0, 32, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3)), net24), "+192.0.2.0/24 attrs 1,2,3,4,6,7,8,32"},
		{"internal", internal, updateOf(nil, join(base, attr(0x40, 5, 0, 0, 0, 100), attr(0x80, 9, 10, 0, 0, 9), attr(0x80, 10, 10, 0, 0, 8)), net24),
			"+192.0.2.0/24 attrs 1,2,3,5,9,10"},
		{"internal with an empty path", internal, updateOf(nil, join(originIGP, attr(0x40, 2), hop, attr(0x40, 5, 0, 0, 0, 100)), net24), "+192.0.2.0/24 attrs 1,2,3,5"},
		{"internal without LOCAL_PREF", internal, updateOf(nil, base, net24), gone},
		{"partial bit on transitive", external, updateOf(nil, join(base, attr(0xe0, 8, 0xfc, 0, 0, 1)), net24), "+192.0.2.0/24 attrs 1,2,3,8"},
		{"IPv4 over IPv6 (RFC 8950)", external, updateOf(nil, join(originIGP, path4, attr(0x80, 14, join([]byte{0, 1, 1, 16}, v6hop, []byte{0}, net24)...)), nil),
			"+192.0.2.0/24 attrs 1,2,14"},

		{"AS numbers of two octets", twoOctets, updateOf(nil, join(originIGP, attr(0x40, 2, 2, 1, 0xfc, 0), hop), net24), good},
		{"four where two were agreed", twoOctets, updateOf(nil, base, net24), gone},
		{"two where four were agreed", external, updateOf(nil, join(originIGP, attr(0x40, 2, 2, 1, 0xfc, 0), hop), net24), gone},
		{"AS4_PATH before AS_PATH (CVE-2026-41643)", twoOctets,
			updateOf(nil, join(originIGP, attr(0xc0, 17, 2, 1, 0, 0, 0xfc, 0), attr(0x40, 2, 2, 1, 0xfc, 0), hop), net24), good},
		{"AS4_PATH alone", twoOctets, updateOf(nil, join(originIGP, attr(0xc0, 17, 2, 1, 0, 0, 0xfc, 0), hop), net24), gone},
		{"AS4_AGGREGATOR without AGGREGATOR", twoOctets, updateOf(nil, join(originIGP, attr(0x40, 2, 2, 1, 0xfc, 0), hop, attr(0xc0, 18, 0, 0, 0xfc, 0, 1, 1, 1, 1)), net24), good},

		{"empty path from another AS", external, updateOf(nil, join(originIGP, attr(0x40, 2), hop), net24), gone},
		{"path of a confederation", external, updateOf(nil, join(originIGP, attr(0x40, 2, 3, 1, 0, 0, 0xfc, 0), hop), net24), gone},
		{"segment of no AS", external, updateOf(nil, join(originIGP, attr(0x40, 2, 2, 0), hop), net24), gone},
		{"segment longer than the path", external, updateOf(nil, join(originIGP, attr(0x40, 2, 2, 2, 0, 0, 0xfc, 0), hop), net24), gone},
		{"ORIGIN 3", external, updateOf(nil, join(attr(0x40, 1, 3), path4, hop), net24), gone},
		{"ORIGIN empty", external, updateOf(nil, join(attr(0x40, 1), path4, hop), net24), gone},
		{"ORIGIN optional", external, updateOf(nil, join(attr(0xc0, 1, 0), path4, hop), net24), gone},
		{"NEXT_HOP of 3 bytes", external, updateOf(nil, join(originIGP, path4, attr(0x40, 3, 10, 0, 0)), net24), gone},
		{"NEXT_HOP 0.0.0.0", external, updateOf(nil, join(originIGP, path4, attr(0x40, 3, 0, 0, 0, 0)), net24), gone},
		{"NEXT_HOP on loopback", external, updateOf(nil, join(originIGP, path4, attr(0x40, 3, 127, 0, 0, 1)), net24), gone},
		{"NEXT_HOP multicast", external, updateOf(nil, join(originIGP, path4, attr(0x40, 3, 224, 0, 0, 1)), net24), gone},
		{"no NEXT_HOP", external, updateOf(nil, join(originIGP, path4), net24), gone},
		{"no ORIGIN", external, updateOf(nil, join(path4, reach6), nil), gone6},
		{"MED of 3 bytes", external, updateOf(nil, join(base, attr(0x80, 4, 0, 0, 1)), net24), gone},
		{"half a community", external, updateOf(nil, join(base, attr(0xc0, 8, 0xfc, 0)), net24), gone},
		{"empty communities", external, updateOf(nil, join(base, attr(0xc0, 8)), net24), gone},
		{"large community of 4 bytes", external, updateOf(nil, join(base, attr(0xc0, 32, 0, 0, 0, 1)), net24), gone},
		{"both families malformed", external, updateOf(net25, join(attr(0x40, 1, 3), path4, hop, reach6), net24),
			"-198.51.100.128/25 -192.0.2.0/24 | -2001:db8:1::/48 (malformed)"},
		{"IPv6 next hop multicast", external, updateOf(nil, join(originIGP, path4, attr(0x80, 14, join([]byte{0, 2, 1, 16, 0xff}, v6hop[1:], []byte{0}, net48)...)), nil), gone6},
		{"last attribute too long", external, updateOf(nil, join(base, []byte{0xc0, 8, 200, 1}), net24), gone},
		{"last attribute too long, IPv6 before it", external, updateOf(nil, join(attrs6, []byte{0xc0, 8, 200, 1}), nil), gone6},

		{"AGGREGATOR of 6 bytes", external, updateOf(nil, join(base, attr(0xc0, 7, 0xfc, 0, 10, 0, 0, 2)), net24), good + " (1 discarded)"},
		{"ATOMIC_AGGREGATE with a value", external, updateOf(nil, join(base, attr(0x40, 6, 1)), net24), good + " (1 discarded)"},
		{"LOCAL_PREF from another AS", external, updateOf(nil, join(base, attr(0x40, 5, 0, 0, 0, 1)), net24), good + " (1 discarded)"},
		{"ORIGIN twice", external, updateOf(nil, join(base, originIGP), net24), good + " (1 discarded)"},
		{"optional ones that nobody needs", external, updateOf(nil, join(base, attr(0xc0, 22, 1), attr(0xc0, 23, 9), attr(0x80, 29, 1), attr(0xc0, 40, 1), attr(0xc0, 99)), net24), good},

		{"MP_REACH_NLRI twice", external, updateOf(nil, join(attrs6, reach6), nil), "end 3/1"},
		{"MP_UNREACH_NLRI twice", external, updateOf(nil, join(unreach6, unreach6), nil), "end 3/1"},
		{"unknown and not optional", external, updateOf(nil, join(base, attr(0x40, 99)), net24), "end 3/2"},
		{"withdrawn longer than the message", external, build(typeUpdate, []byte{0, 9, 0, 0}), "end 3/1"},
		{"attributes longer than the message", external, build(typeUpdate, []byte{0, 0, 0, 9}), "end 3/1"},
		{"attributes too long, prefixes unknown", external, updateOf(nil, join(originIGP, []byte{0xc0, 8, 200, 1}), nil), "end 3/1"},
		{"MP_REACH_NLRI too long", external, updateOf(nil, join(base, []byte{0x80, 14, 200, 1}), net24), "end 3/1"},
		{"prefix of 33 bits", external, updateOf(nil, base, []byte{33, 1, 2, 3, 4, 5}), "end 3/10"},
		{"prefix cut", external, updateOf([]byte{24, 1, 2}, nil, nil), "end 3/10"},
		{"IPv6 prefix of 129 bits", external, updateOf(nil, attr(0x80, 15, join([]byte{0, 2, 1, 129}, v6hop, []byte{0})...), nil), "end 3/9"},
		{"IPv6 next hop of 5 bytes", external, updateOf(nil, join(originIGP, path4, attr(0x80, 14, 0, 2, 1, 5, 1, 2, 3, 4, 5, 0)), nil), "end 3/9"},
		{"MP_REACH_NLRI transitive", external, updateOf(nil, attr(0xc0, 14, join([]byte{0, 2, 1, 16}, v6hop, []byte{0}, net48)...), nil), "end 3/9"},
		{"MP_REACH_NLRI of one byte", external, updateOf(nil, attr(0x80, 14, 0), nil), "end 3/9"},

		{"a family not agreed upon", onlyV4, updateOf(nil, attrs6, nil), "keepalive"},
		{"its withdrawal is no end of IPv4", onlyV4, updateOf(nil, unreach6, nil), "keepalive"},
		{"its end", onlyV4, updateOf(nil, attr(0x80, 15, 0, 2, 1), nil), "keepalive"},
		{"flow specification", external, updateOf(nil, join(originIGP, path4, attr(0x80, 14, 0, 1, 133, 0, 0, 3, 1, 8, 10)), nil), "keepalive"},
		{"attributes without prefixes", external, updateOf(nil, base, nil), "keepalive"},
		{"reaching nothing", external, updateOf(nil, join(originIGP, path4, attr(0x80, 14, join([]byte{0, 2, 1, 16}, v6hop, []byte{0})...)), nil), "keepalive"},
		{"reaching nothing, malformed, is no end of IPv6", external, updateOf(nil, join(path4, attr(0x80, 14, join([]byte{0, 2, 1, 16}, v6hop, []byte{0})...)), nil), "keepalive (malformed)"},
		{"unreaching nothing among others", external, updateOf(nil, join(base, attr(0x80, 15, 0, 2, 1)), nil), "keepalive"},
		{"path identifier missing", pathIDs, updateOf(nil, base, net24), "end 3/10"},
	} {
		if got := told(c.t.check(c.m)); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// TestWithoutRoutes has what a deaf session passes on: all but routes, and
// something for every message, or GoBGP's timer would expire under a router
// that sends nothing but UPDATEs.
func TestWithoutRoutes(t *testing.T) {
	refresh := build(typeRouteRefresh, []byte{0, 1, 0, 1})
	end4, end6 := updateOf(nil, nil, nil), updateOf(nil, attr(0x80, 15, 0, 2, 1), nil)
	for _, c := range []struct {
		name string
		in   []message
		want []message
	}{
		{"announcement", []message{updateOf(nil, base, net24)}, []message{keepalive()}},
		{"IPv6", []message{updateOf(nil, attrs6, nil)}, []message{keepalive()}},
		{"two withdrawals", []message{updateOf(net24, nil, nil), updateOf(nil, unreach6, nil)}, []message{keepalive()}},
		{"end of IPv4", []message{end4}, []message{end4}},
		{"end of IPv6", []message{end6}, []message{end6}},
		{"route refresh", []message{refresh}, []message{refresh}},
	} {
		if got := withoutRoutes(c.in); !slices.EqualFunc(got, c.want, func(a, b message) bool { return bytes.Equal(a, b) }) {
			t.Errorf("%s: got %x, want %x", c.name, got, c.want)
		}
	}
}

func TestCheckRouteRefresh(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"IPv4", "0001 00 01", "type 5"},
		{"a family not agreed upon", "0001 00 80", "keepalive"},
		{"begin of enhanced refresh", "0001 01 01", "keepalive"},
	} {
		if got := told(external.check(build(typeRouteRefresh, unhex(t, c.body)))); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// TestGrownMessage has AS numbers of two octets that no longer fit when they
// are written with four.
func TestGrownMessage(t *testing.T) {
	two := external
	two.fourAS = false
	var path []byte
	for range 7 {
		path = append(path, 2, 255)
		path = append(path, make([]byte, 2*255)...)
	}
	m := updateOf(nil, join(originIGP, attr(0x40, 2, path...), hop), net24)
	if len(m) > maxMessage {
		t.Fatalf("the message has %d bytes", len(m))
	}
	if got := told(two.check(m)); got != "-192.0.2.0/24 (malformed)" {
		t.Errorf("got %s", got)
	}
}

func TestDecodeRecovers(t *testing.T) {
	err := external.decode([]message{vpls})
	if err == nil || !strings.Contains(err.Error(), "panics") {
		t.Errorf("the message that brings the library down: %v", err)
	}
	if got := told(external.check(vpls)); got != "keepalive" {
		t.Errorf("passed on: %s", got)
	}
}
