// Command guest is the first process of the machine that internal/vm starts. It
// mounts what tests want of a node, loads modules, runs the tests of its Job, tells
// of them on the second serial port, and switches the machine off.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/internal/vm/job"
)

// port is where the guest tells of what it does; the kernel has the first one.
const port = "/dev/ttyS1"

func main() {
	if err := boot(); err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err) // on the kernel's console: there is no port yet
	} else if out, err := os.OpenFile(port, os.O_WRONLY, 0); err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
	} else {
		r := &reporter{out: out}
		if err := work(r); err != nil {
			r.say(job.Line{Event: job.Fails, Text: err.Error()})
		} else {
			r.say(job.Line{Event: job.Done})
		}
	}
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		panic(err) // and so does the kernel, which ends the machine, too
	}
}

// boot makes of the initramfs what tests find on a node.
func boot() error {
	for _, m := range []struct{ kind, at string }{
		{"devtmpfs", "/dev"},
		{"proc", "/proc"},
		{"sysfs", "/sys"},
		{"cgroup2", "/sys/fs/cgroup"},
		{"bpf", "/sys/fs/bpf"},
		{"tmpfs", "/tmp"},
		{"tmpfs", "/run"},
	} {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mounting %s on %s: %w", m.kind, m.at, err)
		}
	}
	return loopbackUp()
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("bringing lo up: %w", err)
	}
	return nil
}

func work(r *reporter) error {
	text, err := os.ReadFile(job.File)
	if err != nil {
		return err
	}
	var j job.Job
	if err := json.Unmarshal(text, &j); err != nil {
		return fmt.Errorf("reading the job: %w", err)
	}
	for _, path := range j.Modules {
		if err := load(path); err != nil {
			return fmt.Errorf("loading %s: %w", path, err)
		}
	}
	var uname unix.Utsname
	if err := unix.Uname(&uname); err != nil {
		return err
	}
	r.say(job.Line{Event: job.Booted, Text: unix.ByteSliceToString(uname.Release[:])})
	lacks := make(map[string]bool)
	for name, has := range features {
		if !has() {
			lacks[name] = true
			r.say(job.Line{Event: job.Lacks, Text: name})
		}
	}
	runAll(r, j.Parts, lacks)
	return nil
}

func load(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.FinitModule(int(f.Fd()), "", 0)
}
