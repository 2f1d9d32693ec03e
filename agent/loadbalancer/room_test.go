package loadbalancer

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"

	"tombolo.io/tombolo/clustermesh"
)

// wide is a port with so many backends.
func wide(backends int, size uint32) *desired {
	d := &desired{id: portID{protocol: clustermesh.TCP, port: 80}, size: size}
	for i := range backends {
		a := netip.AddrFrom4([4]byte{11, 0, byte(i >> 8), byte(i)})
		d.tiers[Primary] = append(d.tiers[Primary], share{endpoint{cluster: 2, address: netip.AddrPortFrom(a, 8080), node: "n"}, 100})
	}
	return d
}

// Who is left out for want of room is known, and why; who is not serves.
func TestLeftOut(t *testing.T) {
	name := clustermesh.ServiceName{Namespace: "shop", Name: "web"}
	for _, c := range []struct {
		full        string
		limits      Limits
		first, then *desired
		left        int
	}{
		{"backends", Limits{Services: 8, Slots: 1 << 16, Backends: 4, Nodes: 8}, wide(2, 251), wide(5, 509), 2},
		{"slots", Limits{Services: 8, Slots: 509, Backends: 2000, Nodes: 8}, wide(500, 509), wide(1000, 16381), 491},
	} {
		t.Run(c.full, func(t *testing.T) {
			l := New(Config{Node: "n"}, newRAM(c.limits), slog.New(slog.DiscardHandler))
			if err := l.restore(); err != nil {
				t.Fatal(err)
			}
			if err := l.state.apply(name, c.first, l.missing); err != nil {
				t.Fatal(err)
			}
			want := len(c.then.tiers[Primary]) - c.left
			err := l.state.apply(name, c.then, l.missing)
			p := l.state.byName[name][0]
			if err == nil || len(p.left) != c.left || len(p.backends) != want || l.state.backends.used() != want {
				t.Fatalf("%v: %d left out, want %d; %d backends of %d in use, want %d", err, len(p.left), c.left, len(p.backends), l.state.backends.used(), want)
			}
			for _, o := range p.left {
				if b, ok := p.find(o.Cluster, o.Address); ok || o.Full != c.full || o.Tier != Primary {
					t.Errorf("%+v is left out and placed as %+v", o, b)
				}
			}
			for _, b := range p.backends {
				if b.standing != Active {
					t.Errorf("%v is %v", b.address, b.standing)
				}
			}
			if err := l.state.apply(name, wide(2, 251), l.missing); err != nil || len(p.left) > 0 {
				t.Errorf("when there is room: %v, left %v", err, p.left)
			}
		})
	}
}

// What an error says beside full maps is not lost among them.
func TestBesides(t *testing.T) {
	full := &fullError{"slots", errNoExtent}
	other := errors.New("the kernel refuses")
	for _, c := range []struct {
		err  error
		want string
	}{
		{full, "<nil>"},
		{other, "the kernel refuses"},
		{errors.Join(full, other), "the kernel refuses"},
		{errors.Join(fmt.Errorf("%w; left out: 1 of 2", errors.Join(full, full)), fmt.Errorf("leading: %w", other)), "leading: the kernel refuses"},
		{errors.Join(fmt.Errorf("%w; it has 251 slots", full)), "<nil>"},
	} {
		if got := fmt.Sprint(besides(c.err)); got != c.want {
			t.Errorf("%v: besides full maps it says %s, want %s", c.err, got, c.want)
		}
	}
	if got := besides(nil); got != nil {
		t.Error(got)
	}
}
