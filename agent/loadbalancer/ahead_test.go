package loadbalancer

import (
	"slices"
	"sync"
	"testing"
	"time"
)

// newAheadHarness has other cores decide ahead, one service at a time, and all
// settled once.
func newAheadHarness(t *testing.T, seed uint64) *harness {
	t.Helper()
	h := newHarness(t, seed, newRAM(testLimits))
	h.batch = 1
	h.start()
	h.tell(true)
	h.converge()
	return h
}

// TestRandomStepsAhead takes the random steps with other cores deciding ahead, one
// service at a time.
func TestRandomStepsAhead(t *testing.T) {
	h := newAheadHarness(t, 4)
	stop := h.read(2)
	defer stop()
	h.steps(300)
}

// TestVerdictsWhileSettling passes verdicts on while services are settled of which
// some were decided before: none of them may keep what was known then.
func TestVerdictsWhileSettling(t *testing.T) {
	h := newAheadHarness(t, 5)
	stop := h.read(2)
	defer stop()
	for range 200 {
		for range 1 + h.r.IntN(3) {
			h.w.step()
		}
		h.tell(false)
		var said []Verdict
		for range 1 + h.r.IntN(4) {
			c := uint16(1 + h.r.IntN(3))
			h.clusters[c] = ClusterDown * Health(h.r.IntN(2))
			said = append(said, Verdict{Cluster: c, Down: h.clusters[c], Known: Everything})
		}
		var saying sync.WaitGroup
		saying.Go(func() {
			for _, v := range said {
				h.l.verdicts <- v
			}
		})
		h.l.settle(h.now)
		h.takeRest(&saying)
		h.converge()
	}
}

// takeRest takes in what verdicts are said until all were.
func (h *harness) takeRest(saying *sync.WaitGroup) {
	all := make(chan struct{})
	go func() { saying.Wait(); close(all) }()
	for {
		select {
		case v := <-h.l.verdicts:
			h.l.judge(v)
		case <-all:
			return
		}
	}
}

// clock notes when a verdict about a cluster is stored that nobody hears of besides.
type clock struct {
	Target
	stored map[uint16]time.Time
}

func (c *clock) SetClusterHealth(cluster uint16, h Health) {
	c.Target.SetClusterHealth(cluster, h)
	c.stored[cluster] = time.Now()
}

// BenchmarkVerdictWhileFlipping passes a verdict on every two milliseconds while the
// tables of all services are built anew, and says when its byte was stored.
func BenchmarkVerdictWhileFlipping(b *testing.B) {
	l := fresh(b)
	l.take(benchBatch(benchShared()))
	finishAll(l)
	c := &clock{Target: l.target}
	l.target, l.state.target = c, c
	var took []time.Duration
	down := Health(0)
	for b.Loop() {
		down ^= ClusterDown
		c.stored = map[uint16]time.Time{}
		stop := make(chan struct{})
		said := make(chan map[uint16]time.Time, 1)
		go func() { said <- sayVerdicts(l, stop) }()
		l.judge(Verdict{Cluster: 2, Down: down, Known: Everything})
		l.settle(time.Now())
		close(stop)
		for cluster, at := range <-said {
			took = append(took, c.stored[cluster].Sub(at))
			l.judge(Verdict{Cluster: cluster, Down: 0, Known: Everything})
		}
		finishAll(l)
	}
	slices.Sort(took)
	us := func(part float64) float64 { return float64(took[int(part*float64(len(took)-1))].Microseconds()) }
	b.ReportMetric(us(0.5), "us-median")
	b.ReportMetric(us(0.99), "us-p99")
	b.ReportMetric(us(1), "us-worst")
}

// sayVerdicts passes on that clusters are down which have no service, one after the
// other until stop, and returns when each was said.
func sayVerdicts(l *LoadBalancer, stop chan struct{}) map[uint16]time.Time {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	said := map[uint16]time.Time{}
	for cluster := uint16(3); cluster < 500; cluster++ {
		select {
		case <-stop:
			return said
		case <-tick.C:
		}
		at := time.Now()
		select {
		case l.verdicts <- Verdict{Cluster: cluster, Down: ClusterDown, Known: Everything}:
			said[cluster] = at
		case <-stop:
			return said
		}
	}
	return said
}
