package bpf

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"golang.org/x/sys/unix"
)

// hook is one place in the kernel where one of our programs runs.
type hook struct {
	name   string // of the program, and of its link's pin
	attach ebpf.AttachType
	// listens: it only looks on, so that programs of others are no rivals.
	listens bool
	// onDemand: it costs those a microsecond a connection who do not need it, so it
	// is attached only while Hear says so.
	onDemand bool
}

// hooks are attached and swapped in this order, and detached in the reverse:
// answers are translated, what is noted of a socket is forgotten, and what becomes
// of connections is heard, before the first is led. By its maps the first tells which
// instance is in use.
var hooks = []hook{
	{name: "recvmsg4", attach: ebpf.AttachCGroupUDP4Recvmsg},
	{name: "recvmsg6", attach: ebpf.AttachCGroupUDP6Recvmsg},
	{name: "getpeername4", attach: ebpf.AttachCgroupInet4GetPeername},
	{name: "getpeername6", attach: ebpf.AttachCgroupInet6GetPeername},
	{name: "sock_release", attach: ebpf.AttachCgroupInetSockRelease, listens: true},
	{name: "opening", attach: ebpf.AttachCGroupSockOps, listens: true, onDemand: true},
	{name: "connect4", attach: ebpf.AttachCGroupInet4Connect},
	{name: "connect6", attach: ebpf.AttachCGroupInet6Connect},
	{name: "sendmsg4", attach: ebpf.AttachCGroupUDP4Sendmsg},
	{name: "sendmsg6", attach: ebpf.AttachCGroupUDP6Sendmsg},
}

// programs are loaded, by name.
type programs map[string]*ebpf.Program

// loadPrograms loads every program, to read and write these maps, for the node of the
// network namespace that the caller's thread is in. Without retval a program does
// without bpf_set_retval.
func loadPrograms(set mapSet, sizes Sizes, retval bool) (programs, error) {
	netns, err := netnsCookie()
	if err != nil {
		return nil, fmt.Errorf("loading programs: %w", err)
	}
	progs := make(programs, len(hooks))
	for _, load := range []func() (*ebpf.CollectionSpec, error){
		loadRelease, loadGetpeername, loadRecvmsg, loadSockops, loadConnect, loadSendmsg,
	} {
		spec, err := load()
		if err == nil {
			err = progs.add(spec, set, sizes, retval, netns)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("loading programs: %w", err), progs.close())
		}
	}
	return progs, nil
}

// add loads the programs of one object.
func (p programs) add(spec *ebpf.CollectionSpec, set mapSet, sizes Sizes, retval bool, netns uint64) error {
	setEntries(spec.Maps, sizes)
	replace := make(map[string]*ebpf.Map)
	for name := range spec.Maps {
		if m, ok := set[name]; ok {
			replace[name] = m
		}
	}
	for name, value := range map[string]any{
		"can_set_retval":  retval,
		"socket_mask":     sizes.Sockets/socketWays - 1,
		"stores_in_order": runtime.GOARCH == "amd64",
		"node_netns":      netns,
	} {
		if v := spec.Variables[name]; v != nil {
			if err := v.Set(value); err != nil {
				return err
			}
		}
	}
	loaded, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: replace})
	if err != nil {
		return err
	}
	defer loaded.Close()
	for _, name := range slices.Collect(maps.Keys(loaded.Programs)) {
		p[name] = loaded.DetachProgram(name)
	}
	return nil
}

// netnsCookie returns by what programs know the network namespace of the thread.
func netnsCookie() (uint64, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("asking for the network namespace: %w", err)
	}
	defer unix.Close(fd)
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return 0, fmt.Errorf("asking for the network namespace: %w", err)
	}
	return cookie, nil
}

// canSetRetval says whether a hook can choose the error of a call it refuses.
func canSetRetval() (bool, error) {
	err := features.HaveProgramHelper(ebpf.CGroupSockAddr, asm.FnSetRetval)
	if errors.Is(err, ebpf.ErrNotSupported) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("asking the kernel for bpf_set_retval: %w", err)
	}
	return true, nil
}

func (p programs) close() error {
	var errs []error
	for _, prog := range p {
		errs = append(errs, prog.Close())
	}
	return errors.Join(errs...)
}
