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
}

// openSpill makes what reads the map of these storages. A kernel without its own
// types (BTF) serves all the same: only what spilled is not seen there.
func openSpill(set mapSet, sizes Sizes) (*spill, error) {
	spec, err := loadSpill()
	if err != nil {
		return nil, err
	}
	progs := programs{}
	err = progs.add(spec, set, sizes, false)
	if errors.Is(err, ebpf.ErrNotSupported) {
		return &spill{missing: fmt.Errorf("sockets beyond the map of sockets are not seen, for which the kernel needs CONFIG_DEBUG_INFO_BTF: %w", err)}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("loading the iterator over sockets: %w", err)
	}
	defer progs.close() // the link holds it
	it, err := link.AttachIter(link.IterOptions{Program: progs[spillProgSpilled], Map: set[mapsMapSocketSpill]})
	if err != nil {
		return nil, fmt.Errorf("attaching the iterator over sockets: %w", err)
	}
	return &spill{iterator: it}, nil
}

func (s *spill) close() error {
	if s == nil || s.iterator == nil {
		return nil
	}
	return s.iterator.Close()
}

// read returns the sockets, as they are now.
func (s *spill) read() (out []Socket, err error) {
	if s.iterator == nil {
		return nil, s.missing
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
