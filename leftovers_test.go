package tombolo

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestLeftoversAreSeenByWhoStartedThem holds that what a test run leaves behind is seen
// whatever program it is, and that what others start meanwhile is not taken for it.
func TestLeftoversAreSeenByWhoStartedThem(t *testing.T) {
	run := fmt.Sprintf("TEST_RUN=%s.%d", t.Name(), os.Getpid())
	ours, others := sleeper(t, run), sleeper(t, "TEST_RUN=another")
	look := exec.Command(".ci/leftovers", "processes")
	look.Env = append(os.Environ(), run)
	out, err := look.Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := string(out)
	if want := fmt.Sprintf("process %d sleep", ours); !strings.Contains(seen, want) {
		t.Errorf("%q is not among\n%s", want, seen)
	}
	for _, not := range []string{fmt.Sprintf("process %d ", others), ".ci/leftovers"} {
		if strings.Contains(seen, not) {
			t.Errorf("%q is among\n%s", not, seen)
		}
	}
}

// sleeper starts a program of any name with this in its environment, for as long as the
// test runs.
func sleeper(t *testing.T, env string) (pid int) {
	t.Helper()
	c := exec.Command("sleep", "600")
	c.Env = append(os.Environ(), env)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	return c.Process.Pid
}
