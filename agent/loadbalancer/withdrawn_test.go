package loadbalancer

import (
	"maps"
	"net/netip"
	"testing"

	"tombolo.io/tombolo/clustermesh/global"
	"tombolo.io/tombolo/clustermesh/view"
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
		w := withdrawal{cluster: cluster, pods: map[global.Pod]string{}}
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
		h.l.judge(Verdict{Cluster: c, Down: ClusterDown, Known: Everything})
	}
	h.drain(20)
	if has() {
		t.Error("all are down, and who is withdrawn is used")
	}
	for c := uint16(1); c <= 3; c++ {
		h.l.judge(Verdict{Cluster: c, Down: 0, Known: Everything})
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

// TestWithdrawnFromMemory holds that before the store has said anything a pod that
// ended takes no connection by the maps that were found, and that this is not undone
// before the store rules; nor then, while nobody vouches for its cluster.
func TestWithdrawnFromMemory(t *testing.T) {
	h := newHarness(t, 1, newRAM(testLimits))
	h.w.half(false, -1)
	h.tell(true)
	h.converge()
	address := endpointAddr(1, 2, 2, false)
	standings := func() map[Standing]int {
		out := map[Standing]int{}
		for n := range h.k.Limits().Backends {
			if b := h.k.Backend(n); h.k.Usable(n) && b.Address.Addr() == address {
				out[b.Standing]++
			}
		}
		return out
	}
	before := h.selects()
	n := standings()[Active]
	if n == 0 {
		t.Fatal("the pod is no backend: this shows nothing")
	}
	woken := 0
	h.start()
	h.l.config.Down = func() { woken++ }
	h.l.withdraw(withdrawal{cluster: "west", pods: map[global.Pod]string{{Cluster: "west", Address: address, UID: "u"}: "it ended"}})
	h.drain(3)
	if got := standings(); got[Ended] != n || len(got) != 1 || woken == 0 {
		t.Errorf("%v, want %d ended; told %d times", got, n, woken)
	}
	h.l.withdraw(withdrawal{cluster: "west"})
	h.drain(3)
	if got := standings(); got[Ended] != n {
		t.Errorf("taken back before the store rules: %v", got)
	}
	h.unsynced["west"] = true
	h.tell(true)
	h.drain(20)
	if got := standings(); got[Active] > 0 {
		t.Errorf("nobody vouches for its cluster, and it takes connections: %v", got)
	}
	clear(h.unsynced)
	h.tell(true)
	h.converge()
	if after := h.selects(); !maps.Equal(before, after) {
		t.Errorf("the store rules:\n got %v\nwant %v", after, before)
	}
}

// TestWithdrawnUntilTheBatch holds that who is withdrawn no longer, because of what a
// batch says, is not used before the load balancer has that batch.
func TestWithdrawnUntilTheBatch(t *testing.T) {
	h := newHarness(t, 1, newRAM(testLimits))
	h.w.half(false, -1)
	h.tell(true)
	h.converge()
	one, other := endpointAddr(1, 2, 2, false), endpointAddr(1, 2, 3, false)
	withdrawn := func() string {
		names := ""
		for _, a := range []netip.Addr{one, other} {
			if _, gone := h.l.withdrawn[global.Pod{Cluster: "west", Address: a}]; gone {
				names += a.String() + " "
			}
		}
		return names
	}
	say := func(taken uint64, addresses ...netip.Addr) {
		w := withdrawal{cluster: "west", pods: map[global.Pod]string{}, taken: taken}
		for _, a := range addresses {
			w.pods[global.Pod{Cluster: "west", Address: a}] = "it ended"
		}
		h.l.withdraw(w)
		h.drain(20)
	}
	now := h.l.view.Taken()
	say(now, one)
	say(now + 2)
	if got, want := withdrawn(), one.String()+" "; got != want {
		t.Errorf("two batches early: withdrawn %q, want %q", got, want)
	}
	h.l.take(view.Batch{})
	say(now+2, other)
	if got, want := withdrawn(), one.String()+" "+other.String()+" "; got != want {
		t.Errorf("one batch early, and another ended: withdrawn %q, want %q", got, want)
	}
	h.l.take(view.Batch{})
	if got, want := withdrawn(), other.String()+" "; got != want {
		t.Errorf("with the batch: withdrawn %q, want %q", got, want)
	}
	say(now + 2)
	if got := withdrawn(); got != "" {
		t.Errorf("taken back: withdrawn %q", got)
	}
}

// TestInheritedWithdrawals holds that an agent that starts does not list a pod that an
// earlier one had withdrawn, until that is taken back.
func TestInheritedWithdrawals(t *testing.T) {
	h := newHarness(t, 1, newRAM(testLimits))
	h.w.half(false, -1)
	h.tell(true)
	h.converge()
	address := endpointAddr(1, 2, 2, false)
	used := func() bool {
		for n := range h.k.Limits().Backends {
			if b := h.k.Backend(n); h.k.Usable(n) && b.Address.Addr() == address && b.Standing != Ended {
				return true
			}
		}
		return false
	}
	if !used() {
		t.Fatal("the pod is no backend: this shows nothing")
	}
	gone := map[global.Pod]string{{Cluster: "west", Address: address}: "it ended"}
	h.l.withdraw(withdrawal{cluster: "west", pods: gone})
	h.drain(20)
	h.start()
	h.l.Inherit(gone)
	h.tell(true)
	for range 50 {
		h.drain(1)
		if used() {
			t.Fatal("it is used, and nobody took back that it ended")
		}
	}
	h.l.withdraw(withdrawal{cluster: "west"})
	h.drain(20)
	if !used() {
		t.Error("it is withdrawn no longer, and not used")
	}
}
