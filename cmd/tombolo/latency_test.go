package main

import (
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/agent"
	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/agent/health/gossip"
)

func TestLatencyTable(t *testing.T) {
	l := &health.Latency{
		From: []health.Distances{
			{Node: "east-1", To: []health.Distance{
				{Cluster: "east", Node: "east-2", RTT: 153 * time.Microsecond},
				{Cluster: "west", Node: "west-1", RTT: 12_345 * time.Microsecond},
				{Cluster: "west", Node: "west-2", RTT: 9 * time.Millisecond},
				{Cluster: "west", Node: "west-3", RTT: 40 * time.Millisecond},
			}},
			{Node: "east-2"},
		},
		Missing: []string{"east-3"},
	}
	for by, want := range map[string]string{
		byCluster: "FROM    east   west\neast-1  150µs  12.3ms (worst 40ms)\neast-2  -      -\n",
		byNode:    "FROM    east/east-2  west/west-1  west/west-2  west/west-3\neast-1  150µs        12.3ms       9ms          40ms\neast-2  -            -            -            -\n",
	} {
		var out strings.Builder
		if err := latencyTable(l, by).print(&out); err != nil || out.String() != want {
			t.Errorf("got, %v\n%swant\n%s", err, out.String(), want)
		}
	}
	var out strings.Builder
	printMissing(&out, l)
	if out.String() != "no answer from the agents of east-3\n" {
		t.Errorf("got %q", out.String())
	}
}

func TestGossipTable(t *testing.T) {
	now := time.Unix(1_000, 0)
	s := &agent.Gossip{Members: []gossip.Member{
		{Node: "east-1", State: gossip.StateAlive, Since: now.Add(-time.Minute)}, {Node: "east-2", State: gossip.StateUnknown},
	}}
	var out strings.Builder
	if err := gossipTable(s, now).print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"NODE", "alive    1m0s", "unknown  -"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
}
