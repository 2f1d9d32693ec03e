package bpf

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// memory is the contents of a mapped array, as words of 64 bits. Programs run
// while it is written, so what they may look at is loaded and stored a word at
// a time. (ebpf.Memory would do, but for its lack of atomic access to a map's
// memory; this needs nothing else of it.)
type memory struct {
	bytes []byte
	words []uint64
}

// mapMemory maps the whole of an array that was made with BPF_F_MMAPABLE.
func mapMemory(m *ebpf.Map) (memory, error) {
	size := int(m.MaxEntries()) * int((m.ValueSize()+7)/8*8)
	b, err := unix.Mmap(m.FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return memory{}, fmt.Errorf("mapping %d bytes: %w", size, err)
	}
	words := unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(b))), size/8)
	return memory{bytes: b, words: words}, nil
}

// load returns word i.
func (m memory) load(i uint32) uint64 { return atomic.LoadUint64(&m.words[i]) }

// store writes word i.
func (m memory) store(i uint32, v uint64) { atomic.StoreUint64(&m.words[i], v) }

// halves returns the contents as numbers of 32 bits.
func (m memory) halves() []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(m.bytes))), len(m.bytes)/4)
}

func (m memory) close() error { return unix.Munmap(m.bytes) }
