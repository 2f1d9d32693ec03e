package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/inspect"
	"tombolo.io/tombolo/internal/control"
)

// checked is what an agent says that was asked for a check.
func checked(t *testing.T, check *inspect.Check) string {
	t.Helper()
	dir := t.TempDir()
	s := inOrder("agent")
	s.Pages = map[string]control.Page{checkPage: func(r *http.Request) (any, error) {
		if _, err := time.ParseDuration(r.URL.Query().Get("timeout")); err != nil {
			t.Errorf("it waits for %v", err)
		}
		return check, nil
	}}
	serve(t, dir, s)
	return dir
}

func TestCheck(t *testing.T) {
	path := clustermesh.CheckPath{Cluster: "west", Family: "IPv4", Nodes: 3, Checked: 2, Address: 2, Pods: 2, Back: 2, Kept: 2, MTU: 1500,
		RTT: 1234567 * time.Nanosecond, Clock: -time.Millisecond}
	good := &inspect.Check{Cluster: "east", Nodes: []inspect.CheckedNode{{Node: "n1", Answered: true, Paths: []clustermesh.CheckPath{path}}}, Findings: []inspect.CheckFinding{}}
	out, err := run(t, "check", "--run-dir", checked(t, good))
	if err != nil || !strings.Contains(out, "n1    west     IPv4    3      2/2     2/2   2/2   kept    1500  1.23ms  -1ms   -\n") ||
		!strings.Contains(out, "\nNothing is wrong with the paths of 1 nodes.\n") {
		t.Errorf("got %v\n%s", err, out)
	}

	broken := path
	broken.Kept, broken.Family = 1, "IPv6"
	finding := inspect.CheckFinding{Level: clustermesh.FindingWrong, Code: "masqueraded", From: []string{"n1"}, To: []string{"west/w1"},
		Families: []string{"IPv6"}, Problem: "it is rewritten", Mend: "let it be"}
	note := inspect.CheckFinding{Level: clustermesh.FindingNote, Code: "kernel", From: []string{"n1"}, Problem: "old", Mend: "nothing"}
	bad := &inspect.Check{Cluster: "east", Findings: []inspect.CheckFinding{finding, note}, Nodes: []inspect.CheckedNode{
		{Node: "n1", Answered: true, Paths: []clustermesh.CheckPath{path, broken}}, {Node: "n2"}}}
	out, err = run(t, "check", "--run-dir", checked(t, bad))
	if err == nil || err.Error() != "not in order: masqueraded" {
		t.Errorf("the error is %v", err)
	}
	for _, want := range []string{
		"n1    west     IPv4    3      2/2     2/2   2/2   kept      1500  1.23ms  -1ms   -\n",
		"n1    west     IPv6    3      2/2     2/2   2/2   kept 1/2  1500  1.23ms  -1ms   masqueraded\n",
		"\nwrong: masqueraded\n  from  n1\n  to    west/w1\n  over  IPv6\n  what  it is rewritten\n  mend  let it be\n",
		"\nnote: kernel\n  from  n1\n  what  old\n  mend  nothing\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it lacks\n%s\nin\n%s", want, out)
		}
	}
	out, err = run(t, "check", "-o", "json", "--run-dir", checked(t, bad))
	if err == nil || !strings.Contains(out, `"code": "masqueraded"`) || !strings.Contains(out, `"mtu": 1500`) {
		t.Errorf("got %v\n%s", err, out)
	}
	bad.Findings = bad.Findings[1:]
	if out, err = run(t, "check", "-o", "yaml", "--run-dir", checked(t, bad)); err != nil || !strings.Contains(out, "level: note") {
		t.Errorf("with a note alone: %v\n%s", err, out)
	}
	if _, err = run(t, "check", "--timeout", "1ms"); err == nil || !strings.Contains(err.Error(), "--timeout 1ms: want 1s to 10m0s") {
		t.Errorf("the error is %v", err)
	}
}
