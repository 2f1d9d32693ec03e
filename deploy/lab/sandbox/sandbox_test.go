package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// helper makes this test program do something else when it is started so.
const helper = "TOMBOLO_SANDBOX_HELPER"

// init keeps the one goroutine on the first thread that will end that thread.
func init() {
	if os.Getenv(helper) == "headless" {
		runtime.LockOSThread()
	}
}

func TestMain(m *testing.M) {
	switch os.Getenv(helper) {
	case "":
		os.Exit(m.Run())
	case "where": // prints its namespace and cgroup, exits with 7
		fmt.Print(where())
		os.Exit(7)
	case "sleep": // forks a child into a session of its own, and both stay
		child := exec.Command("/proc/self/exe")
		child.Env = []string{helper + "=stay"}
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := child.Start(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(child.Process.Pid)
		select {}
	case "stay":
		<-make(chan int)
	case "headless": // its first thread ends, the others stay
		fmt.Println("headless")
		syscall.RawSyscall(syscall.SYS_EXIT, 0, 0, 0)
	case "become": // turns into "where" inside
		c := Command{Namespace: os.Args[1], Cgroup: os.Args[2], Args: []string{"/proc/self/exe"}, Env: []string{helper + "=where"}}
		fmt.Println(c.Become())
		os.Exit(1)
	}
}

func where() string {
	ino, err := inode("/proc/thread-self/ns/net")
	if err != nil {
		return err.Error()
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err.Error()
	}
	for line := range strings.Lines(string(groups)) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return fmt.Sprintf("%d %s", ino, strings.TrimSpace(path))
		}
	}
	return "in no cgroup2"
}

// place makes a namespace and a cgroup for one test.
func place(t *testing.T) Command {
	t.Helper()
	name := fmt.Sprintf("tombolo-sandbox%d-%s", os.Getpid(), strings.ToLower(t.Name()))
	if err := CreateNamespace(name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := DeleteNamespace(name); err != nil {
			t.Error(err)
		}
	})
	root, err := FindCgroups("")
	if errors.Is(err, fs.ErrNotExist) {
		root = t.TempDir()
		if err := MountCgroups(root); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { UnmountBelow(root) })
	} else if err != nil {
		t.Fatal(err)
	}
	group := filepath.Join(root, name)
	if err := MakeCgroup(filepath.Join(group, "inner")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := RemoveCgroup(context.Background(), group); err != nil {
			t.Error(err)
		}
	})
	return Command{Namespace: name, Cgroup: filepath.Join(group, "inner"), Args: []string{"/proc/self/exe"}, Dir: "/"}
}

// inside is what `where` prints in a place.
func inside(t *testing.T, c Command) string {
	t.Helper()
	ino, err := inode(namespacePath(c.Namespace))
	if err != nil {
		t.Fatal(err)
	}
	root, err := FindCgroups("")
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", ino, strings.TrimPrefix(c.Cgroup, root))
}

func TestRunIsInside(t *testing.T) {
	c := place(t)
	before := where()
	c.Env = []string{helper + "=where"}
	var out bytes.Buffer
	err := c.Run(nil, &out, &out)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("ended with %v, want exit status 7", err)
	}
	if want := inside(t, c); out.String() != want {
		t.Errorf("ran in %s, want %s", out.String(), want)
	}
	if after := where(); after != before {
		t.Errorf("we were in %s and are in %s", before, after)
	}
}

func TestBecome(t *testing.T) {
	c := place(t)
	cmd := exec.Command("/proc/self/exe", c.Namespace, c.Cgroup)
	cmd.Env = []string{helper + "=become"}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("ended with %v, want exit status 7", err)
	}
	if want := inside(t, c); string(out) != want {
		t.Errorf("became one in %s, want %s", out, want)
	}
}

// The child of a killed process has a session of its own and is nobody's note:
// only the cgroup knows it.
func TestRemoveCgroupKillsEveryone(t *testing.T) {
	c := place(t)
	c.Env = []string{helper + "=sleep"}
	log := filepath.Join(t.TempDir(), "log")
	p, ended, err := c.Spawn(log)
	if err != nil {
		t.Fatal(err)
	}
	child := awaitLine(t, log)
	if !p.Alive() {
		t.Fatal("the process is not alive")
	}
	if err := RemoveCgroup(context.Background(), filepath.Dir(c.Cgroup)); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("ended with %v, want killed", err)
	}
	var pid int
	fmt.Sscan(child, &pid)
	if _, state, err := stat(pid); err == nil && state != 'Z' {
		t.Errorf("the child %d is there, in state %c", pid, state)
	}
	if _, err := os.Stat(filepath.Dir(c.Cgroup)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the cgroup is there: %v", err)
	}
	if p.Alive() {
		t.Error("a killed process is said to be alive")
	}
	if err := p.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("signalling a process that is gone: %v", err)
	}
}

// A process of which only the first thread has ended still has its files and its
// locks: whoever starts the next one now would find them taken.
func TestProcessesEndWithTheirLastThread(t *testing.T) {
	c := place(t)
	c.Env = []string{helper + "=headless"}
	p, ended, err := c.Spawn(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	for {
		_, state, err := stat(p.PID)
		if err != nil {
			t.Fatal(err)
		}
		if state == 'Z' {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("it ended altogether: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	if !p.Alive() {
		t.Error("a process with living threads is said to be dead")
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-ended
	if p.Alive() {
		t.Error("it is said to be alive after its end")
	}
}

// awaitLine returns the first line of a file as soon as it is whole.
func awaitLine(t *testing.T, path string) string {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for {
		raw, err := os.ReadFile(path)
		if line, _, ok := strings.Cut(string(raw), "\n"); err == nil && ok {
			return line
		}
		select {
		case <-deadline:
			t.Fatalf("%s has no line: %q %v", path, raw, err)
		case <-tick.C:
		}
	}
}

func TestSignalSparesAnotherProcessOfTheNumber(t *testing.T) {
	own, err := processOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if !own.Alive() {
		t.Error("we are said to be dead")
	}
	earlier := Process{PID: own.PID, Start: own.Start - 1}
	if earlier.Alive() {
		t.Error("a process that had our number before is said to be alive")
	}
	// Were it sent, SIGKILL would end this test.
	if err := earlier.Signal(syscall.SIGKILL); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("got %v, want %v", err, os.ErrProcessDone)
	}
}

func TestKillInNamespaces(t *testing.T) {
	c := place(t)
	root, err := FindCgroups("")
	if err != nil {
		t.Fatal(err)
	}
	c.Cgroup = root // a process of the user's, not of our cgroup
	c.Env = []string{helper + "=stay"}
	p, ended, err := c.Spawn(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	if err := KillInNamespaces([]string{"tombolo-no-such-name"}); err != nil || !p.Alive() {
		t.Fatalf("killing elsewhere: %v, alive %v", err, p.Alive())
	}
	if err := KillInNamespaces([]string{c.Namespace}); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !strings.Contains(err.Error(), "killed") {
		t.Errorf("ended with %v", err)
	}
}

func TestNamespaces(t *testing.T) {
	c := place(t)
	if err := CreateNamespace(c.Namespace); !errors.Is(err, fs.ErrExist) {
		t.Errorf("making it twice: %v", err)
	}
	names, err := Namespaces(c.Namespace)
	if err != nil || !slices.Equal(names, []string{c.Namespace}) {
		t.Errorf("listed %v, %v", names, err)
	}
	// Mounted twice, as two killed starters leave it.
	if err := unix.Mount(namespacePath(c.Namespace), namespacePath(c.Namespace), "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second finds nothing
		if err := DeleteNamespace(c.Namespace); err != nil {
			t.Fatal(err)
		}
	}
	if names, err := Namespaces(c.Namespace); err != nil || len(names) != 0 {
		t.Errorf("after deletion: %v, %v", names, err)
	}
}
