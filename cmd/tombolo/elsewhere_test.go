package main

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"tombolo.io/tombolo/clustermesh/inspect"
	"tombolo.io/tombolo/internal/control"
)

// A command for an API server, on a node that has an agent alone.
func TestAnAPIServerElsewhere(t *testing.T) {
	process := func(role, node string) inspect.Process { return inspect.Process{Role: role, Node: node} }
	for _, c := range []struct {
		name  string
		there []inspect.Process
		want  string
	}{
		{"one", []inspect.Process{process("agent", "n1"), process("apiserver", "n2")}, "it is not running on this node but on n2: give the command there"},
		{"several", []inspect.Process{process("apiserver", "n3"), process("apiserver", "n2")}, "but on n2, n3: give the command there (in Kubernetes: kubectl exec, in the pod of that name); those that stand by say which one leads"},
		{"none", []inspect.Process{process("speaker", "n2")}, "none reports to this cluster's store"},
	} {
		dir := t.TempDir()
		beside := inOrder("agent")
		beside.Pages = map[string]control.Page{"/processes": func(*http.Request) (any, error) { return c.there, nil }}
		serve(t, dir, beside)
		for _, args := range []string{"drain node n1", "undrain node n1", "gossip rotate"} {
			_, err := run(t, append(strings.Fields(args), "--run-dir", dir)...)
			if !errors.Is(err, control.ErrNotRunning) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "start tombolo") {
				t.Errorf("%s: %s: %v", c.name, args, err)
			}
		}
	}
	if _, err := run(t, "drain", "node", "n1", "--run-dir", t.TempDir()); err == nil || !strings.Contains(err.Error(), "start tombolo apiserver") {
		t.Errorf("where nothing runs: %v", err)
	}
}
