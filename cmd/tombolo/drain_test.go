package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/inspect"
	"tombolo.io/tombolo/internal/control"
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

// What an order came to is a line for people and an object for programs.
func TestOrdersToDrainSayWhatHappens(t *testing.T) {
	dir, asked, down := t.TempDir(), "", ""
	agent := inOrder("agent")
	agent.Pages = map[string]control.Page{"/verdicts": func(*http.Request) (any, error) {
		dead := clustermesh.Verdict{Cluster: "east", Node: "n3", State: clustermesh.VerdictDown, PodsDown: clustermesh.IPv4, Reason: "silent"}
		return health.Snapshot{Verdicts: []health.Verdict{{Verdict: dead}, {Verdict: clustermesh.Verdict{Cluster: "east", Node: "n4", State: clustermesh.VerdictUp}}}}, nil
	}}
	serve(t, dir, agent)
	leader := inOrder("apiserver")
	leader.Pages = map[string]control.Page{"/drains/plan": func(r *http.Request) (any, error) {
		down = r.URL.Query().Get("down")
		return inspect.Plan{Services: []inspect.Loss{{Service: "demo/echo", Backends: 8, Left: 6}}}, nil
	}}
	leader.Actions = map[string]control.Page{"/drains": func(r *http.Request) (any, error) {
		asked = r.URL.RawQuery
		return struct{}{}, nil
	}}
	serve(t, dir, leader)
	for _, c := range []struct{ args, asked, out string }{
		{"drain node n2", "name=n2&what=node", "node/n2 is draining: new connections of 1 service go elsewhere, those that are there go on: see tombolo drains"},
		{"drain service demo/echo --deadline 5m", "deadline=5m0s&name=demo%2Fecho&what=service",
			"service/demo/echo is draining: new connections of 1 service go elsewhere, those that are there have 5m0s: see tombolo drains"},
		{"undrain cluster east", "name=east&over=30s&what=cluster", "cluster/east comes back in steps, all of it in 30s: see tombolo drains"},
		{"undrain node n2 --over 0s", "name=n2&over=0s&what=node", "node/n2 is back"},
		{"drain node n2 -o json", "name=n2&what=node", `{ "what": "node", "name": "n2", "state": "Draining", "services": 1 }`},
		{"undrain node n2 --over 1m -o json", "name=n2&over=1m0s&what=node", `{ "what": "node", "name": "n2", "state": "Returning", "over": "1m0s" }`},
		{"undrain node n2 --over 0s -o yaml", "name=n2&over=0s&what=node", "name: n2 state: Back what: node"},
	} {
		out, err := run(t, append(strings.Fields(c.args), "--run-dir", dir)...)
		if got := strings.Join(strings.Fields(out), " "); err != nil || got != c.out || asked != c.asked {
			t.Errorf("%s: %v\n got %s\nwant %s\nasked %s", c.args, err, got, c.out, asked)
		}
	}
	var told []clustermesh.Verdict
	if err := json.Unmarshal([]byte(down), &told); err != nil || len(told) != 1 || told[0].Node != "n3" || told[0].PodsDown != clustermesh.IPv4 {
		t.Errorf("of whom the agent calls down the plan was told %q, %v", down, err)
	}
}
