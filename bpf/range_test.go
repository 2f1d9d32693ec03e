package bpf

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
	"tombolo.io/tombolo/bpf/bpftest"
)

// within returns ranges of a service.
func within(service uint32, prefixes ...string) (out []Range) {
	for _, p := range prefixes {
		out = append(out, Range{service, netip.MustParsePrefix(p)})
	}
	return out
}

func (w *world) letIn(t testing.TB, ranges ...Range) {
	t.Helper()
	for _, r := range ranges {
		if err := w.Ranges.Put(r); err != nil {
			t.Fatal(err)
		}
	}
}

// guard makes a service one that keeps clients out.
func (w *world) guard(n uint32, g Guard) {
	s := w.Services.Read(n)
	s.Guard = g
	w.Services.Write(n, s)
}

// Ranges are put, read, found again by the next process, and removed.
func TestRanges(t *testing.T) {
	w := newWorld(t)
	want := within(1, "0.0.0.0/0", "10.0.0.0/8", "10.1.2.3/32", "::/0", "2001:db8::/32", "2001:db8::1/128", "::/90")
	want = append(want, within(2, "10.0.0.0/8")...)
	w.letIn(t, want...)
	w.letIn(t, want[0]) // once more
	check := func() {
		t.Helper()
		got, err := w.Ranges.All()
		less := func(a, b Range) int {
			return slices.Compare([]byte(a.String()), []byte(b.String()))
		}
		slices.SortFunc(got, less)
		slices.SortFunc(want, less)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%v, want %v (%v)", got, want, err)
		}
	}
	check()
	w.close(t)
	w.Datapath = load(t, w.Env, SmallSizes())
	check()
	for _, r := range []Range{want[0], want[0], want[3]} { // one is not there any more
		if err := w.Ranges.Delete(r); err != nil {
			t.Error(err)
		}
		want = slices.DeleteFunc(want, func(o Range) bool { return o == r })
	}
	check()
}

func TestRangesFull(t *testing.T) {
	sizes := SmallSizes()
	sizes.Frontends = 4
	d := load(t, bpftest.New(t), sizes)
	var err error
	for n := range uint32(5) {
		err = d.Ranges.Put(Range{n + 1, netip.MustParsePrefix("10.0.0.0/8")})
	}
	if !errors.Is(err, ErrNoRoom) || d.Ranges.Cap() != 4 {
		t.Errorf("the fifth range of %d: %v", d.Ranges.Cap(), err)
	}
}

// Packets come to a guarded service from its ranges alone, those of their family: what
// comes from elsewhere is dropped, and counted as that.
func TestPacketRanges(t *testing.T) {
	for _, row := range []struct {
		name   string
		ranges []string
		in     bool
	}{
		{"none", nil, false},
		{"another network", []string{"198.51.101.0/24", "2001:db8:52::/64"}, false},
		{"the client's network", []string{"198.51.100.0/24", "2001:db8:51::/64"}, true},
		{"the client", []string{"198.51.100.7/32", "2001:db8:51::7/128"}, true},
		{"its neighbour", []string{"198.51.100.6/32", "2001:db8:51::6/128"}, false},
		{"a larger network and its neighbour", []string{"198.51.0.0/16", "198.51.100.6/32", "2001:db8::/32", "2001:db8:51::6/128"}, true},
		{"all", []string{"0.0.0.0/0", "::/0"}, true},
	} {
		r := newRoad(t, PacketsConfig{})
		each(t, func(t *testing.T, f family, protocol uint8) {
			for _, port := range []uint16{elsewhere, here, nowhere} {
				n := r.numberOf(t, f, port, protocol)
				r.guard(n, Guard{Packets: true})
				r.letIn(t, within(n, row.ranges...)...)
				r.letIn(t, within(n+100, "0.0.0.0/0", "::/0")...) // another service lets all in
				before := r.counts(t)
				in := f.to(port, protocol)
				verdict, out := r.enters(t, in)
				now := r.counts(t)
				dropped := now.Dropped["source range"] - before.Dropped["source range"]
				switch {
				case !row.in && (verdict != shot || dropped != 1):
					t.Errorf("%s: port %d: verdict %d, %d dropped; %+v", row.name, port, int32(verdict), dropped, now)
				case row.in && dropped != 0:
					t.Errorf("%s: port %d: dropped", row.name, port)
				case row.in && port == elsewhere && verdict == redirected:
					checkLed(t, f, in, parseFrame(t, out), false)
				case row.in && port == elsewhere:
					t.Errorf("%s: verdict %d", row.name, int32(verdict))
				}
				if in.flags = ack; !row.in { // nor does a connection that is not known get an answer
					if verdict, _ := r.enters(t, in); verdict != shot {
						t.Errorf("%s: port %d: a later segment: verdict %d", row.name, port, int32(verdict))
					}
				}
			}
		})
		r.Packets.Close()
	}
}

// The ranges of one family let nobody in of the other, also those that have all of its
// bits.
func TestPacketRangesOfAnotherFamily(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	each(t, func(t *testing.T, f family, protocol uint8) {
		n := r.numberOf(t, f, elsewhere, protocol)
		r.guard(n, Guard{Packets: true})
		r.letIn(t, within(n, map[bool]string{true: "::/0", false: "0.0.0.0/0"}[f.client.Is4()])...)
		if verdict, _ := r.enters(t, f.to(elsewhere, protocol)); verdict != shot {
			t.Errorf("verdict %d", int32(verdict))
		}
	})
}

// Who is connected stays when the range goes, and is reset when the backend goes; a new
// connection, and the next datagram, is dropped.
func TestPacketRangeGoes(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	each(t, func(t *testing.T, f family, protocol uint8) {
		n := r.numberOf(t, f, elsewhere, protocol)
		ranges := within(n, netip.PrefixFrom(f.client, 24).Masked().String())
		r.guard(n, Guard{Packets: true})
		r.letIn(t, ranges...)
		first := r.forwards(t, f.to(elsewhere, protocol))
		if err := r.Ranges.Delete(ranges[0]); err != nil {
			t.Fatal(err)
		}
		next := f.to(elsewhere, protocol)
		next.flags = ack
		verdict, out := r.enters(t, next)
		if protocol == unix.IPPROTO_UDP {
			if verdict != shot {
				t.Errorf("the next datagram: verdict %d", int32(verdict))
			}
			return
		}
		if got := parseFrame(t, out); verdict != redirected || got.from != first.from || got.dst != first.dst {
			t.Errorf("the next segment: verdict %d, from %v to %v", int32(verdict), got.from, got.dst)
		}
		again := f.to(elsewhere, protocol)
		again.seq += 1 << 20
		if verdict, _ := r.enters(t, again); verdict != shot {
			t.Errorf("a new SYN from the same port: verdict %d", int32(verdict))
		}
		r.Backends.SetState(r.backendOf(t, netip.AddrPortFrom(f.remote, pod), protocol), Free)
		verdict, out = r.enters(t, next)
		if got := parseFrame(t, out); verdict != redirected || got.flags&rst == 0 || got.dst != next.from {
			t.Errorf("after the backend is gone: verdict %d, %+v", int32(verdict), got)
		}
	})
}

// numberOf returns the number of a service of the road.
func (r *road) numberOf(t *testing.T, f family, port uint16, protocol uint8) uint32 {
	t.Helper()
	all, err := r.Frontends.All()
	if err != nil {
		t.Fatal(err)
	}
	n := all[Frontend{Address: netip.AddrPortFrom(f.service, port), Protocol: protocol, Scope: ScopePacket}]
	if n == 0 {
		t.Fatalf("no service at port %d", port)
	}
	return n
}

// Sockets of pods and those of the node are kept out apart from each other, and are
// told so at once.
func TestSocketsAreKeptOut(t *testing.T) {
	env := bpftest.New(t)
	w := &world{Env: env, backends: 1}
	// The environment's own place is the node, any other is a pod.
	if err := env.Do(func() error { w.Datapath = load(t, env, SmallSizes()); return w.Attach() }); err != nil {
		t.Fatal(err)
	}
	pod := env.NewPlace(t)
	stream, datagram := tcp("203.0.113.1:80"), udp("203.0.113.1:80")
	other := tcp("10.96.0.1:80")
	w.put(t, 1, stream, active(w.Serve(t, local[false], "node")), active(pod.Serve(t, local[false], "pod")))
	w.put(t, 2, datagram, active(w.Serve(t, local[false], "node")))
	w.put(t, 3, other, active(w.Serve(t, local[false], "node")))
	for _, row := range []struct {
		guard     Guard
		node, pod bool
	}{
		{Guard{}, true, true}, {Guard{Packets: true}, true, true},
		{Guard{Pods: true}, true, false}, {Guard{Node: true}, false, true}, {Guard{true, true, true}, false, false},
	} {
		w.guard(1, row.guard)
		w.guard(2, row.guard)
		for place, in := range map[*bpftest.Place]bool{env.Place: row.node, pod: row.pod} {
			before := w.counters(t).Refused
			refused := uint64(0)
			for _, f := range []Frontend{stream, datagram} {
				kind := map[uint8]int{unix.IPPROTO_TCP: unix.SOCK_STREAM, unix.IPPROTO_UDP: unix.SOCK_DGRAM}[f.Protocol]
				to := bpftest.Sockaddr(f.Address, false)
				calls := map[string]func(fd int) error{"connect": func(fd int) error { return unix.Connect(fd, to) }}
				if kind == unix.SOCK_DGRAM {
					calls["sendto"] = func(fd int) error { return unix.Sendto(fd, []byte("?"), 0, to) }
				}
				for name, call := range calls {
					err := call(place.Socket(t, unix.AF_INET, kind, 0))
					if !in {
						refused++
					}
					// The backends of the one are not those of the other: who is let in may be refused there.
					if got := errors.Is(err, unix.EPERM); got == in {
						t.Errorf("%+v: %s of protocol %d, the node's: %v: %v", row.guard, name, f.Protocol, place == env.Place, err)
					}
				}
			}
			if n := w.counters(t).Refused - before; n != refused {
				t.Errorf("%+v: %d are counted as refused, want %d", row.guard, n, refused)
			}
		}
	}
	if got := w.ask(t, env.Place, other); got != "node" {
		t.Errorf("at the other address %q answered", got)
	}
}

// A datagram of a socket that has a backend is refused as well.
func TestDatagramsAreKeptOut(t *testing.T) {
	w := newWorld(t)
	f := udp("203.0.113.1:80")
	w.put(t, 1, f, active(w.Serve(t, local[false], "one")))
	fd := w.Socket(t, unix.AF_INET, unix.SOCK_DGRAM, 0)
	send := func() error { return unix.Sendto(fd, []byte("?"), 0, bpftest.Sockaddr(f.Address, false)) }
	if err := send(); err != nil {
		t.Fatal(err)
	}
	w.guard(1, Guard{Pods: true})
	if err := send(); !errors.Is(err, unix.EPERM) {
		t.Errorf("the next datagram: %v", err)
	}
}

// A process of a version that knows the map takes over the maps of one that did not.
func TestRangesAreAdded(t *testing.T) {
	w, f, client := begin(t)
	dir := w.dir
	w.close(t)
	if err := os.Remove(filepath.Join(dir, mapsMapRanges)); err != nil {
		t.Fatal(err)
	}
	w.Datapath = load(t, w.Env, SmallSizes())
	if !w.Restored() || w.dir != dir {
		t.Fatal("the maps were not taken over")
	}
	w.letIn(t, within(1, "10.0.0.0/8")...)
	if err := w.Attach(); err != nil {
		t.Fatal(err)
	}
	if got := w.ask(t, w.Place, f); got != "one" {
		t.Errorf("%q answered", got)
	}
	client.finish(t)
	w.close(t)
	w.Datapath = load(t, w.Env, SmallSizes())
	if got, err := w.Ranges.All(); err != nil || len(got) != 1 {
		t.Errorf("the next process finds %v (%v)", got, err)
	}
}
