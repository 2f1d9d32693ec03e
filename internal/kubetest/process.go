package kubetest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/internal/kube"
)

// process is a program of the control plane, which can be ended and started.
type process struct {
	t    testing.TB
	name string
	path string
	args []string
	log  string
	cmd  *exec.Cmd
	// ended is closed when the process that was started last is gone.
	ended chan struct{}
}

func (c *Cluster) process(name string, args []string) *process {
	c.t.Helper()
	path, err := program(name)
	c.must(err)
	return &process{t: c.t, name: name, path: path, args: args, log: filepath.Join(c.Dir, name+".log")}
}

// program finds what make kube built, from the folder of any package.
func program(name string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding %s: %w", name, err)
	}
	for {
		if raw, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil && strings.HasPrefix(string(raw), "module tombolo.io/tombolo\n") {
			return kube.Program(filepath.Join(dir, "bin"), name)
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", fmt.Errorf("finding %s: this test does not run in Tombolo's tree", name)
		}
		dir = up
	}
}

// start starts the process, unless it runs. It dies with the test's process,
// however that ends.
func (p *process) start() {
	p.t.Helper()
	if p.running() {
		return
	}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		p.t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(p.path, p.args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error, 1), make(chan struct{})
	go func() {
		// The signal comes with the death of the thread that forked.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
		}
		close(ended)
	}()
	if err := <-started; err != nil {
		p.t.Fatal(err)
	}
	p.cmd, p.ended = cmd, ended
}

func (p *process) running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// signal sends a signal to the process, if it is there.
func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	if p.cmd == nil {
		return
	}
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("sending %v to %s: %v", sig, p.name, err)
	}
}

// pause stops the process, and returns when all of its threads stand still: they go on
// for as long as it takes until the first of them is told, on a machine that does much
// else.
func (p *process) pause() {
	p.t.Helper()
	if p.signal(syscall.SIGSTOP); p.cmd == nil {
		return
	}
	err := unix.EINTR
	for err == unix.EINTR {
		err, _ = unix.Waitid(unix.P_PID, p.cmd.Process.Pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil).(unix.Errno)
	}
	if err != 0 && err != unix.ECHILD { // it ended
		p.t.Errorf("waiting until %s stands still: %v", p.name, err)
	}
}

// endsWithin is how long one that is asked to end may take: kube-apiserver waits
// a minute for watches that nobody ends.
const endsWithin = 3 * time.Second

// end has the process end by a signal, in the last resort by SIGKILL, and
// returns when it is gone.
func (p *process) end(sig syscall.Signal) {
	p.t.Helper()
	if p.cmd == nil {
		return
	}
	p.signal(sig)
	p.signal(syscall.SIGCONT) // one that was stopped would not end
	select {
	case <-p.ended:
	case <-time.After(endsWithin):
		p.signal(syscall.SIGKILL)
		<-p.ended
	}
}

// tail returns the last lines that the process printed.
func (p *process) tail() string {
	raw, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}
