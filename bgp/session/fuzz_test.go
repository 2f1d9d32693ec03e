package session

import (
	"bytes"
	"testing"

	"github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

// vpls has a prefix of VPLS that is shorter than the library takes for granted:
// v3.37.0 panics while it decodes it, whatever families were agreed upon.
var vpls = updateOf(nil, attr(0x80, 14, 0, 25, 65, 0, 0, 0, 4, 1, 2, 3, 4), nil)

// crashers are messages with which GoBGP or its peers were brought down; what
// the tables have no row for is here, to begin from.
func crashers() []message {
	return []message{
		updateOf(nil, join(originIGP, attr(0xc0, 17, 2, 1, 0, 0, 0xfc, 0), attr(0x40, 2, 2, 1, 0xfc, 0), hop), net24),
		updateOf(nil, join(originIGP, attr(0x40, 2), hop), net24),
		updateOf(nil, join(base, attr(0xc0, 40, 1, 0, 7)), net24),
		updateOf(nil, join(base, attr(0xc0, 22, 0, 6)), net24),
		updateOf(nil, join(base, attr(0xc0, 23, 0, 15, 0, 255)), net24),
		updateOf(nil, join(base, attr(0x80, 29, 1, 1)), net24),
		updateOf(nil, join(base, attr(0xc0, 16, 0, 2, 0)), net24),
		vpls,
		updateOf(nil, join(originIGP, path4, attr(0x80, 14, 0, 25, 70, 4, 10, 0, 0, 1, 0, 2, 1)), nil),
		updateOf(nil, join(originIGP, path4, attr(0x80, 14, 0x40, 4, 71, 4, 10, 0, 0, 1, 0, 0, 1, 0, 1, 3)), nil),
		updateOf(nil, attrs6, nil),
		updateOf(net24, join(base, reach6, community, med), net25),
	}
}

// FuzzCheck looks for messages that GoBGP would not take as they are passed on,
// and for a message that is passed on otherwise when it comes again.
func FuzzCheck(f *testing.F) {
	for _, m := range crashers() {
		f.Add([]byte(m.body()), byte(3))
		f.Add([]byte(m.body()), byte(0))
	}
	f.Fuzz(func(t *testing.T, body []byte, bits byte) {
		if len(body) < 4 || len(body) > maxMessage-headerLen {
			return
		}
		families := map[Family]bool{IPv4Unicast: bits&4 != 0}
		if bits&8 == 0 {
			families[IPv6Unicast] = bits&16 != 0
		}
		terms := terms{families: families, external: bits&1 != 0, fourAS: bits&2 != 0}
		v := terms.check(build(typeUpdate, body))
		if (v.end == nil) == (len(v.forward) == 0) {
			t.Fatalf("neither passed on nor ended, or both: %+v", v)
		}
		again := terms
		again.fourAS = true // AS numbers are passed on with four octets
		for _, m := range v.forward {
			if err := terms.decode([]message{m}); err != nil {
				t.Errorf("passed on %x: %v", m, err)
			}
			if m.kind() != typeUpdate {
				continue
			}
			w := again.check(m)
			same := len(w.forward) == 1 && (bytes.Equal(w.forward[0], m) || len(v.forward) > 1)
			aggregator := bytes.Contains(m, []byte{0xc0, 7, 6}) // of two octets, dropped the second time
			if !same && !aggregator {
				t.Errorf("%x passed on as %x, and that as %+v", body, m, w)
			}
		}
	})
}

// FuzzOpen looks for an OPEN that is accepted and that GoBGP would not take.
func FuzzOpen(f *testing.F) {
	f.Add([]byte(theRouter().body()))
	f.Add([]byte(openOf(1, 3, "1.1.1.1", []byte{5, 6, 0, 1, 0, 1, 0, 2}, []byte{69, 4, 0, 1, 1, 3}, []byte{71, 7, 0, 1, 1, 0, 0, 0, 1}).body()))
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) < 10 || len(body) > maxMessage-headerLen {
			return
		}
		m := build(typeOpen, body)
		o, err := ParseOpen(m)
		if err != nil {
			return
		}
		forwarding(m)
		pass := o.forGoBGP()
		if err := external.decode([]message{pass}); err != nil {
			t.Fatalf("passed on %x: %v", pass, err)
		}
		parsed, err := bgp.ParseBGPMessage(pass)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bgp.ValidateOpenMsg(parsed.Body.(*bgp.BGPOpen), o.ASN, o.ASN+1, nil); err != nil && o.HoldTime != 0 {
			if n, _ := admit(Config{ASN: o.ASN}, Open{}, o); n == nil {
				t.Errorf("admitted, but GoBGP says %v", err)
			}
		}
	})
}
