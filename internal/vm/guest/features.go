package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// features say whether this kernel has what some tests need. Each asks the kernel;
// none asks for its version.
var features = map[string]func() bool{
	"tcx": hasTCX,
}

// hasTCX asks which programs of tcx, of Linux 6.6, there are at the first device: none.
func hasTCX() bool {
	query := struct {
		device, hook, flags, found uint32
		ids                        uint64
		room                       uint32
	}{device: 1, hook: unix.BPF_TCX_INGRESS}
	_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_QUERY, uintptr(unsafe.Pointer(&query)), unsafe.Sizeof(query))
	return errno == 0
}
