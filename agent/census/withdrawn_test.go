package census

import (
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/agent/pods"
	"tombolo.io/tombolo/clustermesh/global"
)

// newRestarted is a census of a node with a run directory, and what its balancer was told.
func newRestarted(dir string, observe bool) (*Census, *orders) {
	o := &orders{}
	return New(Config{Node: "n0", RunDir: dir, Observe: observe}, Deps{
		Balanced: func() *loadbalancer.Snapshot { return &loadbalancer.Snapshot{Synced: true} }, Balancer: o, Judge: o, Log: slog.New(slog.DiscardHandler)}), o
}

// TestInherit holds that what is withdrawn stays so over a restart, until its node says
// another thing or the mirror is fresh, and that this is inherited too.
func TestInherit(t *testing.T) {
	dir := t.TempDir()
	pairs := []Pair{{netip.MustParseAddr("10.1.0.1"), "a"}, {netip.MustParseAddr("10.1.0.2"), "b"}}
	of := func(p Pair) global.Pod { return global.Pod{Cluster: n1.Cluster, Address: p.Address, UID: p.UID} }
	says := func(c *Census, states ...pods.State) {
		c.settle(t.Context(), result{who: n1, pairs: pairs, answer: Answer{Life: life(1), States: states}})
		c.keepWithdrawn(time.Now().Add(time.Hour))
	}
	first, told := newRestarted(dir, false)
	if all := first.Inherit(); len(all) != 0 {
		t.Errorf("the first inherits %v", all)
	}
	says(first, pods.Ended, pods.Reused)
	want := maps.Clone(told.withdrawn)
	if len(want) != 2 {
		t.Fatalf("withdrawn are %v: this shows nothing", want)
	}

	second, told := newRestarted(dir, false)
	if got := second.Inherit(); !maps.Equal(got, want) {
		t.Errorf("the second inherits %v, want %v", got, want)
	}
	says(second, pods.Lives, pods.Unknown)
	if _, still := told.withdrawn[of(pairs[1])]; !still || len(told.withdrawn) != 1 {
		t.Errorf("one lives, of the other nothing is known: withdrawn are %v", told.withdrawn)
	}

	third, _ := newRestarted(dir, false)
	if got := third.Inherit(); len(got) != 1 {
		t.Errorf("the third inherits %v", got)
	}
	if !third.desk.mirrored(n1.Cluster, true, time.Time{}, time.Now()) {
		t.Error("the mirror is fresh, and nothing that was inherited ended")
	}
	third.withdraw(t.Context(), n1.Cluster)
	third.keepWithdrawn(time.Now().Add(time.Hour))
	fourth, _ := newRestarted(dir, false)
	if got := fourth.Inherit(); len(got) != 0 {
		t.Errorf("after the mirror was fresh %v is inherited", got)
	}
}

// TestInheritObserving holds that who only observes inherits nothing, nor does the next.
func TestInheritObserving(t *testing.T) {
	dir := t.TempDir()
	first, _ := newRestarted(dir, false)
	first.settle(t.Context(), result{who: n1, pairs: []Pair{{netip.MustParseAddr("10.1.0.1"), "a"}}, answer: Answer{Life: life(1), States: []pods.State{pods.Ended}}})
	first.keepWithdrawn(time.Now().Add(time.Hour))
	if _, err := os.Stat(filepath.Join(dir, withdrawnFile)); err != nil {
		t.Fatal(err)
	}
	for _, observe := range []bool{true, false} {
		c, _ := newRestarted(dir, observe)
		if got := c.Inherit(); len(got) != 0 {
			t.Errorf("observing %v: inherits %v", observe, got)
		}
	}
}

// TestInheritOfOthers holds that what is damaged or of another node is not used.
func TestInheritOfOthers(t *testing.T) {
	const nodes = `,"nodes":[{"cluster":"west","node":"n1","pods":[{"address":"10.1.0.1","uid":"a","reason":"it ended"}]}]`
	for name, text := range map[string]string{
		"damaged": `{"version":1,"node":"n0"` + nodes, "another node's": `{"version":1,"node":"n9"` + nodes + `}`, "another version": `{"version":9,"node":"n0"` + nodes + `}`,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, withdrawnFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, _ := newRestarted(dir, false)
		if got := c.Inherit(); len(got) != 0 {
			t.Errorf("%s: inherits %v", name, got)
		}
	}
}

// TestWithdrawnOnceNamed holds that who was spared, because the maps know addresses alone,
// is withdrawn once the store has named the pods.
func TestWithdrawnOnceNamed(t *testing.T) {
	c, told := newRestarted(t.TempDir(), false)
	host := netip.MustParseAddr("172.20.1.2")
	c.recalled, c.addresses, c.own = true, map[health.Name][]netip.Addr{n1: {host}}, health.Name{Cluster: "east", Node: "n0"}
	c.settle(t.Context(), result{who: n1, pairs: []Pair{{host, "h"}}, answer: Answer{Life: life(1), States: []pods.State{pods.Ended}}})
	if len(told.withdrawn) != 0 {
		t.Errorf("withdrawn at a node's own address: %v", told.withdrawn)
	}
	c.inquire(t.Context())
	if len(told.withdrawn) != 1 || c.recalled {
		t.Errorf("the store has named the pods, and withdrawn are %v", told.withdrawn)
	}
}
