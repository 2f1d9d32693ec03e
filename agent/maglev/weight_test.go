package maglev

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestSharesOfWideWeights holds what users are promised: at 100 slots a backend
// and more, every backend has its share to within 2 %, and to within a slot
// where 2 % are less than one.
func TestSharesOfWideWeights(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 300 {
		n := 1 + r.IntN(60)
		backends := pods(uint16(1+r.IntN(511)), n)
		spread := []uint32{2, 10, 1000, 1 << 16, 1 << 30}[r.IntN(5)]
		sum := 0.0
		for i := range backends {
			backends[i].Weight = 1 + r.Uint32N(spread)
			sum += float64(backends[i].Weight)
		}
		size := SizeFor(n)
		for i, got := range counts(Table(backends, size), n) {
			want := float64(size) * float64(backends[i].Weight) / sum
			if off := math.Abs(float64(got) - want); off > 1 && off > want*0.02 {
				t.Fatalf("%d backends of weights to %d, %d slots: backend %d weighs %d and has %d slots, want %.1f", n, spread, size, i, backends[i].Weight, got, want)
			}
		}
	}
}

// TestAWeightMovesLittle changes the weights of some backends and counts the
// slots that change hands, beside those that must.
func TestAWeightMovesLittle(t *testing.T) {
	equal := func(n int, w uint32) []Backend {
		b := pods(1, n)
		for i := range b {
			b[i].Weight = w
		}
		return b
	}
	tiers := func(first, second uint32) []Backend {
		b := equal(10, first)
		for _, p := range pods(2, 10) {
			p.Weight = second
			b = append(b, p)
		}
		return b
	}
	for _, c := range []struct {
		name          string
		before, after []Backend
		extra         float64 // of all slots, beside those that must move
	}{
		{"one of 10 a tenth lighter", equal(10, 100), with(equal(10, 100), 3, 90), 0.025},
		{"one of 100 a tenth lighter", equal(100, 100), with(equal(100, 100), 3, 90), 0.025},
		{"one of 10 coming back", with(equal(10, 1000), 3, 100), with(equal(10, 1000), 3, 250), 0.025},
		{"one of 10 on another scale", equal(10, 100), equal(10, 100_000_000), 0},
		{"a tier of 10 spills 2 %", tiers(100_000_000, 1), tiers(98_000_000, 2_000_000), 0.025},
		{"and 30 % and then 37 %", tiers(70_000_000, 30_000_000), tiers(63_000_000, 37_000_000), 0.025},
	} {
		size := SizeFor(len(c.before))
		before, after := Table(c.before, size), Table(c.after, size)
		moved, must := 0, 0
		for slot := range before {
			if before[slot] != after[slot] {
				moved++
			}
		}
		n := len(c.before)
		now := counts(after, n)
		for i, was := range counts(before, n) {
			must += max(0, was-now[i])
		}
		extra := float64(moved-must) / float64(size)
		t.Logf("%s: %.2f %% of the slots move, %.2f %% must", c.name, 100*float64(moved)/float64(size), 100*float64(must)/float64(size))
		if extra > c.extra {
			t.Errorf("%s: %.2f %% of the slots move without need, want at most %.1f %%", c.name, 100*extra, 100*c.extra)
		}
	}
}

func with(b []Backend, i int, weight uint32) []Backend {
	b = slices.Clone(b)
	b[i].Weight = weight
	return b
}
