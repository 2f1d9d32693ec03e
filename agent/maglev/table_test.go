package maglev

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// pods returns n backends of equal weight in one cluster.
func pods(cluster uint16, n int) []Backend {
	out := make([]Backend, n)
	for i := range out {
		a := netip.AddrFrom4([4]byte{10, byte(cluster), byte(i >> 8), byte(i)})
		out[i] = Backend{Cluster: cluster, Address: netip.AddrPortFrom(a, 8080), Weight: 100}
	}
	return out
}

// counts returns how many slots each backend has.
func counts(table []uint32, backends int) []int {
	out := make([]int, backends)
	for _, b := range table {
		out[b]++
	}
	return out
}

// slowTable is the table as the paper tells it: whole permutations as lists,
// turns taken by looking at how much everybody has had so far.
func slowTable(backends []Backend, size uint32) []uint32 {
	order := slices.Clone(backends)
	slices.SortFunc(order, func(x, y Backend) int { return cmp.Compare(seedOf(x), seedOf(y)) })
	order = slices.DeleteFunc(order, func(b Backend) bool { return b.Weight == 0 })
	if len(order) == 0 {
		return nil
	}
	heaviest := slices.MaxFunc(order, func(x, y Backend) int { return cmp.Compare(x.Weight, y.Weight) }).Weight
	table := map[uint32]uint32{}
	had := make([]int, len(order))
	for round := 1; ; round++ {
		for i, b := range order {
			share := math.Ceil(float64(round) * float64(b.Weight) / float64(heaviest))
			if float64(had[i]) >= share {
				continue
			}
			had[i]++
			for _, slot := range slowPermutation(b, size) {
				if _, taken := table[slot]; !taken {
					table[slot] = uint32(slices.Index(backends, b))
					break
				}
			}
			if len(table) == int(size) {
				out := make([]uint32, size)
				for slot, b := range table {
					out[slot] = b
				}
				return out
			}
		}
	}
}

func slowPermutation(b Backend, size uint32) []uint32 {
	seed := seedOf(b)
	offset := uint64(reduce(mix(seed, streamNext), size))
	skip := uint64(reduce(mix(seed, streamStep), size-1)) + 1
	out := make([]uint32, size)
	for j := range uint64(size) {
		out[j] = uint32((offset + j*skip) % uint64(size))
	}
	return out
}

func TestTableIsThePapers(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var b Builder
	for range 60 {
		backends := pods(uint16(1+r.IntN(511)), r.IntN(40))
		uneven := r.IntN(2) == 0
		for i := range backends {
			if uneven {
				backends[i].Weight = uint32(r.IntN(5) * r.IntN(1000))
			}
		}
		r.Shuffle(len(backends), func(i, j int) { backends[i], backends[j] = backends[j], backends[i] })
		size := sizes[r.IntN(2)]
		if got, want := b.Table(nil, backends, size), slowTable(backends, size); !slices.Equal(got, want) {
			t.Fatalf("%d slots for %v:\n got %v\nwant %v", size, backends, got, want)
		}
	}
}

func TestOrderOfInputDoesNotMatter(t *testing.T) {
	backends := slices.Concat(pods(1, 7), pods(2, 7))
	want := Table(backends, 2039)
	turned := slices.Clone(backends)
	slices.Reverse(turned)
	for slot, b := range Table(turned, 2039) {
		if turned[b] != backends[want[slot]] {
			t.Fatalf("slot %d: %v, and %v when the input is turned round", slot, backends[want[slot]], turned[b])
		}
	}
}

func TestEdges(t *testing.T) {
	one := pods(1, 1)
	for slot, b := range Table(one, 251) {
		if b != 0 {
			t.Fatalf("slot %d of a lone backend's table is %d", slot, b)
		}
	}
	if got := Table(nil, 251); got != nil {
		t.Errorf("a table of no backends: %v", got)
	}
	none := pods(1, 3)
	for i := range none {
		none[i].Weight = 0
	}
	if got := Table(none, 251); got != nil {
		t.Errorf("a table of backends without weight: %v", got)
	}
	for i, n := range counts(Table(pods(1, 400), 251), 400) {
		if n > 1 {
			t.Errorf("backend %d of 400 has %d of 251 slots", i, n)
		}
	}
	prefix := []uint32{7, 7}
	var b Builder
	if got := b.Table(prefix, one, 251); len(got) != 253 || got[1] != 7 || got[2] != 0 {
		t.Errorf("appending to a prefix gave %d slots: %v …", len(got), got[:3])
	}
}

func TestOddSizeIsRefused(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a table of 1000 slots was built")
		}
	}()
	Table(pods(1, 2), 1000)
}

func TestEqualWeightsAreEven(t *testing.T) {
	for _, n := range []int{2, 3, 10, 100, 655} {
		size := SizeFor(n)
		got := counts(Table(pods(3, n), size), n)
		mean := float64(size) / float64(n)
		for i, c := range got {
			if off := math.Abs(float64(c)-mean) / mean; off > 0.02 {
				t.Errorf("%d backends, %d slots: backend %d has %d, %.1f %% off", n, size, i, c, 100*off)
			}
		}
	}
}

func TestWeightsGiveTheirShare(t *testing.T) {
	backends := pods(1, 6)
	weights := []uint32{1, 50, 100, 100, 200, 65535}
	for _, scale := range [][]uint32{weights, weights[:5], {1, 1, 2, 3, 5, 0}} {
		sum := 0.0
		for i := range backends {
			backends[i].Weight = 0
			if i < len(scale) {
				backends[i].Weight = scale[i]
				sum += float64(scale[i])
			}
		}
		for i, c := range counts(Table(backends, 16381), len(backends)) {
			want := 16381 * float64(backends[i].Weight) / sum
			// The first round gives the light ones their slot early, at the
			// cost of all, in proportion.
			if math.Abs(float64(c)-want) > 1+6*want/16381 {
				t.Errorf("weights %v: backend %d has %d slots, want about %.1f", scale, i, c, want)
			}
		}
	}
}

func TestRemovingOneMovesFewOthers(t *testing.T) {
	for _, c := range []struct {
		backends int
		size     uint32
		bound    float64 // of the other slots
	}{
		{10, 1021, 0.03},
		{10, 8191, 0.01},
		{100, 16381, 0.016},
		{100, 65521, 0.007},
	} {
		sum, rounds := 0.0, 0
		for set := range uint16(1 + 100/c.backends) {
			all := pods(1+set, c.backends)
			before := Table(all, c.size)
			for gone := range all {
				sum += movedWithout(all, before, gone)
				rounds++
			}
		}
		mean := sum / float64(rounds)
		t.Logf("%d backends, %d slots: %.2f %% of the others' slots move", c.backends, c.size, 100*mean)
		if mean > c.bound {
			t.Errorf("%d backends, %d slots: %.2f %% of the others' slots move, want at most %.1f %%", c.backends, c.size, 100*mean, 100*c.bound)
		}
	}
}

// movedWithout returns the share of the others' slots that change hands when
// the backend at index gone goes.
func movedWithout(all []Backend, before []uint32, gone int) float64 {
	after := Table(slices.Delete(slices.Clone(all), gone, gone+1), uint32(len(before)))
	moved, others := 0, 0
	for slot, b := range before {
		if int(b) == gone {
			continue
		}
		others++
		now := after[slot]
		if int(now) >= gone {
			now++
		}
		if now != b {
			moved++
		}
	}
	return float64(moved) / float64(others)
}

// TestGolden holds what nodes of different versions must agree on.
func TestGolden(t *testing.T) {
	mixed := slices.Concat(pods(1, 5), pods(511, 5))
	mixed = append(mixed, Backend{Cluster: 7, Address: netip.MustParseAddrPort("[2001:db8::5]:53"), Weight: 30})
	for _, c := range []struct {
		name     string
		backends []Backend
		size     uint32
		want     string
	}{
		{"even", pods(1, 10), 1021, "7 6 0 dd3a71d8542a34b6"},
		{"mixed", mixed, 2039, "4 4 4 24d29f80f7eef6ac"},
	} {
		h := fnv.New64a()
		table := Table(c.backends, c.size)
		if err := binary.Write(h, binary.BigEndian, table); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%d %d %d %x", table[0], table[1], table[2], h.Sum64()); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestSizes(t *testing.T) {
	for _, s := range Sizes() {
		for d := uint32(2); d*d <= s; d++ {
			if s%d == 0 {
				t.Errorf("size %d is not prime", s)
			}
		}
	}
	for _, c := range []struct {
		backends int
		want     uint32
	}{{0, 251}, {2, 251}, {3, 509}, {10, 1021}, {655, 65521}, {1000, 131071}, {1 << 40, 131071}} {
		if got := SizeFor(c.backends); got != c.want {
			t.Errorf("%d backends: %d slots, want %d", c.backends, got, c.want)
		}
	}
}

func BenchmarkTables(b *testing.B) {
	const tables = 10_000
	sets := make([][]Backend, tables)
	for i := range sets {
		sets[i] = pods(1, 10)
		for j := range sets[i] {
			a := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), byte(j)})
			sets[i][j].Address = netip.AddrPortFrom(a, 8080)
		}
	}
	var build Builder
	buf := make([]uint32, 0, 1021)
	b.ReportAllocs()
	for b.Loop() {
		for _, s := range sets {
			buf = build.Table(buf[:0], s, 1021)
		}
	}
}
