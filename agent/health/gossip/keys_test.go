package gossip

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// Keys are exchanged, step by step and not everywhere at once, while everybody
// talks: not one word is lost.
func TestRotation(t *testing.T) {
	r := newRig(t)
	nodes := []int{1, 2, 3, 4}
	all := r.pool(nodes...)
	said := 0
	talk := func() {
		for range 5 {
			said++
			for _, p := range all {
				p.Broadcast(fmt.Appendf(nil, "%d", said))
			}
			r.until("all heard it", func() bool {
				for i, p := range all {
					p.look()
					for _, from := range nodes {
						if from != i+1 && p.heard[fmt.Sprintf("n%d %d", from, said)] != 1 {
							return false
						}
					}
				}
				return true
			})
		}
	}
	old := r.ring.Keys[0].Secret
	for range 3 {
		fresh := clustermesh.NewGossipSecret()
		for _, ring := range []*clustermesh.Keyring{ringOf(0, old, fresh), ringOf(1, old, fresh), ringOf(0, fresh)} {
			r.ring = ring
			for _, p := range all {
				p.learn(r.batch(nodes...))
				talk()
			}
		}
		old = fresh
	}
	for _, p := range all {
		if s := p.Snapshot(); s.Refused["key"] != 0 || len(s.Keys) != 1 || s.Keys[0] != old.ID() {
			t.Errorf("%+v", s)
		}
	}
	if !together(nodes, all...) {
		t.Error("somebody is missing")
	}
}

// The keyring has every key that may be under way, and none that is not.
func TestKeys(t *testing.T) {
	a, b, c, d := clustermesh.GossipSecret{1}, clustermesh.GossipSecret{2}, clustermesh.GossipSecret{3}, clustermesh.GossipSecret{4}
	now := time.Unix(1000, 0)
	var k keys
	step := func(ring *clustermesh.Keyring, pass time.Duration, want ...clustermesh.GossipSecret) {
		t.Helper()
		now = now.Add(pass)
		if ring != nil {
			if err := k.set(ring, now); err != nil {
				t.Fatal(err)
			}
		}
		if err := k.expire(now); err != nil {
			t.Fatal(err)
		}
		var got []clustermesh.GossipSecret
		for _, key := range k.live.GetKeys() {
			got = append(got, clustermesh.GossipSecret(key))
		}
		slices.SortFunc(got[1:], func(x, y clustermesh.GossipSecret) int { return int(x[0]) - int(y[0]) })
		if !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
	step(ringOf(0, a), 0, a)
	step(ringOf(0, a, b), time.Second, a, b)
	step(ringOf(1, a, b), time.Second, b, a)
	step(ringOf(0, b), time.Second, b, a)
	step(nil, grace-1, b, a)
	step(nil, 1, b)
	// The store was lost: none of its keys are ours.
	step(ringOf(0, c), time.Second, c, b)
	step(ringOf(1, c, d), time.Second, d, b, c)
	held := k.live.GetKeys() // as one who decrypts
	before := fmt.Sprint(held)
	step(nil, grace, d, c)
	if fmt.Sprint(held) != before {
		t.Error("keys moved under the eyes of who decrypts with them")
	}
	// One that comes back stays.
	step(ringOf(0, a), time.Second, a, c, d)
	step(ringOf(0, c), time.Second, c, a, d)
	step(nil, grace, c)
}
