package census

import (
	"context"
	"log/slog"
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

// orders are what a balancer and a judge were told.
type orders struct {
	withdrawn map[global.Pod]string
	confirmed []health.Name
}

func (o *orders) SetWithdrawn(_ context.Context, _ string, pods map[global.Pod]string, _ uint64) error {
	o.withdrawn = pods
	return nil
}

func (o *orders) Confirm(_ context.Context, who health.Name, _ health.Life) error {
	o.confirmed = append(o.confirmed, who)
	return nil
}

func (o *orders) Spread(context.Context, health.Name) error { return nil }
func (o *orders) Tell(health.Event)                         {}

// TestMemory holds that an agent that starts without the store asks about the pods
// that it knew, over the real protocol, and withdraws who ended; not those at a node's
// own address, for the maps cannot tell them from others there.
func TestMemory(t *testing.T) {
	dir := t.TempDir()
	host := netip.MustParseAddr("172.20.1.2")
	first := New(Config{Node: "n0", RunDir: dir}, Deps{Log: slog.New(slog.DiscardHandler)})
	first.own, first.sources = health.Name{Cluster: "east", Node: "n0"}, []netip.Addr{loopback}
	first.addresses = map[health.Name][]netip.Addr{n1: {loopback, host}}
	first.pairs = map[health.Name][]Pair{n1: {{netip.MustParseAddr("10.1.0.1"), "a"}, {netip.MustParseAddr("10.1.0.2"), "b"}, {host, "h"}}}
	first.keep(first.memorize())

	a := answerAt(t, rosterOf(t, 2, 1))
	a.run.Store(pods.SetOf(pods.Pod{UID: "a", Addresses: []netip.Addr{netip.MustParseAddr("10.1.0.1")}}, pods.Pod{UID: "new", Addresses: []netip.Addr{netip.MustParseAddr("10.1.0.2")}}))
	var o orders
	c := New(Config{Node: "n0", RunDir: dir, Port: a.at.Port()}, Deps{
		Balanced: func() *loadbalancer.Snapshot { return &loadbalancer.Snapshot{} }, Balancer: &o, Judge: &o, Log: slog.New(slog.DiscardHandler)})
	if err := c.recollect(); err != nil {
		t.Fatal(err)
	}
	c.server.roster.Store(rosterOf(t, 1, 2))
	c.desk.sighted(n1, life(1), time.Now())
	c.inquire(t.Context())
	select {
	case r := <-c.results:
		c.settle(t.Context(), r)
	case <-time.After(10 * time.Second):
		t.Fatal("nobody is asked")
	}
	if _, ok := o.withdrawn[global.Pod{Cluster: n1.Cluster, Address: netip.MustParseAddr("10.1.0.2"), UID: "b"}]; !ok || len(o.withdrawn) != 1 {
		t.Errorf("withdrawn %v, want b alone", o.withdrawn)
	}
	if len(o.confirmed) != 1 || o.confirmed[0] != n1 {
		t.Errorf("confirmed %v", o.confirmed)
	}
}

// TestMemoryOfOthers holds that what is damaged or of another node is not used.
func TestMemoryOfOthers(t *testing.T) {
	for name, text := range map[string]string{
		"damaged": `{"version":1,"node":"n0"`, "another node's": `{"version":1,"node":"n9","cluster":"east"}`, "another version": `{"version":9,"node":"n0"}`,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, memoryFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := New(Config{Node: "n0", RunDir: dir}, Deps{})
		if err := c.recollect(); err == nil || c.recalled {
			t.Errorf("%s: %v, used %v", name, err, c.recalled)
		}
	}
}
