package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Command is a process to be.
type Command struct {
	// Namespace and Cgroup (a path) are where the process is born.
	Namespace, Cgroup string
	// Args is the program and its arguments.
	Args []string
	// Env is the whole environment.
	Env []string
	Dir string
}

// Process names a started process: the start time tells it from a later one
// with the same number.
type Process struct {
	PID int `json:"pid"`
	// Start is the process's start in clock ticks since boot.
	Start uint64 `json:"start"`
}

// Spawn starts a process of a session of its own, which outlives this one;
// what it prints is appended to the file log. The channel gives the reason
// when it ends while this process is still there.
func (c Command) Spawn(log string) (Process, <-chan error, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return Process{}, nil, fmt.Errorf("opening a log: %w", err)
	}
	defer out.Close()
	cmd := c.cmd()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr.Setsid = true
	if err := c.start(cmd); err != nil {
		return Process{}, nil, err
	}
	p, err := processOf(cmd.Process.Pid)
	if err != nil {
		// It is our child and not waited for: the number is still its own.
		return Process{}, nil, errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	ended := make(chan error, 1)
	go func() {
		if err := cmd.Wait(); err != nil {
			ended <- err
			return
		}
		ended <- errors.New("exit status 0")
	}()
	return p, ended, nil
}

// Run runs the command to its end, with these streams.
func (c Command) Run(stdin io.Reader, stdout, stderr io.Writer) error {
	cmd, err := c.Child(stdin, stdout, stderr)
	if err != nil {
		return err
	}
	return cmd.Wait()
}

// Child starts the command as a child of this process, with these streams; the
// caller waits for it.
func (c Command) Child(stdin io.Reader, stdout, stderr io.Writer) (*exec.Cmd, error) {
	cmd := c.cmd()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	return cmd, c.start(cmd)
}

func (c Command) cmd() *exec.Cmd {
	return &exec.Cmd{Path: c.Args[0], Args: c.Args, Env: c.Env, Dir: c.Dir, SysProcAttr: &syscall.SysProcAttr{}}
}

// start forks from a thread inside of the namespace into the cgroup: the child
// never runs an instruction outside of them.
func (c Command) start(cmd *exec.Cmd) error {
	group, err := os.Open(c.Cgroup)
	if err != nil {
		return fmt.Errorf("starting %s: opening its cgroup: %w", c.Args[0], err)
	}
	defer group.Close()
	cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(group.Fd())
	return In(c.Namespace, func() error {
		if err := cmd.Start(); err != nil {
			return fmt.Errorf("starting %s: %w", c.Args[0], err)
		}
		return nil
	})
}

// Become replaces this process with the command: terminal, signals, streams
// and exit status are the command's own. It returns only on an error.
func (c Command) Become() error {
	if err := os.WriteFile(filepath.Join(c.Cgroup, "cgroup.procs"), []byte("0"), 0); err != nil {
		return fmt.Errorf("entering the cgroup: %w", err)
	}
	f, err := os.Open(namespacePath(c.Namespace))
	if err != nil {
		return fmt.Errorf("opening namespace %s: %w", c.Namespace, err)
	}
	// The thread that calls exec is the one that stays.
	runtime.LockOSThread()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering namespace %s: %w", c.Namespace, err)
	}
	if err := syscall.Exec(c.Args[0], c.Args, c.Env); err != nil {
		return fmt.Errorf("running %s: %w", c.Args[0], err)
	}
	return nil
}

// Alive says whether the process is there and has not ended: with all of its
// threads, since those that are still ending hold its files and locks.
func (p Process) Alive() bool {
	start, state, err := stat(p.PID)
	if err != nil || start != p.Start || state == 'X' {
		return false
	}
	if state != 'Z' {
		return true
	}
	// The first thread waits as a zombie for the others, and then for its parent.
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", p.PID))
	return err == nil && len(threads) > 1
}

// Signal sends a signal to the process, and to no other that has its number by
// now: the pidfd is opened before the start time is compared. A process that
// is gone is os.ErrProcessDone.
func (p Process) Signal(sig syscall.Signal) error {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return os.ErrProcessDone
	}
	if err != nil {
		return fmt.Errorf("opening process %d: %w", p.PID, err)
	}
	defer unix.Close(fd)
	if !p.Alive() {
		return os.ErrProcessDone
	}
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil {
		return fmt.Errorf("signalling process %d: %w", p.PID, err)
	}
	return nil
}

func processOf(pid int) (Process, error) {
	start, _, err := stat(pid)
	return Process{PID: pid, Start: start}, err
}

// stat reads a process's start time and state from proc_pid_stat(5).
func stat(pid int) (start uint64, state byte, err error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, fmt.Errorf("reading the state of process %d: %w", pid, err)
	}
	// The second field, the name in parentheses, may hold anything.
	_, rest, _ := strings.Cut(string(raw[strings.LastIndexByte(string(raw), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return 0, 0, fmt.Errorf("reading the state of process %d: %d fields", pid, len(fields)+2)
	}
	start, err = strconv.ParseUint(fields[19], 10, 64)
	return start, fields[0][0], err
}
