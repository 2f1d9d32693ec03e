package bpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// grace waits for RCU grace periods. The kernel promises one to whoever updates
// a map of maps from user space (maybe_wait_bpf_programs): when the call
// returns, every program has ended that could have seen the old inner map.
// membarrier(MEMBARRIER_CMD_GLOBAL) takes as long, but is refused under
// nohz_full, and does not wait at all where one CPU is online, although a
// preemptible kernel may have preempted a program there.
type grace struct {
	outer, inner *ebpf.Map
}

func newGrace() (*grace, error) {
	spec := &ebpf.MapSpec{Name: "grace_inner", Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1}
	inner, err := ebpf.NewMap(spec)
	if err != nil {
		return nil, fmt.Errorf("making a map: %w", err)
	}
	outer, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "grace", Type: ebpf.ArrayOfMaps, KeySize: 4, ValueSize: 4, MaxEntries: 1, InnerMap: spec,
	})
	if err != nil {
		inner.Close()
		return nil, fmt.Errorf("making a map of maps: %w", err)
	}
	return &grace{outer: outer, inner: inner}, nil
}

func (g *grace) wait() error {
	if err := g.outer.Put(uint32(0), g.inner); err != nil {
		return fmt.Errorf("waiting for a grace period: %w", err)
	}
	return nil
}

func (g *grace) close() error { return errors.Join(g.outer.Close(), g.inner.Close()) }
