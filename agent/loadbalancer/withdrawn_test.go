package loadbalancer

import (
	"maps"
	"net/netip"
	"testing"

	"tombolo.io/tombolo/clustermesh/global"
)

// TestWithdrawnPodsAreEnded holds that a pod that ended, says its node, leaves
// its table, and is ended, also when all others are down, and comes back when its node's
// word is taken back; another cluster's word does not touch it.
func TestWithdrawnPodsAreEnded(t *testing.T) {
	h := newHarness(t, 1, newRAM(testLimits))
	h.w.half(false, -1)
	h.tell(true)
	h.converge()
	const service, endpoint = 2, 2
	address := endpointAddr(1, service, endpoint, false)
	pod := global.Pod{Cluster: "west", Address: address}
	has := func() bool {
		for n := range h.k.Limits().Backends {
			b := h.k.Backend(n)
			if h.k.Usable(n) && b.Standing != Ended && b.Address.Addr() == address {
				return true
			}
		}
		return false
	}
	say := func(cluster string, pods ...global.Pod) {
		w := withdrawal{cluster, map[global.Pod]string{}}
		for _, p := range pods {
			w.pods[p] = "it ended"
		}
		h.l.withdraw(w)
		h.drain(20)
	}
	if !has() {
		t.Fatal("the pod is no backend: this shows nothing")
	}
	before := h.selects()
	say("west", pod)
	if has() {
		t.Error("withdrawn, and it has an entry")
	}
	for c := uint16(1); c <= 3; c++ {
		h.l.judge(verdict{nodeName{cluster: c}, ClusterDown})
	}
	h.drain(20)
	if has() {
		t.Error("all are down, and who is withdrawn is used")
	}
	for c := uint16(1); c <= 3; c++ {
		h.l.judge(verdict{nodeName{cluster: c}, 0})
	}
	say("north", global.Pod{Cluster: "north", Address: netip.MustParseAddr("10.2.2.3")})
	if has() {
		t.Error("another cluster's pods were withdrawn, and this one is back")
	}
	say("west")
	say("north")
	if after := h.selects(); !maps.Equal(before, after) {
		t.Errorf("nobody is withdrawn any more:\n got %v\nwant %v", after, before)
	}
}
