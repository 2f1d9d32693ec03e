package bpf

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// spill reads the flows that lie in the storage of their own sockets.
type spill struct {
	// iterator is nil if missing says why.
	iterator *link.Iter
	missing  error
	counters *ebpf.Map
}

// openSpill makes what reads the map of these storages. A kernel without its own
// types (BTF), or one that allows no iterator, serves all the same: only what spilled
// is not seen there, and that is said once something has.
func openSpill(set mapSet, sizes Sizes) *spill {
	it, err := spillIterator(set, sizes)
	if errors.Is(err, ebpf.ErrNotSupported) {
		err = fmt.Errorf("%w (the kernel needs CONFIG_DEBUG_INFO_BTF)", err)
	}
	if err != nil {
		err = fmt.Errorf("sockets beyond the map of sockets are not seen: %w", err)
	}
	return &spill{iterator: it, missing: err, counters: set[mapsMapCounters]}
}

func spillIterator(set mapSet, sizes Sizes) (*link.Iter, error) {
	spec, err := loadSpill()
	if err != nil {
		return nil, err
	}
	progs := programs{}
	if err := progs.add(spec, set, sizes, false, 0); err != nil {
		return nil, fmt.Errorf("loading the iterator over sockets: %w", err)
	}
	defer progs.close() // the link holds it
	it, err := link.AttachIter(link.IterOptions{Program: progs[spillProgSpilled], Map: set[mapsMapSocketSpill]})
	if err != nil {
		return nil, fmt.Errorf("attaching the iterator over sockets: %w", err)
	}
	return it, nil
}

func (s *spill) close() error {
	if s == nil || s.iterator == nil {
		return nil
	}
	return s.iterator.Close()
}

// unseen returns why the sockets cannot be read, if some spilled since the maps were
// made.
func (s *spill) unseen() error {
	n, err := sumPerCPU(s.counters, uint32(mapsCounterCOUNTER_SPILLED))
	if n > 0 {
		return s.missing
	}
	return err
}

// read returns the sockets, as they are now. One that comes or goes meanwhile may be
// missing, or there twice. It takes the square of their number in time, for the kernel
// walks its list anew for every 500 of them.
func (s *spill) read() (out []Socket, err error) {
	if s.iterator == nil {
		return nil, s.unseen()
	}
	it, err := s.iterator.Open()
	if err != nil {
		return nil, fmt.Errorf("walking over the sockets' storages: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	// The kernel begins anew for each read, and steps over those it told of.
	r := bufio.NewReaderSize(it, 1<<16)
	var c mapsSpilledSocket
	raw := (*[unsafe.Sizeof(c)]byte)(unsafe.Pointer(&c))[:]
	for {
		switch _, err := io.ReadFull(r, raw); {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, fmt.Errorf("walking over the sockets' storages: %w", err)
		}
		socket := socketOf(c.Socket)
		socket.Cookie = c.Cookie
		out = append(out, socket)
	}
}
