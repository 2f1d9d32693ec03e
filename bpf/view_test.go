package bpf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"tombolo.io/tombolo/bpf/bpftest"
)

// What is written through the mapping, the kernel sees, and a process that
// takes the maps over reads the same.
func TestViewsAndKernelAgree(t *testing.T) {
	w := newWorld(t)
	service := Service{
		Primary:  Extent{Offset: 7, Size: 251},
		Backup:   Extent{Offset: 300, Size: 503},
		Affinity: 3 * time.Hour,
		Owner:    1<<63 | 5,
	}
	last := w.Services.Len() - 1
	w.Services.Write(last, service)
	var raw mapsService
	lookup(t, w.maps[mapsMapServices], last, &raw)
	if want := (mapsService{Primary: 251<<32 | 7, Backup: 503<<32 | 300, Settings: 10800<<32 | 1, Owner: 1<<63 | 5}); raw != want {
		t.Errorf("the kernel has service %+v, want %+v", raw, want)
	}

	backend := Backend{
		Service: last, Address: netip.MustParseAddrPort("10.1.2.3:8080"), Protocol: 6,
		State: Draining, Kind: Host, Cluster: 511, Node: 77, Zone: 9, Generation: 1,
	}
	n := w.Backends.Len() - 1
	if g := w.Backends.Write(n, backend); g != 1 {
		t.Errorf("the first generation is %d", g)
	}
	var b mapsBackend
	lookup(t, w.maps[mapsMapBackends], n, &b)
	if b.Head != 1|2<<32|1<<40|511<<48 || b.Service != last || b.Node != 77 || b.Protocol != 6 || b.Zone != 9 {
		t.Errorf("the kernel has backend %+v", b)
	}
	address := binary.NativeEndian.AppendUint32(nil, b.Address.Word[3])
	port := binary.NativeEndian.AppendUint16(nil, b.Port)
	if !bytes.Equal(address, []byte{10, 1, 2, 3}) || !bytes.Equal(port, []byte{0x1f, 0x90}) {
		t.Errorf("the kernel has address %v and port %v", address, port)
	}

	w.Slots.Write(w.Slots.Len()-3, []uint32{4, 5, 6})
	var pair mapsSlots
	lookup(t, w.maps[mapsMapSlots], w.Slots.Len()/2-1, &pair)
	if pair.Backend != [2]uint32{5, 6} {
		t.Errorf("the kernel has slots %v", pair.Backend)
	}
	w.Nodes.Set(w.Nodes.Len()-1, PodsDown)
	w.Clusters.Set(3, ClusterDown)
	var health uint64
	lookup(t, w.maps[mapsMapNodeHealth], w.Nodes.Len()-1, &health)
	if health != 0b1010 {
		t.Errorf("the kernel has health %d", health)
	}

	w.close(t)
	w.Datapath = load(t, w.Env, SmallSizes())
	if got := w.Services.Read(last); got != service {
		t.Errorf("service %+v", got)
	}
	if got := w.Backends.Read(n); got != backend {
		t.Errorf("backend %+v", got)
	}
	if got := w.Slots.Read(Extent{w.Slots.Len() - 3, 3}); !slices.Equal(got, []uint32{4, 5, 6}) {
		t.Errorf("slots %v", got)
	}
	if w.Nodes.Get(w.Nodes.Len()-1) != PodsDown || w.Clusters.Get(3) != ClusterDown || w.Clusters.Get(4) != 0 {
		t.Error("health was lost")
	}
	if g := w.Backends.Write(n, backend); g != 2 {
		t.Errorf("the second generation is %d", g)
	}
}

func lookup(t *testing.T, m *ebpf.Map, key uint32, value any) {
	t.Helper()
	if err := m.Lookup(key, value); err != nil {
		t.Fatal(err)
	}
}

// SetState changes nothing but the state.
func TestSetState(t *testing.T) {
	d := load(t, bpftest.New(t), SmallSizes())
	b := Backend{Address: netip.MustParseAddrPort("[fd00::1]:1"), State: Active, Kind: Host, Cluster: 511}
	b.Generation = d.Backends.Write(1, b)
	for _, s := range []State{Down, Draining, Free, Active} {
		d.Backends.SetState(1, s)
		b.State = s
		if got := d.Backends.Read(1); got != b {
			t.Errorf("%+v, want %+v", got, b)
		}
	}
}

// Frontends are put, replaced, read and removed; a grace period passes between
// the removal or replacement of an entry and the next one made, and only then.
func TestFrontends(t *testing.T) {
	d := load(t, bpftest.New(t), SmallSizes())
	graces := 0
	wait := d.Frontends.grace
	d.Frontends.grace = func() error { graces++; return wait() }
	a, b, c := tcp("10.96.0.1:80"), udp("10.96.0.1:80"), tcp("[fd00::1]:80")
	want := make(map[Frontend]uint32)
	step := func(name string, wantGraces int, put map[Frontend]uint32, remove ...Frontend) {
		t.Helper()
		graces = 0
		if err := errors.Join(d.Frontends.Delete(remove...), d.Frontends.Put(put)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, f := range remove {
			delete(want, f)
		}
		maps.Copy(want, put)
		if got, err := d.Frontends.All(); err != nil || !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v (%v)", name, got, want, err)
		}
		if graces != wantGraces {
			t.Errorf("%s: %d grace periods, want %d", name, graces, wantGraces)
		}
	}
	step("three", 0, map[Frontend]uint32{a: 1, b: 2, c: 3})
	step("the same", 0, map[Frontend]uint32{a: 1, c: 3})
	step("remove, make", 1, map[Frontend]uint32{c: 3}, a, c)
	step("remove what is not there", 0, nil, a)
	step("make", 0, map[Frontend]uint32{a: 1})
	step("replace", 0, map[Frontend]uint32{a: 4})
	step("make after that", 1, map[Frontend]uint32{tcp("10.96.0.9:1"): 9})
	step("remove", 0, nil, tcp("10.96.0.9:1"))
	d.Frontends.Settled() // the caller has waited
	step("make after waiting", 0, map[Frontend]uint32{tcp("10.96.0.9:1"): 9})
}

// A full map is an error that names the frontend, and keeps what it holds.
func TestFrontendsFull(t *testing.T) {
	sizes := SmallSizes()
	sizes.Frontends = 4
	d := load(t, bpftest.New(t), sizes)
	put := make(map[Frontend]uint32)
	for port := range uint16(5) {
		put[Frontend{Address: netip.AddrPortFrom(netip.MustParseAddr("10.96.0.1"), port), Protocol: 6}] = 1
	}
	if err := d.Frontends.Put(put); err == nil {
		t.Error("five frontends fit where four do")
	}
	if got, err := d.Frontends.All(); err != nil || len(got) != 4 || d.Frontends.Cap() != 4 {
		t.Errorf("%v of %d (%v)", got, d.Frontends.Cap(), err)
	}
}

// The stated memory is what the kernel says the maps take, to within a tenth.
// Before Linux 6.4 it only multiplied keys and values, and then it says more.
func TestMemory(t *testing.T) {
	for _, sizes := range []Sizes{SmallSizes(), DefaultSizes()} {
		d := load(t, bpftest.New(t), sizes)
		var total, product uint64
		for name := range sizes.entries() {
			if name == mapsMapRanges {
				continue // takes what it holds
			}
			m := d.maps[name]
			info, err := m.Info()
			if err != nil {
				t.Fatal(err)
			}
			n, ok := info.Memlock()
			if !ok {
				t.Fatalf("the kernel does not say what map %s takes", name)
			}
			total += n
			product += (uint64(m.KeySize()+m.ValueSize()+7)/8*8*uint64(m.MaxEntries()) + 4095) / 4096 * 4096
		}
		stated := sizes.Memory()
		if stated > total*11/10 || stated < total*9/10 && total != product {
			t.Errorf("stated are %d bytes, the kernel says %d", stated, total)
		}
	}
}

func TestSizes(t *testing.T) {
	for name, change := range map[string]func(*Sizes){
		"odd slots":      func(s *Sizes) { s.Slots++ },
		"odd sockets":    func(s *Sizes) { s.Sockets = 1000 },
		"no sockets":     func(s *Sizes) { s.Sockets = 0 },
		"no services":    func(s *Sizes) { s.Services = 0 },
		"too many slots": func(s *Sizes) { s.Slots = 1 << 29 },
	} {
		s := DefaultSizes()
		change(&s)
		if err := s.validate(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, s := range []Sizes{DefaultSizes(), SmallSizes()} {
		if err := s.validate(); err != nil {
			t.Error(err)
		}
	}
}
