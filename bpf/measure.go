package bpf

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// RunTime is how often a program ran while the kernel counted, and for how long
// all told.
type RunTime struct {
	Count uint64
	Total time.Duration
}

// CountRunTime has the kernel count until the result is closed, of all programs of
// the machine, which makes each run some 50 ns longer.
func CountRunTime() (io.Closer, error) {
	c, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		return nil, fmt.Errorf("having the kernel count how long programs run: %w", err)
	}
	return c, nil
}

// RunTime returns what the kernel counted of one of this process's programs.
func (d *Datapath) RunTime(program string) (RunTime, error) {
	p, ok := d.programs[program]
	if !ok {
		return RunTime{}, fmt.Errorf("program %q is none of ours", program)
	}
	s, err := p.Stats()
	if err != nil {
		return RunTime{}, fmt.Errorf("asking how long %s ran: %w", program, err)
	}
	return RunTime{Count: s.RunCount, Total: s.Runtime}, nil
}

// LetPass attaches a program to a cgroup that lets every connect() over IPv4 pass,
// until the result is closed: what is left of the cost of ours is the kernel's.
func LetPass(cgroup string) (io.Closer, error) {
	l, err := letPass(cgroup)
	if err != nil {
		return nil, fmt.Errorf("attaching an idle program to %s: %w", cgroup, err)
	}
	return l, nil
}

func letPass(cgroup string) (_ io.Closer, err error) {
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "let_pass", Type: ebpf.CGroupSockAddr, AttachType: ebpf.AttachCGroupInet4Connect, License: "Dual BSD/GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()},
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, prog.Close()) }()
	return link.AttachCgroup(link.CgroupOptions{Path: cgroup, Attach: ebpf.AttachCGroupInet4Connect, Program: prog})
}
