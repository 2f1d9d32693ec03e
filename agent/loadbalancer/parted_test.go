package loadbalancer

import (
	"testing"
	"time"
)

// TestParted deletes the object of a dead node: nobody is led there while its endpoints
// are listed, and nothing is known of it any more when they are not.
func TestParted(t *testing.T) {
	for what, who := range map[string]nodeName{"a node": {2, "n1"}, "a cluster": {cluster: 2}} {
		t.Run(what, func(t *testing.T) {
			h := newHarness(t, 1, newRAM(testLimits))
			h.w.half(false, -1)
			h.tell(true)
			h.converge()
			down := PodsDown
			if who.name == "" {
				down = ClusterDown
			}
			h.l.judge(Verdict{Cluster: 2, Node: who.name, Down: down, Known: Everything})
			h.drain(5)
			h.l.judge(Verdict{Cluster: 2, Node: who.name, Gone: true})
			for range 5 { // whatever else happens
				h.w.services[0][0].timeout += time.Second
				h.tell(false)
				h.drain(5)
				h.now = h.now.Add(2 * lookEvery)
			}
			h.tables(who, true)
			if h.l.held[who] != down {
				t.Fatalf("held is %d while its endpoints are listed", h.l.held[who])
			}

			for i := range h.w.services[1] {
				h.w.services[1][i].defined = false
			}
			h.tell(false)
			h.now = h.now.Add(2 * lookEvery)
			h.drain(20)
			if len(h.l.held) != 0 || len(h.l.parted.from) != 0 || len(h.l.state.nodes.verdicts) != 0 {
				t.Errorf("nobody lists it: held %v, parted %v, verdicts %v", h.l.held, h.l.parted.from, h.l.state.nodes.verdicts)
			}
		})
	}
}
