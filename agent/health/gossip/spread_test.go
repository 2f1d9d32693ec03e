package gossip

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkSpread tells how long it takes until what one agent says has reached all
// others, on one machine that has all of them.
func BenchmarkSpread(b *testing.B) {
	for _, size := range []int{5, 20, 60} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			r := newRig(b)
			var nodes []int
			for i := range size {
				nodes = append(nodes, i+1)
			}
			all := r.gathered(nodes)
			var worst time.Duration
			said := 0
			for b.Loop() {
				said++
				began := time.Now()
				all[said%size].Broadcast(fmt.Appendf(nil, "%d", said))
				for i, p := range all {
					if i != said%size {
						<-p.Received()
					}
				}
				worst = max(worst, time.Since(began))
			}
			b.ReportMetric(float64(worst.Microseconds())/1000, "ms/worst")
		})
	}
}
