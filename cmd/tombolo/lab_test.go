package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/deploy/lab"
	"tombolo.io/tombolo/deploy/lab/plan"
	"tombolo.io/tombolo/deploy/lab/sandbox"
)

// planned returns the status of a lab of one cluster that was never up, but for
// one process.
func planned(t *testing.T) lab.Status {
	t.Helper()
	l, err := lab.New("/run/tombolo-none", "/bin/tombolo", plan.Config{Lab: "lab", Clusters: 1, Nodes: 1, Pods: 1, Router: "builtin"})
	if err != nil {
		t.Fatal(err)
	}
	s := lab.Status{Lab: l}
	for _, m := range l.Machines() {
		ms := lab.MachineStatus{Machine: m}
		if m.Kind == plan.KindNode {
			ms.Processes = []lab.ProcessStatus{
				{Role: lab.Agent, Process: sandbox.Process{PID: 7}, Alive: true}, {Role: lab.Speaker}}
		}
		s.Machines = append(s.Machines, ms)
	}
	return s
}

func TestPrintLabStatus(t *testing.T) {
	var out bytes.Buffer
	if err := printStatus(&out, planned(t)); err != nil {
		t.Fatal(err)
	}
	// How wide the columns are is the table's own business.
	got := regexp.MustCompile(" +").ReplaceAllString(out.String(), " ")
	for _, want := range []string{
		"lab lab, routers builtin, state in /run/tombolo-none/lab\n",
		"east 1 64513 172.20.1.0/24 fd00:20:1::/64 10.1.0.0/16 fd00:10:1::/48 10.96.0.0/16 fd00:96::/112 203.0.113.16/28 2001:db8:113:1::/64 10.96.0.80 fd00:96::50\n",
		"east-1 node 172.20.1.1 fd00:20:1::1 agent 7, speaker dead\n",
		"client client 192.168.1.2 fd00:168:1::2 -\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}

func TestLabCompletion(t *testing.T) {
	s := planned(t)
	if got := strings.Join(machineNames(s), " "); got != "router-east east-1 east-1-a client" {
		t.Errorf("machines: %s", got)
	}
	if got := strings.Join(roleNames(s, "east-1"), " "); got != "agent speaker" {
		t.Errorf("roles: %s", got)
	}
	none := &labFlags{name: "nosuchlab"}
	if _, d := none.completeMachine(true)(nil, nil, ""); d != cobra.ShellCompDirectiveNoFileComp {
		t.Errorf("of a lab that is not there: %v", d)
	}
}

func TestLabBaseIsWhereTheKernelMounts(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(dir, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for given, want := range map[string]string{
		"":                  lab.DefaultBase,
		dir + "/link":       dir,
		dir + "/link/labs":  dir + "/labs",
		dir + "/link/a/../": dir,
		dir + "/no/such":    dir + "/no/such",
	} {
		t.Setenv("TOMBOLO_LAB_DIR", given)
		if got := (labFlags{}).base(); got != want {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
	}
}

func TestLabExecNamesWhatItWants(t *testing.T) {
	for _, args := range [][]string{{}, {"east-1"}, {"--", "true"}} {
		_, err := run(t, append([]string{"lab", "exec"}, args...)...)
		if err == nil || !strings.Contains(err.Error(), "want a machine and a command, as in tombolo lab exec east-1-a -- ") {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestLabSettingsFromTheEnvironment(t *testing.T) {
	t.Setenv("TOMBOLO_LAB_DIR", t.TempDir())
	t.Setenv("TOMBOLO_NAME", "elsewhere")
	for name, args := range map[string][]string{"elsewhere": {"lab", "status"}, "here": {"lab", "status", "--name", "here"}} {
		if _, err := run(t, args...); err == nil || !strings.Contains(err.Error(), "no such lab: "+name) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestBrokenObjectsNameTheirFile(t *testing.T) {
	labs := t.TempDir()
	t.Setenv("TOMBOLO_LAB_DIR", labs)
	if err := os.Mkdir(filepath.Join(labs, "lab"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(labs, "lab", "plan.json"), []byte(`{"members":[{"name":"east"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := file(t, "kind: 7:\n")
	for _, args := range [][]string{{"apply", "-c", "east", "-f", broken}, {"delete", "-c", "east", "-f", broken}} {
		_, err := run(t, append([]string{"lab"}, args...)...)
		if err == nil || !strings.Contains(err.Error(), "the objects of "+broken+": the document at line 1: ") {
			t.Errorf("%q: %v", args, err)
		}
	}
}
