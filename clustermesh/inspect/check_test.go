package inspect_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/inspect"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/internal/etcdtest"
)

// closed is a finding about a node of west.
func closed(node, family string) clustermesh.Finding {
	return clustermesh.Finding{Level: clustermesh.FindingWrong, Code: "port-closed", Cluster: "west", Node: node, Family: family,
		Problem: "it is closed", Mend: "open it"}
}

var smallMTU = clustermesh.Finding{Level: clustermesh.FindingNote, Code: "small-mtu", Cluster: "west", Node: "w1", Problem: "narrow", Mend: "nothing"}

func TestConclude(t *testing.T) {
	paths := []clustermesh.CheckPath{{Cluster: "west", Family: "IPv4", Nodes: 2, Checked: 2}}
	answers := map[string]*clustermesh.CheckAnswer{
		"n1": {Node: "n1", Version: "v1", Kernel: "6.12", Paths: paths, Findings: []clustermesh.Finding{closed("w2", "IPv4"), closed("w1", "IPv4"), closed("w1", "IPv6"), smallMTU}},
		"n2": {Node: "n2", Findings: []clustermesh.Finding{closed("w1", "IPv4")}, More: 3},
		"n5": {Node: "n5", Findings: []clustermesh.Finding{{Level: clustermesh.FindingWrong, Code: "mirror", Cluster: "west", Problem: "stale", Mend: "wait"}}},
	}
	got := inspect.Conclude("east", []string{"n1", "n2", "n3", "n4", "n5"}, answers, map[string]bool{"n1": true, "n4": true})
	var lines []string
	for _, f := range got.Findings {
		lines = append(lines, strings.Join([]string{string(f.Level), f.Code, strings.Join(f.From, ","), strings.Join(f.To, ","), strings.Join(f.Families, ",")}, " "))
	}
	want := []string{
		"wrong port-closed n1,n2 west/w1,west/w2 IPv4,IPv6",
		"wrong mirror n5 west ",
		"wrong no-agent n3  ",
		"wrong no-answer n4  ",
		"note more n2  ",
		"note small-mtu n1 west/w1 ",
	}
	if !reflect.DeepEqual(lines, want) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	if n := got.Nodes[0]; n.Node != "n1" || !n.Answered || n.Kernel != "6.12" || len(n.Paths) != 1 || got.Nodes[2].Answered || !got.Wrong() {
		t.Errorf("it is %+v", got)
	}
	notes := inspect.Conclude("east", []string{"n1"}, map[string]*clustermesh.CheckAnswer{"n1": {Node: "n1", Findings: []clustermesh.Finding{smallMTU}}}, nil)
	if notes.Wrong() || len(notes.Findings) != 1 {
		t.Errorf("with a note alone it is %+v", notes)
	}
}

// answering is agents that answer what is asked, until the test ends.
func answering(t *testing.T, c *etcd.Client, nodes ...string) {
	t.Helper()
	prefix := clustermesh.Key{Area: clustermesh.Status, Kind: clustermesh.KindAsked}.Prefix()
	table := etcd.Table[clustermesh.Object]{Prefix: prefix, Decode: clustermesh.DecodeAt}
	batches := make(chan etcd.Batch[clustermesh.Object])
	go table.Watch(t.Context(), c, etcdtest.Log(), batches)
	go func() {
		for {
			select {
			case <-t.Context().Done():
				return
			case b := <-batches:
				for _, e := range b.Events {
					if r, ok := e.Value.(*clustermesh.CheckRequest); ok {
						for _, n := range nodes {
							a := &clustermesh.CheckAnswer{Node: n, Requests: []string{"other", r.ID}, Kernel: "6.12"}
							value, err := clustermesh.Encode(a)
							if err == nil {
								err = c.PutFor(t.Context(), clustermesh.KeyOf(clustermesh.Status, a).String(), value, time.Minute)
							}
							if err != nil && t.Context().Err() == nil {
								t.Error(err)
							}
						}
					}
				}
			}
		}
	}()
}

func TestRunCheck(t *testing.T) {
	c := etcdtest.New(t).Dial()
	if _, err := inspect.RunCheck(t.Context(), c, time.Second); err == nil || !strings.Contains(err.Error(), "has no nodes") {
		t.Errorf("of an empty store: %v", err)
	}
	put(t, c, clustermesh.Export, "", &clustermesh.Cluster{Name: "east", ID: 1})
	put(t, c, clustermesh.Export, "", &clustermesh.Node{Name: "n1"})
	put(t, c, clustermesh.Private, "", &clustermesh.Node{Name: "n2"})
	// An answer to somebody else, and nodes without an agent, are not waited for.
	put(t, c, clustermesh.Status, "", &clustermesh.CheckAnswer{Node: "n2", Requests: []string{"earlier"}})
	got, err := inspect.RunCheck(t.Context(), c, time.Hour)
	if err != nil || len(got.Findings) != 1 || got.Findings[0].Code != "no-agent" || !reflect.DeepEqual(got.Findings[0].From, []string{"n1", "n2"}) {
		t.Fatalf("without agents: %v, %+v", err, got)
	}
	for _, n := range []string{"n1", "n2"} {
		put(t, c, clustermesh.Status, "", &clustermesh.ProcessStatus{Role: "agent", Node: n, Health: clustermesh.HealthOK})
	}
	answering(t, c, "n1", "stranger")
	got, err = inspect.RunCheck(t.Context(), c, 5*time.Second) // n1 answers at once, on a busy machine a little later
	if err != nil || len(got.Findings) != 1 || got.Findings[0].Code != "no-answer" || !reflect.DeepEqual(got.Findings[0].From, []string{"n2"}) {
		t.Fatalf("with one that is silent: %v, %+v", err, got)
	}
	answering(t, c, "n2")
	got, err = inspect.RunCheck(t.Context(), c, time.Minute)
	if err != nil || got.Cluster != "east" || len(got.Nodes) != 2 || len(got.Findings) != 0 || got.Wrong() {
		t.Errorf("when all answer: %v, %+v", err, got)
	}
	// What is left goes by itself, and is no process.
	if all, err := inspect.Processes(t.Context(), c); err != nil || len(all) != 2 {
		t.Errorf("the processes are %+v, %v", all, err)
	}
}
