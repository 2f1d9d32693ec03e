package bpf

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// sums says whether the checksum of the UDP datagram in a frame holds.
func sums(frame []byte, q inquiry) bool {
	udp := frame[14+40:]
	if q.to.Is4() {
		udp = frame[14+20:]
	}
	return sum(pseudo(q.from, q.to, len(udp)), udp) == 0xffff
}

// A reply says from where the request came, and what time it is, if there is room.
func TestSeen(t *testing.T) {
	r := loadResponderHere(t, ResponderConfig{})
	if err := errors.Join(r.SetAskers([]netip.Addr{asker4, asker6}), r.SetLocal([]netip.Addr{node4, node6}, podsOf)); err != nil {
		t.Fatal(err)
	}
	seen := func(q inquiry) ([]byte, Seen) {
		t.Helper()
		verdict, got := r.run(t, q.frame(), nil)
		if verdict != answered || len(got) != len(q.frame()) {
			t.Fatalf("verdict %d, %d bytes for %d, counters %+v", verdict, len(got), len(q.frame()), r.counted(t))
		}
		if !q.withoutUDP4 && !sums(got, q) {
			t.Errorf("the checksum is wrong in %x", got)
		}
		at := len(got) - ProbeSize - len(q.after)
		return got, ParseSeen(got[at:])
	}
	for _, q := range []inquiry{ask(ProbeNode, asker4, node4), ask(ProbePods, asker6, pod6)} {
		q.after = make([]byte, SeenSize)
		if _, got := seen(q); got.Source != q.from || !got.Time.IsZero() {
			t.Errorf("before the clock is known: %+v", got)
		}
	}
	if err := r.SetClock(); err != nil {
		t.Fatal(err)
	}
	for _, q := range []inquiry{ask(ProbeNode, asker4, node4), ask(ProbePods, asker6, pod6)} {
		tail := []byte("an odd tail")
		q.after = append(make([]byte, SeenSize), tail...)
		whole, got := seen(q)
		if got.Source != q.from || time.Since(got.Time).Abs() > time.Minute {
			t.Errorf("it saw %+v at %v", got, time.Now())
		}
		if !slices.Equal(whole[len(whole)-len(tail):], tail) {
			t.Errorf("the tail is %q", whole[len(whole)-len(tail):])
		}
		q.after = slices.Repeat([]byte{7}, SeenSize-1)
		if whole, got := seen(q); got != (Seen{}) || !slices.Equal(whole[len(whole)-len(q.after):], q.after) {
			t.Errorf("without room it saw %+v", got)
		}
	}
	r.setClock(-5) // before 1970 is still a time
	if _, got := seen(inquiry{probe: Probe{Kind: ProbeNode}, from: asker4, to: node4, port: DefaultProbePort, ttl: 1,
		withoutUDP4: true, after: make([]byte, SeenSize)}); got.Source != asker4 || got.Time.IsZero() {
		t.Errorf("without a checksum it saw %+v", got)
	}
}

// Who is no asker but names the node's boot id is answered, within a limit that
// all of them share.
func TestGuests(t *testing.T) {
	r := loadResponderHere(t, ResponderConfig{Rate: 0.001, Burst: 2})
	if err := errors.Join(r.SetAskers([]netip.Addr{asker4}), r.SetLocal([]netip.Addr{node4, node6}, podsOf)); err != nil {
		t.Fatal(err)
	}
	wrong := r.BootID()
	wrong[15]++
	for _, c := range []struct {
		what string
		from netip.Addr
		boot BootID
		want uint32
	}{
		{"a stranger", pod4, BootID{}, passOn},
		{"a stranger with another boot id", pod4, wrong, passOn},
		{"a guest", pod4, r.BootID(), answered},
		{"another guest", pod4.Next(), r.BootID(), answered},
		{"one guest too many", pod4, r.BootID(), dropped},
		{"an asker then", asker4, r.BootID(), answered},
	} {
		q := ask(ProbeNode, c.from, node4)
		q.probe.BootID = c.boot
		if got, _ := r.run(t, q.frame(), nil); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
}
