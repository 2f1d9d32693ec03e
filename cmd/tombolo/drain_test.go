package main

import (
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/inspect"
)

func TestDrainTable(t *testing.T) {
	now := time.Unix(1700000000, 0)
	n := func(n uint64) *uint64 { return &n }
	drain := func(name string, connections *uint64, silent ...string) inspect.Drain {
		return inspect.Drain{Cluster: "east", What: clustermesh.DrainNode, Name: name, State: "Draining", Moved: 100,
			Since: now.Add(-time.Minute), Connections: connections, Silent: silent}
	}
	ends, back := drain("n1", n(12)), drain("n5", nil)
	ends.Deadline = now.Add(time.Minute)
	back.State, back.Moved, back.Back = "Returning", 90, now.Add(20*time.Second)
	var out strings.Builder
	table := drainTable([]inspect.Drain{ends, drain("n2", n(0), "n9"), drain("n3", n(7), "n8", "n9"), drain("n4", nil, "n8", "n9"), back}, now)
	if err := table.print(&out); err != nil {
		t.Fatal(err)
	}
	want := `CLUSTER WHAT NAME STATE MOVED CONNECTIONS SINCE NEXT REASON
east node n1 Draining 100% 12 1m0s ended in 1m0s -
east node n2 Draining 100% 0 (n9 does not say) 1m0s - -
east node n3 Draining 100% 7 (2 nodes do not say) 1m0s - -
east node n4 Draining 100% - 1m0s - -
east node n5 Returning 90% - 1m0s back in 20s -
`
	if got := fields(out.String()); strings.TrimSpace(got) != strings.TrimSpace(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
