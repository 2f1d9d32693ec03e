package lab

import (
	"errors"
	"fmt"
	"io/fs"
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

// A router's daemon crashes, is started again, and crashes: what it made elsewhere
// goes with the lab.
func TestDownForgetsWhoEndedBefore(t *testing.T) {
	dir := base(t)
	if err := os.Chmod(dir, 0o755); err != nil { // FRR has a user of its own
		t.Fatal(err)
	}
	l := newLab(t, dir, "crash")
	l.Router = "frr"
	upTo(t, l, "routers")
	router := "router-" + l.Clusters[0].Name
	var scratch []string
	crash := func() {
		p, err := l.process(router, "bgpd")
		if err != nil {
			t.Fatal(err)
		}
		dir := fmt.Sprintf("/var/tmp/frr/bgpd.%d", p.PID)
		if _, err := os.Stat(dir); err != nil {
			t.Fatalf("FRR makes no directory any more: %v", err)
		}
		scratch = append(scratch, dir)
		if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for p.Alive() {
			time.Sleep(time.Millisecond)
		}
	}
	crash()
	if err := l.Start(t.Context(), router, "bgpd"); err != nil {
		t.Fatal(err)
	}
	crash()
	if err := Down(t.Context(), l.base, l.Lab); err != nil {
		t.Fatal(err)
	}
	for _, dir := range scratch {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left (%v)", dir, err)
		}
	}
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

// A starter that is killed between two stages leaves what the next removes; also when
// it is killed so late that every process is there.
func TestKilledUp(t *testing.T) {
	l := newLab(t, base(t), "kill")
	for _, stage := range []string{"machines", "objects", "pods", "routers", "routes"} {
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
		if dead := status(t, l).Dead(); stage == "routes" && len(dead) > 0 {
			t.Errorf("killed after %s it lacks %v", stage, dead)
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

// Whoever removes a lab is killed midway; the next removes what is left.
func TestKilledDown(t *testing.T) {
	l := newLab(t, base(t), "half")
	for _, c := range []struct {
		name   string
		midway func(group string, namespaces int) bool
	}{
		{"its processes are gone", func(group string, _ int) bool {
			pids, err := sandbox.Processes(group)
			return err == nil && len(pids) == 0
		}},
		{"a namespace is gone", func(_ string, namespaces int) bool {
			names, err := sandbox.Namespaces(plan.Prefix(l.Lab))
			return err == nil && len(names) < namespaces
		}},
	} {
		for attempt := 1; ; attempt++ {
			group, namespaces := crowded(t, l)
			if killDown(t, l, func() bool { return c.midway(group, namespaces) }) {
				break
			}
			if attempt == 10 {
				t.Fatalf("when %s, it was never killed before its end", c.name)
			}
		}
		if out, err := down(l).CombinedOutput(); err != nil {
			t.Fatalf("one was killed when %s, and the next fails: %v\n%s", c.name, err, out)
		}
		nothingLeft(t, l)
	}
}

// crowded brings a lab up with so many namespaces that removing them takes longer than
// noticing that it began, and returns its cgroup and how many they are.
func crowded(t *testing.T, l *Lab) (group string, namespaces int) {
	t.Helper()
	upTo(t, l, "pods")
	for i := range 50 {
		if err := sandbox.CreateNamespace(fmt.Sprintf("%smore%d", plan.Prefix(l.Lab), i)); err != nil {
			t.Fatal(err)
		}
	}
	names, err := sandbox.Namespaces(plan.Prefix(l.Lab))
	if err != nil {
		t.Fatal(err)
	}
	if group, err = cgroupOf(l.base, l.Lab); err != nil {
		t.Fatal(err)
	}
	return group, len(names)
}

// down is `lab down` as users run it.
func down(l *Lab) *exec.Cmd {
	c := exec.Command(binary, "lab", "down", "--name", l.Lab)
	c.Env = append(os.Environ(), "TOMBOLO_LAB_DIR="+l.base)
	return c
}

// killDown kills `lab down` with -9 once it has come midway, and reports whether something
// was left for another.
func killDown(t *testing.T, l *Lab, midway func() bool) bool {
	t.Helper()
	c := down(l)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	for !midway() {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			return false
		case <-time.After(time.Millisecond / 10):
		}
	}
	c.Process.Kill()
	<-ended
	left, err := remnants(l.base, l.Lab)
	if err != nil {
		t.Fatal(err)
	}
	return left
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
