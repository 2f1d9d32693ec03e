package sandbox

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestLeftoversAreNamed holds that .ci/leftovers fails and names the namespaces, cgroups
// and pins that a run left behind, and none that were there before the run.
func TestLeftoversAreNamed(t *testing.T) {
	state := t.TempDir() // not where the run has it that this test is part of
	leftovers(t, state, "before")
	c := place(t)
	bpffs := t.TempDir()
	if err := MountBPF(bpffs); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := UnmountBelow(bpffs); err != nil {
			t.Error(err)
		}
	})
	pin := filepath.Join(bpffs, "left")
	if err := os.Mkdir(pin, 0o755); err != nil {
		t.Fatal(err)
	}
	ours := []string{"namespace " + c.Namespace, "cgroup " + c.Cgroup, "cgroup " + filepath.Dir(c.Cgroup), "bpffs " + bpffs, "pin " + pin}
	named, err := leftovers(t, state, "after")
	if err == nil {
		t.Error("it does not fail")
	}
	for _, line := range ours {
		if !strings.Contains(named, line+"\n") {
			t.Errorf("%q is not among\n%s", line, named)
		}
	}

	leftovers(t, state, "before")
	named, _ = leftovers(t, state, "after") // it may name what tests beside this one make
	for _, line := range ours {
		if strings.Contains(named, line+"\n") {
			t.Errorf("%q was there before, and is among\n%s", line, named)
		}
	}
}

// leftovers runs .ci/leftovers, and returns what it prints and whether it failed.
func leftovers(t *testing.T, state, when string) (string, error) {
	t.Helper()
	c := exec.Command("../../../.ci/leftovers", when)
	c.Env = append(os.Environ(), "TMPDIR="+state)
	out, err := c.CombinedOutput()
	if failed := new(exec.ExitError); err != nil && (!errors.As(err, &failed) || when == "before") {
		t.Fatalf("leftovers %s: %v\n%s", when, err, out)
	}
	return string(out), err
}
