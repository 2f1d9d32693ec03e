package cri

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"tombolo.io/tombolo/agent/pods"
)

// knownPods are pods p0, p1 … of before a restart, each with its address and cgroup.
func knownPods(n int) map[string]pods.Pod {
	out := map[string]pods.Pod{}
	for i := range n {
		uid := fmt.Sprint("p", i)
		out[uid] = pods.Pod{UID: uid, Sandbox: "old-" + uid, Cgroup: "/" + uid, Addresses: []netip.Addr{addressOf(i)}}
	}
	return out
}

func addressOf(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}) }

// TestYoungerSandbox holds that an old sandbox, and its address, go at once with a list
// that has a younger one of the same pod, however odd the list is and whatever runs in
// the pod's cgroup; and that the pods that have no other are asked about as ever.
func TestYoungerSandbox(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	l := newLedger(knownPods(10), func(cgroup string) presence {
		if cgroup == "/p9" {
			return ended
		}
		return running
	}, now)
	var list []*sandbox
	for i := range 3 {
		uid := fmt.Sprint("p", i)
		list = append(list, &sandbox{id: "new-" + uid, uid: uid, created: 2})
	}
	l.take(list, now)
	for i := range 3 {
		l.answered(fmt.Sprint("new-p", i), sandboxStatus{ready: true, addresses: []netip.Addr{addressOf(100 + i)}}, now)
	}
	got := l.pods()
	for i := range 9 {
		want := addressOf(i) // doubted
		if i < 3 {
			want = addressOf(100 + i)
		}
		if a := got[fmt.Sprint("p", i)].Addresses; !slices.Equal(a, []netip.Addr{want}) {
			t.Errorf("p%d has %v, want %v alone", i, a, want)
		}
	}
	if n, _ := l.doubted(); n != 6 || len(got) != 9 {
		t.Errorf("%d pods, %d doubted, want 9 and 6", len(got), n)
	}
}
