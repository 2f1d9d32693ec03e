package e2e

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

// hooks are those of sockets, by the names that tombolo status uses.
var hooks = []struct {
	name string
	at   ebpf.AttachType
}{
	{"connect4", ebpf.AttachCGroupInet4Connect}, {"connect6", ebpf.AttachCGroupInet6Connect},
	{"sendmsg4", ebpf.AttachCGroupUDP4Sendmsg}, {"sendmsg6", ebpf.AttachCGroupUDP6Sendmsg},
	{"recvmsg4", ebpf.AttachCGroupUDP4Recvmsg}, {"recvmsg6", ebpf.AttachCGroupUDP6Recvmsg},
	{"getpeername4", ebpf.AttachCgroupInet4GetPeername}, {"getpeername6", ebpf.AttachCgroupInet6GetPeername},
	{"sock_ops", ebpf.AttachCGroupSockOps},
}

// attachedProgram asks the kernel which programs are at the hooks of a cgroup.
func attachedProgram() {
	if len(os.Args) != 2 {
		exit("usage: attached CGROUP")
	}
	cgroup, err := os.Open(os.Args[1])
	if err != nil {
		exit(err)
	}
	for _, h := range hooks {
		found, err := link.QueryPrograms(link.QueryOptions{Target: int(cgroup.Fd()), Attach: h.at})
		if err != nil {
			exit(fmt.Errorf("asking for the programs at %s: %w", h.name, err))
		}
		for _, p := range found.Programs {
			fmt.Println(h.name, p.ID)
		}
	}
}

// foreignProgram stands for another agent: its program lets every call pass.
func foreignProgram() {
	if len(os.Args) != 2 {
		exit("usage: foreign CGROUP")
	}
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "somebody_else", Type: ebpf.CGroupSockAddr, AttachType: hooks[0].at, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()},
	})
	if err != nil {
		exit(err)
	}
	l, err := link.AttachCgroup(link.CgroupOptions{Path: os.Args[1], Attach: hooks[0].at, Program: prog})
	if err != nil {
		exit(err)
	}
	defer l.Close()
	<-untilSignal().Done()
}

// untilSignal ends with SIGINT or SIGTERM.
func untilSignal() context.Context {
	ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	return ctx
}
