package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tombolo.io/tombolo/deploy/lab/echo"
	"tombolo.io/tombolo/deploy/lab/plan"
	"tombolo.io/tombolo/deploy/lab/sandbox"
)

// binary is the real program, built once.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "tombolo-labtest")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "tombolo")
		build := exec.Command("go", "build", "-o", binary, "tombolo.io/tombolo/cmd/tombolo")
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "building tombolo:", err)
			return 1
		}
		return m.Run()
	}())
}

// base makes a directory for labs, short enough for sockets, which the last
// lab takes with it.
func base(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/run", "tombolo-lt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// newLab plans a lab of this test's process, and takes it down at the end.
func newLab(t *testing.T, base, name string) *Lab {
	t.Helper()
	l, err := New(base, binary, plan.Config{Lab: fmt.Sprintf("%s%d", name, os.Getpid()), Clusters: 2, Nodes: 1, Pods: 2, Router: "builtin"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Down(context.Background(), base, l.Lab); err != nil && !errors.Is(err, ErrNoLab) {
			t.Error(err)
		}
		nothingLeft(t, l)
	})
	return l
}

// nothingLeft looks at the kernel for whatever bears the lab's name.
func nothingLeft(t *testing.T, l *Lab) {
	t.Helper()
	if names, err := sandbox.Namespaces(plan.Prefix(l.Lab)); err != nil || len(names) > 0 {
		t.Errorf("namespaces are left: %v %v", names, err)
	}
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(raw), l.Dir+"/") || strings.Contains(string(raw), plan.Prefix(l.Lab)) {
		t.Errorf("mounts are left (%v):\n%s", err, raw)
	}
	root, err := sandbox.FindCgroups(l.base)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(root, "tombolo-"+l.Lab), l.Dir, l.Dir + ".lock"} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left (%v)", path, err)
		}
	}
}

// upTo makes the stages of a lab to the one named, without the lock of Up.
func upTo(t *testing.T, l *Lab, last string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := l.save(); err != nil {
		t.Fatal(err)
	}
	for i, s := range l.stages() {
		if s.name == last {
			if err := perform(ctx, l.stages()[:i+1], func(string, string, time.Duration) {}); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no stage %q", last)
}

// ask sends requests from a machine and returns the report.
func ask(t *testing.T, l *Lab, from, target string, mode echo.Mode) echo.Report {
	t.Helper()
	c, err := l.Command(from, []string{"tombolo", "requests", "--target", target, "--mode", string(mode), "--count", "20", "--parallel", "5", "--timeout", "500ms"})
	if err != nil {
		t.Fatal(err)
	}
	var out, failed bytes.Buffer
	if err := c.Run(nil, &out, &failed); err != nil {
		t.Fatalf("asking %s from %s: %v %s", target, from, err, failed.String())
	}
	var r echo.Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// Without speakers the routers know no pods; with routes to them, which only
// this test adds by hand, every machine reaches every pod.
func TestPacketsFindTheirWay(t *testing.T) {
	l := newLab(t, base(t), "way")
	upTo(t, l, "pods")
	far := l.Clusters[1].Nodes[0].Pods[1]
	if r := ask(t, l, "east-1-a", far.Addresses.IPv4.String()+":8080", echo.UDP); r.Failed != r.Requests {
		t.Errorf("a pod of another cluster answers before there is a route: %+v", r)
	}
	routeByHand(t, l)
	for _, from := range []string{"east-1-a", "east-1", "client"} {
		for _, address := range far.Addresses.List() {
			for _, mode := range []echo.Mode{echo.HTTP, echo.UDP, echo.UDPUnconnected} {
				r := ask(t, l, from, join(address), mode)
				if r.Pods[far.Name] != 20 || r.Clusters["west"] != 20 {
					t.Errorf("from %s by %s to %s: %+v", from, mode, address, r)
				}
			}
		}
	}
	// An address of the pods' prefix that no pod has is refused by its node, as
	// often as the kernel's limit for such messages lets it.
	if r := ask(t, l, "client", "10.2.1.99:8080", echo.HTTP); r.Errors["unreachable"] == 0 || r.Failed != 20 {
		t.Errorf("an address without a pod: %+v", r)
	}
}

// join is where a pod answers.
func join(pod netip.Addr) string { return netip.AddrPortFrom(pod, plan.Port).String() }

func routeByHand(t *testing.T, l *Lab) {
	t.Helper()
	add := func(n *sandbox.Net, nets plan.Nets, device string, via plan.Addrs) {
		for i, p := range nets.List() {
			if err := n.AddRoute(sandbox.Route{Prefix: p, Device: device, Via: via.List()[i]}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range l.Clusters {
		n, err := sandbox.OpenNet(l.Namespace(c.Router.Name))
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		add(n, c.Nodes[0].PodCIDR, plan.Bridge, c.Nodes[0].Addresses)
		for _, nb := range c.Router.Neighbors {
			for i, other := range l.Clusters {
				if other.Router.Name == nb.Name {
					add(n, other.PodCIDR, nb.Interface, nb.Remote)
					add(n, other.NodeCIDR, nb.Interface, nb.Remote)
					add(n, plan.ClientNet(i+1), nb.Interface, nb.Remote)
				}
			}
		}
	}
}

func TestDownLeavesNothingAlive(t *testing.T) {
	l := newLab(t, base(t), "down")
	upTo(t, l, "routers")
	var before []ProcessStatus
	for _, m := range status(t, l).Machines {
		for _, p := range m.Processes {
			if p.Alive {
				before = append(before, p)
			}
		}
	}
	if len(before) != 6 { // 4 responders, 2 routers
		t.Errorf("%d processes are alive", len(before))
	}
	// What says which processes there are is lost.
	os.RemoveAll(filepath.Join(l.Dir, "plan.json"))
	records, _ := filepath.Glob(filepath.Join(l.Dir, "machines", "*", "*.json"))
	for _, r := range records {
		os.Remove(r)
	}
	if err := Down(t.Context(), l.base, l.Lab); err != nil {
		t.Fatal(err)
	}
	for _, p := range before {
		if p.Process.Alive() {
			t.Errorf("%s, process %d, is alive", p.Role, p.PID)
		}
	}
	nothingLeft(t, l)
	if _, err := os.Stat(l.base); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory of labs is left: %v", err)
	}
	if err := Down(t.Context(), l.base, l.Lab); !errors.Is(err, ErrNoLab) {
		t.Errorf("taking it down twice: %v", err)
	}
}

func status(t *testing.T, l *Lab) Status {
	t.Helper()
	s, err := l.Status()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The namespaces are there and the directory is not.
func TestDownWithoutState(t *testing.T) {
	l := newLab(t, base(t), "lost")
	upTo(t, l, "pods")
	if err := sandbox.UnmountBelow(l.Dir); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(l.Dir); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(l.base, binary, l.Lab); !errors.Is(err, ErrNoLab) {
		t.Errorf("loading it: %v", err)
	}
	if err := Down(t.Context(), l.base, l.Lab); err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, l)
}

func TestTwoLabs(t *testing.T) {
	dir := base(t)
	one, two := newLab(t, dir, "one"), newLab(t, dir, "two")
	upTo(t, one, "pods")
	upTo(t, two, "pods")
	if err := Down(t.Context(), dir, one.Lab); err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, one)
	if r := ask(t, two, "east-1-a", "10.1.1.11:8080", echo.HTTP); r.Pods["east-1-b"] != 20 {
		t.Errorf("the other lab: %+v", r)
	}
}

// A starter that is killed between two stages leaves what the next removes.
func TestKilledUp(t *testing.T) {
	l := newLab(t, base(t), "kill")
	for _, stage := range []string{"machines", "objects", "pods", "routers"} {
		up := exec.Command(binary, "lab", "up", "--name", l.Lab, "--nodes", "1")
		up.Env = append(os.Environ(), "TOMBOLO_LAB_DIR="+l.base)
		out, err := up.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := up.Start(); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		var text string
		for !strings.Contains(text, stage) {
			n, err := out.Read(buf)
			if text += string(buf[:n]); err != nil {
				t.Fatalf("%v before stage %s:\n%s", err, stage, text)
			}
		}
		up.Process.Kill()
		up.Wait()
		if _, err := os.Stat(l.Dir); err != nil {
			t.Fatal(err)
		}
		if l.whole() {
			t.Errorf("killed after %s it is said to be whole", stage)
		}
	}
	var cleared []string
	if done, err := l.clear(t.Context(), func(stage, _ string, _ time.Duration) { cleared = append(cleared, stage) }); done || err != nil {
		t.Fatal(done, err)
	}
	if len(cleared) != 1 || cleared[0] != "cleared" {
		t.Errorf("progress: %v", cleared)
	}
	upTo(t, l, "pods")
}

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

func TestLock(t *testing.T) {
	dir := base(t)
	held, err := take(dir, "lab")
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("is being worked on by process %d", os.Getpid())
	if err := Down(t.Context(), dir, "lab"); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q in it", err, want)
	}
	other, err := take(dir, "other")
	if err != nil {
		t.Fatal(err)
	}
	held.release()
	again, err := take(dir, "lab")
	if err != nil {
		t.Fatal(err)
	}
	again.release()
	other.release()
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory is left: %v", err)
	}
}
