package lab

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tombolo.io/tombolo/deploy/lab/echo"
)

func TestKillAndStart(t *testing.T) {
	l := newLab(t, base(t), "role")
	upTo(t, l, "pods")
	if err := l.Kill(t.Context(), "east-1-a", Responder, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if dead := strings.Join(status(t, l).Dead(), ", "); !strings.Contains(dead, "east-1-a responder") || strings.Contains(dead, "east-1-b") {
		t.Errorf("dead: %s", dead)
	}
	if err := l.Kill(t.Context(), "east-1-a", Responder, syscall.SIGKILL); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("killing it twice: %v", err)
	}
	if err := l.Start(t.Context(), "east-1-a", Responder); err != nil {
		t.Fatal(err)
	}
	if r := ask(t, l, "east-1-b", "10.1.1.10:8080", echo.HTTP); r.Failed > 0 {
		t.Errorf("after a new start: %+v", r)
	}
	for want, err := range map[string]error{
		"runs already": l.Start(t.Context(), "east-1-a", Responder),
		`has no process "agent", only [responder]`: l.Start(t.Context(), "east-1-a", Agent),
		`has no machine "east-9"`:                  l.Kill(t.Context(), "east-9", Agent, syscall.SIGKILL),
		"was never started":                        l.Kill(t.Context(), "east-1", Agent, syscall.SIGKILL),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

// A task that ends at once is reported with what it said, at once.
func TestStartQuotesTheLog(t *testing.T) {
	l := newLab(t, base(t), "quote")
	upTo(t, l, "machines")
	m, err := l.Machine("east-1-a")
	if err != nil {
		t.Fatal(err)
	}
	broken := l.responder(m)
	broken.args = []string{binary, "responder", "--port", "many"}
	err = l.start(t.Context(), broken)
	if err == nil || !strings.Contains(err.Error(), `invalid argument "many"`) || !strings.Contains(err.Error(), "responder.log") {
		t.Errorf("got %v", err)
	}
}

func TestExec(t *testing.T) {
	l := newLab(t, base(t), "exec")
	upTo(t, l, "machines")
	run := func(stdin string, args ...string) (string, int) {
		t.Helper()
		c := exec.Command(binary, append([]string{"lab", "exec", "--name", l.Lab}, args...)...)
		c.Env = append(os.Environ(), "TOMBOLO_LAB_DIR="+l.base)
		c.Stdin = strings.NewReader(stdin)
		out, err := c.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out)), c.ProcessState.ExitCode()
	}
	for _, c := range []struct {
		stdin string
		args  []string
		out   string
		code  int
	}{
		{"", []string{"east-1-a", "--", "sh", "-c", "exit 42"}, "", 42},
		{"hello", []string{"west-1", "--", "cat"}, "hello", 0},
		{"", []string{"client", "--", "sh", "-c", "kill -TERM $$"}, "", -1},
		{"", []string{"east-1-b", "--", "sh", "-c", "grep ^0: /proc/self/cgroup"}, "0::/tombolo-" + l.Lab + "/east-1/east-1-b", 0},
		{"", []string{"west-1", "--", "sh", "-c", "echo $TOMBOLO_RUN_DIR"}, l.RunDir("west-1"), 0},
		{"", []string{"client", "--", "sh", "-c", "echo $TOMBOLO_RUN_DIR"}, "", 0},
		{"", []string{"east-9", "--", "true"}, `tombolo: lab "` + l.Lab + `" has no machine "east-9"; tombolo lab status lists them`, 1},
		{"", []string{"east-1", "--", "no-such-command"}, `tombolo: finding the command: exec: "no-such-command": executable file not found in $PATH`, 1},
	} {
		if out, code := run(c.stdin, c.args...); out != c.out || code != c.code {
			t.Errorf("%v: %q, exit status %d, want %q, %d", c.args, out, code, c.out, c.code)
		}
	}
	out, _ := run("", "east-1-a", "--", "ip", "-o", "address")
	if !strings.Contains(out, "10.1.1.10/32") || strings.Contains(out, "172.20") {
		t.Errorf("the pod has other addresses:\n%s", out)
	}
}

func TestApplyAndDelete(t *testing.T) {
	l := newLab(t, base(t), "apply")
	upTo(t, l, "objects")
	raw := []byte("kind: Service\nmetadata: {name: a, namespace: demo}\n---\nkind: Node\nmetadata: {name: b}\n")
	if all, err := l.Apply("west", raw); err != nil || len(all) != 2 {
		t.Fatal(all, err)
	}
	file := filepath.Join(l.Manifests("west"), "service_demo_a.yaml")
	if got, err := os.ReadFile(file); err != nil || !strings.Contains(string(got), "name: a") {
		t.Errorf("%s: %q %v", file, got, err)
	}
	if _, err := l.Apply("west", []byte("kind: Service\nmetadata: {name: a, namespace: demo}\nspec: {}\n---\nkind: 7:\n")); err == nil {
		t.Error("took a document that is none")
	}
	if got, _ := os.ReadFile(file); strings.Contains(string(got), "spec") {
		t.Error("wrote one document of a file that has a bad one")
	}
	if left, _ := os.ReadDir(filepath.Join(l.clusterDir("west"), "staging")); len(left) > 0 {
		t.Errorf("%d files are left where they are written", len(left))
	}
	gone, err := l.Delete("west", append(raw, []byte("---\nkind: Pod\nmetadata: {name: c}\n")...))
	if err == nil || err.Error() != "cluster west has no Pod c" || len(gone) != 2 {
		t.Errorf("deleted %v, %v", gone, err)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is there: %v", file, err)
	}
	if _, err := l.Apply("south", raw); err == nil || !strings.Contains(err.Error(), `has no cluster "south", only [east west]`) {
		t.Errorf("of another cluster: %v", err)
	}
}
