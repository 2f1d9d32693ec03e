package check

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// way is a path that lets so many bytes pass, and may say so, truly or not.
type way struct {
	passes, device int
	says           int
	loss           float64
}

func (w way) search(random *rand.Rand) (Size, int) {
	p := &Path{Size: Size{Device: w.device}}
	s := newSearch(p, ipv4)
	for n := 1; ; n++ {
		answered := false
		for range sizings {
			answered = answered || s.next <= w.passes && random.Float64() >= w.loss
		}
		var by netip.Addr
		if !answered && w.says > 0 && s.next > w.says {
			by = router
		}
		s.learn(answered, by, w.says)
		if s.next == 0 || n > maxRounds {
			return p.Size, n
		}
	}
}

func TestSearch(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		way
		told   bool
		rounds int
	}{
		{way{passes: 1500, device: 1500}, false, 1},
		{way{passes: 9000, device: 9000}, false, 1},
		{way{passes: 1300, device: 1500, says: 1300}, true, 4},
		{way{passes: 1300, device: 1500}, false, 13},
		{way{passes: 1420, device: 9000}, false, 16},
		{way{passes: 200, device: 1500}, false, 13},
		// The way back is narrower and says so to the other end alone.
		{way{passes: 1300, device: 1500, says: 1400}, false, 14},
	} {
		t.Run(fmt.Sprintf("%+v", c.way), func(t *testing.T) {
			got, rounds := c.search(random)
			if got.Passes != c.passes || got.ToldBy.IsValid() != c.told || rounds > c.rounds {
				t.Errorf("found %+v in %d rounds, want %d at most", got, rounds, c.rounds)
			}
		})
	}
}

// Loss alone makes no short path, or hardly ever: 10 % each way.
func TestSearchUnderLoss(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	wrong := 0
	for range 1000 {
		if got, _ := (way{passes: 1500, device: 1500, loss: 0.19}).search(random); got.Passes != 1500 {
			wrong++
		}
	}
	if wrong > 2 {
		t.Errorf("%d of 1000 searches found too little", wrong)
	}
}
