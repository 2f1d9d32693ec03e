package session

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// model is the slow obvious other end: what a router knows after some messages.
type model map[string]string

// take applies a message that packing may touch.
func (r model) take(t testing.TB, m message) {
	t.Helper()
	if len(m) > maxMessage {
		t.Fatalf("a message of %d bytes", len(m))
	}
	both := terms{families: map[Family]bool{IPv4Unicast: false, IPv6Unicast: false}, external: true, fourAS: true}
	u, end := both.parse(m)
	if end != nil || u.verdict != fine {
		t.Fatalf("%x cannot be read: %v", m, end)
	}
	var attrs []string
	for _, a := range u.attrs {
		switch a.code {
		case attrReach:
			attrs = append(attrs, fmt.Sprintf("%x", u.reach.nextHop))
		case attrUnreach:
		default:
			attrs = append(attrs, fmt.Sprintf("%x", a.appendTo(nil)))
		}
	}
	put := func(nlri []byte, f Family, value string) {
		for _, p := range list(nlri, f) {
			if value == "" {
				delete(r, p)
			} else {
				r[p] = value
			}
		}
	}
	put(u.withdrawn, IPv4Unicast, "")
	if u.unreach != nil {
		put(u.unreach.nlri, u.unreach.family, "")
	}
	put(u.nlri, IPv4Unicast, strings.Join(attrs, " "))
	if u.reach != nil {
		put(u.reach.nlri, u.reach.family, strings.Join(attrs, " "))
	}
}

// random returns a message about one to three of a few prefixes.
func random(r *rand.Rand) message {
	var nlri []byte
	v6 := r.IntN(2) == 0
	for range 1 + r.IntN(3) {
		last := byte(r.IntN(20))
		if v6 {
			nlri = append(nlri, 48, 0x20, 1, 0xd, 0xb8, 0, last)
		} else {
			nlri = append(nlri, 24, 192, 0, last)
		}
	}
	attrs := join(originIGP, path4)
	if n := byte(r.IntN(3)); n > 0 {
		attrs = join(attrs, attr(0xc0, 8, 0xfc, 0, 0, n))
	}
	switch announce := r.IntN(3) > 0; {
	case r.IntN(30) == 0:
		return keepalive()
	case announce && v6:
		return updateOf(nil, join(attrs, attr(0x80, 14, join([]byte{0, 2, 1, 16}, v6hop, []byte{0}, nlri)...)), nil)
	case announce:
		return updateOf(nil, join(attrs, hop), nlri)
	case v6:
		return updateOf(nil, attr(0x80, 15, join([]byte{0, 2, 1}, nlri)...), nil)
	}
	return updateOf(nlri, nil, nil)
}

// TestPackingChangesNothing compares what a router knows with and without,
// whenever everything was sent.
func TestPackingChangesNothing(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		plain, packed := model{}, model{}
		var p packer
		var came, went int
		for range 400 {
			m := random(r)
			out := p.add(m)
			if r.IntN(25) == 0 {
				out = append(out, p.flush()...)
			}
			if m.kind() == typeUpdate {
				came++
				plain.take(t, m)
			}
			for _, m := range out {
				if m.kind() == typeUpdate {
					went++
					packed.take(t, m)
				}
			}
			if len(p.groups) == 0 && !maps.Equal(plain, packed) {
				t.Fatalf("seed %d: the router knows %v, want %v", seed, packed, plain)
			}
		}
		if went > came {
			t.Errorf("seed %d: %d messages became %d", seed, came, went)
		}
	}
}

// TestPackingPacks has what GoBGP sends after a start.
func TestPackingPacks(t *testing.T) {
	var p packer
	var out []message
	want := model{}
	for i := range 10_000 {
		m := updateOf(nil, join(originIGP, path4, attr(0x80, 14, join([]byte{0, 2, 1, 16}, v6hop, []byte{0},
			[]byte{128, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, byte(i >> 8), byte(i)})...)), nil)
		want.take(t, m)
		out = append(out, p.add(m)...)
	}
	out = append(out, p.flush()...)
	got := model{}
	for _, m := range out {
		got.take(t, m)
	}
	if !maps.Equal(got, want) {
		t.Error("the router would know something else")
	}
	if len(out) > 50 {
		t.Errorf("10000 prefixes went in %d messages", len(out))
	}
}

// TestPackingKeepsOrder has messages that must not pass each other.
func TestPackingKeepsOrder(t *testing.T) {
	announce, withdraw := updateOf(nil, base, net24), updateOf(net24, nil, nil)
	other := updateOf(nil, base, net25)
	ends := []message{updateOf(nil, nil, nil), updateOf(nil, attr(0x80, 15, 0, 2, 1), nil)}
	for _, c := range []struct {
		name string
		in   []message
		want string
	}{
		{"a prefix that comes and goes", []message{announce, withdraw}, "+192.0.2.0/24 attrs 1,2,3; -192.0.2.0/24"},
		{"another prefix between", []message{announce, other, withdraw}, "+192.0.2.0/24 +198.51.100.128/25 attrs 1,2,3; -192.0.2.0/24"},
		{"the same twice", []message{announce, announce}, "+192.0.2.0/24 attrs 1,2,3; +192.0.2.0/24 attrs 1,2,3"},
		{"the end of IPv4", []message{announce, ends[0], other}, "+192.0.2.0/24 attrs 1,2,3; end ; +198.51.100.128/25 attrs 1,2,3"},
		{"the end of IPv6", []message{announce, ends[1]}, "+192.0.2.0/24 attrs 1,2,3; end 15"},
		{"keepalive", []message{announce, keepalive()}, "+192.0.2.0/24 attrs 1,2,3; keepalive"},
	} {
		var p packer
		var got []string
		for _, m := range c.in {
			for _, m := range p.add(m) {
				got = append(got, show(m))
			}
		}
		for _, m := range p.flush() {
			got = append(got, show(m))
		}
		if s := strings.Join(got, "; "); s != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, s, c.want)
		}
	}
}

// FuzzPack looks for a message that packing loses or changes.
func FuzzPack(f *testing.F) {
	for _, m := range crashers() {
		f.Add([]byte(m.body()))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) < 4 || len(body) > maxMessage-headerLen {
			return
		}
		m := build(typeUpdate, body)
		var p packer
		out := append(p.add(m), p.flush()...)
		if _, ok := unpack(m); !ok {
			if len(out) != 1 || !slices.Equal(out[0], m) {
				t.Fatalf("%x became %x", m, out)
			}
			return
		}
		for _, m := range out {
			if _, ok := unpack(m); !ok || len(m) > maxMessage {
				t.Errorf("%x became %x", body, m)
			}
		}
	})
}
