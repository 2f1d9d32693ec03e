package bpftest

import (
	"fmt"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Wired has a device do as one that has a wire: what leaves it has its checksums, and what a
// program of XDP at the other end of the pair sends comes in, for which the kernel wants one
// here too.
func (n *Net) Wired(t testing.TB, device string) {
	t.Helper()
	passes, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, xdpPass), asm.Return()},
	})
	if err != nil {
		t.Fatalf("loading a program of XDP: %v", err)
	}
	t.Cleanup(func() { passes.Close() })
	n.device(t, device, func(l netlink.Link) error {
		if err := ethtool(device, ethtoolChecksums, 0); err != nil {
			return fmt.Errorf("ethtool: %w", err)
		}
		attached, err := link.AttachXDP(link.XDPOptions{Program: passes, Interface: l.Attrs().Index, Flags: link.XDPDriverMode})
		if err == nil {
			t.Cleanup(func() { attached.Close() })
		}
		return err
	})
}

const (
	ethtoolChecksums = 0x17 // ETHTOOL_STXCSUM of linux/ethtool.h
	xdpPass          = 2    // XDP_PASS of linux/bpf.h
)

func ethtool(device string, command, value uint32) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	data := [2]uint32{command, value}
	var request struct {
		name [unix.IFNAMSIZ]byte
		data *[2]uint32
		_    [16]byte
	}
	copy(request.name[:unix.IFNAMSIZ-1], device)
	request.data = &data
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return errno
	}
	return nil
}
