package agent

import (
	"maps"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/clustermesh"
)

// What is down, cut off, set by hand or not monitored is named; that a node is new
// is not worth a line, nor are the nodes of a cluster that is named.
func TestConcerns(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	verdict := func(cluster, node string, state clustermesh.VerdictState, age time.Duration) health.Verdict {
		return health.Verdict{Verdict: clustermesh.Verdict{Cluster: cluster, Node: node, State: state, Since: now.Add(-age)}}
	}
	byHand := verdict("east", "east-3", clustermesh.VerdictUp, time.Hour)
	byHand.Override = true
	whole := verdict("west", "", "down", 0)
	whole.AddressDown = clustermesh.AllFamilies
	half := verdict("west", "", "down", 0)
	half.AddressDown = clustermesh.IPv6
	unsent := verdict("east", "east-4", "up", time.Minute)
	unsent.Unsent = true
	for _, c := range []struct {
		what string
		s    Failover
		want []string
	}{
		{"off", Failover{Mode: health.Off}, []string{"failover is off"}},
		{"all is well", Failover{Verdicts: []health.Verdict{verdict("east", "", "up", 0), verdict("east", "east-1", "suspect", time.Hour), verdict("east", "east-2", "draining", time.Hour)}}, nil},
		{"new", Failover{Verdicts: []health.Verdict{verdict("east", "east-1", "unmonitored", time.Second)}}, nil},
		{"unmonitored", Failover{Verdicts: []health.Verdict{verdict("east", "east-1", "unmonitored", time.Minute)}}, []string{"node east/east-1 is unmonitored since 1970-01-12"}},
		{"not asked by one family", Failover{Verdicts: []health.Verdict{unsent}}, []string{"node east/east-4 is up since"}},
		{"by hand", Failover{Verdicts: []health.Verdict{byHand}}, []string{"node east/east-3 is up"}},
		{"a cluster", Failover{Verdicts: []health.Verdict{whole, verdict("west", "west-1", "down", 0), verdict("zoo", "z-1", "down", 0)}},
			[]string{"cluster west is down", "node zoo/z-1 is down"}},
		{"a cluster, by one family", Failover{Verdicts: []health.Verdict{half, verdict("west", "west-1", "down", 0)}}, []string{"cluster west is down", "node west/west-1 is down"}},
		{"blind", Failover{Blind: now}, []string{"this node hears nobody since"}},
		{"blind by one family", Failover{Blind: now, BlindIn: clustermesh.IPv6, Sees: clustermesh.IPv4}, []string{"this node hears nobody by IPv6 since"}},
		{"remembered", Failover{Remembered: &health.Remembered{Since: now.Add(-200 * time.Second), Clusters: []string{"east", "west"}}},
			[]string{"etcd has not listed the nodes of east, west since the agent started: they are judged as remembered, which is 3m0s old (1970-01-12T13:43:20Z)"}},
		{"starved", Failover{Starved: now.Add(-time.Minute), Stalls: 7}, []string{"this node judges nobody since 1970-01-12T13:45:40Z: its agent gets too little time, and was never on time for a second (7 pauses"}},
		{"slower", Failover{Wanted: 50 * time.Millisecond, Interval: 180 * time.Millisecond, Expected: 975 * time.Millisecond}, nil},
		{"slow by wish", Failover{Wanted: time.Second, Interval: time.Second, Expected: 3435 * time.Millisecond}, nil},
		{"slow", Failover{Wanted: 50 * time.Millisecond, Interval: 305 * time.Millisecond, Watched: 305, Expected: 1350 * time.Millisecond},
			[]string{"it takes up to 1.35s to find a node dead: 305 are watched here, each asked every 305ms instead of 50ms"}},
		{"no sockets", Failover{Problem: "no permission"}, []string{"other nodes cannot be judged: no permission"}},
	} {
		got := concerns(&c.s, now)
		same := len(got) == len(c.want)
		for i := range min(len(got), len(c.want)) {
			same = same && strings.HasPrefix(got[i], c.want[i])
		}
		if !same {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}

// Each cluster is in one state, and its nodes are counted by theirs.
func TestFailoverSamples(t *testing.T) {
	verdict := func(cluster, node string, state clustermesh.VerdictState) health.Verdict {
		return health.Verdict{Verdict: clustermesh.Verdict{Cluster: cluster, Node: node, State: state}}
	}
	s := &Failover{Stalls: 2, Verdicts: []health.Verdict{
		verdict("east", "", "draining"), verdict("east", "east-1", "draining"), verdict("east", "east-2", "draining"),
		verdict("west", "", "suspect"), verdict("west", "west-1", "suspect"), verdict("west", "west-2", "down"), verdict("west", "west-3", "unmonitored"),
	}}
	got := map[string]float64{}
	for _, sample := range failoverSamples(s) {
		if sample.Value != 0 {
			got[strings.Join(append([]string{sample.Name}, sample.Labels...), " ")] = sample.Value
		}
	}
	want := map[string]float64{
		"tombolo_verdict_stalls_total":                         2,
		"tombolo_verdict_cluster cluster east state draining":  1,
		"tombolo_verdict_cluster cluster west state suspect":   1,
		"tombolo_verdict_nodes cluster east state draining":    2,
		"tombolo_verdict_nodes cluster west state suspect":     1,
		"tombolo_verdict_nodes cluster west state down":        1,
		"tombolo_verdict_nodes cluster west state unmonitored": 1,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
