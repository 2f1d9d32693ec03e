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

// TestEndedByTheKernel holds that whom the kernel ends while lists are empty is kept
// with its address, until a list has pods.
func TestEndedByTheKernel(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	gone := map[string]bool{"/p0": true}
	l := newLedger(knownPods(3), func(cgroup string) presence {
		if gone[cgroup] {
			return ended
		}
		return running
	}, now)
	l.take(nil, now)
	first := l.ended
	gone["/p1"] = true
	l.take(nil, now)
	if len(first) != 1 || !slices.Equal(first["p0"], []netip.Addr{addressOf(0)}) {
		t.Errorf("ended after the first list, or changed since: %v", first)
	}
	if len(l.ended) != 2 || !slices.Equal(l.ended["p1"], []netip.Addr{addressOf(1)}) || len(l.pods()) != 1 {
		t.Errorf("ended %v, pods %v", l.ended, l.pods())
	}
	l.take([]*sandbox{{id: "old-p2", uid: "p2", created: 1}}, now)
	if len(l.ended) != 0 || len(l.pods()) != 1 {
		t.Errorf("a list with pods: ended %v, pods %v", l.ended, l.pods())
	}
}
