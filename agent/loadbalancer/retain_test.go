package loadbalancer

import (
	"maps"
	"net/netip"
	"testing"

	"tombolo.io/tombolo/agent/maglev"
)

// TestWeightsOfAnotherScale holds that a backend which is kept weighs beside
// others what it weighed, whatever scale the tables are on.
func TestWeightsOfAnotherScale(t *testing.T) {
	k := newRAM(testLimits)
	s := &state{target: k}
	backends := make([]maglev.Backend, 3)
	for i := range backends {
		backends[i] = maglev.Backend{Cluster: 1, Address: netip.AddrPortFrom(endpointAddr(0, 0, i, false), 80)}
	}
	found := func(weights ...uint32) table {
		for i := range backends {
			backends[i].Weight = weights[i]
		}
		slots := maglev.Table(backends, 1021)
		for i := range slots {
			slots[i]++ // backend numbers 1 to 3
		}
		k.PutSlots(0, slots)
		return table{at: Extent{0, 1021}}
	}
	known := func(weights ...uint32) table {
		at := table{at: Extent{0, 1021}}
		for i, w := range weights {
			at.members = append(at.members, member{uint32(i + 1), w})
		}
		return at
	}
	for _, c := range []struct {
		name string
		of   table
		mean uint32
		want map[uint32]uint32
	}{
		{"equal stays equal", known(7, 7, 7), 100, map[uint32]uint32{1: 100, 2: 100, 3: 100}},
		{"of a table of two tiers to one", known(700_000_000, 150_000_000, 150_000_000), 100, map[uint32]uint32{1: 210, 2: 45, 3: 45}},
		{"and to two", known(100, 100, 200), 400_000_000, map[uint32]uint32{1: 300_000_000, 2: 300_000_000, 3: 600_000_000}},
		{"never nothing", known(1, 1<<30, 1<<30), 100, map[uint32]uint32{1: 1, 2: 149, 3: 149}},
		{"no table", table{}, 100, map[uint32]uint32{}},
	} {
		if got := s.weights(c.of, c.mean); !maps.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	if got := s.weights(found(5, 5, 5), 1000); !maps.Equal(got, map[uint32]uint32{1: 1000, 2: 1000, 3: 1000}) {
		t.Errorf("equal in a table that was found: %v", got)
	}
	got := s.weights(found(100, 100, 200), 300)
	for n, want := range map[uint32]uint32{1: 225, 2: 225, 3: 450} {
		if got[n] < want-3 || got[n] > want+3 {
			t.Errorf("in a table that was found: backend %d weighs %d, want about %d", n, got[n], want)
		}
	}
}
