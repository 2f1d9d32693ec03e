package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// olderSnapshot is the variant that outdate prepares.
const olderSnapshot = "older_snapshot"

// snapshot is the file that outdate writes.
func (t *trial) snapshot(cluster string) string {
	return filepath.Join(t.RunDir(cluster+"-1"), "older.db")
}

// outdate takes a snapshot of both stores, for the variant that wants one, and has things
// go on: a pod comes that the snapshot lacks and nobody may drop when it is restored, and
// one goes that it still has and nobody may ask then.
func outdate(t *trial) error {
	if t.variant != olderSnapshot {
		return nil
	}
	return errors.Join(t.outdate("east"), t.outdate("west"))
}

func (t *trial) outdate(cluster string) error {
	if err := t.takeSnapshot(cluster); err != nil {
		return fmt.Errorf("taking a snapshot of the store of %s: %w", cluster, err)
	}
	node := cluster + "-2"
	came, err := t.AddPod(t.ctx, node, "", "")
	if err != nil {
		return err
	}
	gone, err := t.Machine(node + "-b")
	if err != nil {
		return err
	}
	if err := t.RemovePod(t.ctx, gone.Name); err != nil {
		return err
	}
	return t.awaitBackends(came.Addresses.IPv4, gone.Addresses[0].IPv4)
}

// takeSnapshot runs the command that an operator would.
func (t *trial) takeSnapshot(cluster string) error {
	c, err := t.Command(cluster+"-1", []string{"tombolo", "store", "snapshot", t.snapshot(cluster)})
	if err != nil {
		return err
	}
	var said bytes.Buffer
	if err := c.Run(nil, &said, &said); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(said.String()))
	}
	return nil
}

// awaitBackends returns when the maps of every node have a backend at one address and
// none at another, and fails after 15 s.
func (t *trial) awaitBackends(one, other netip.Addr) error {
	var last error
	for range 150 {
		w := t.newWatch()
		if err := w.look(); err != nil {
			return err
		}
		if last = w.lacks(one, other); last == nil {
			return nil
		}
		if err := t.wait(100 * time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("not within 15 s: %w", last)
}

// lacks says which node had no backend at one address at the first look, or had one at
// another.
func (w *watch) lacks(one, other netip.Addr) error {
	for node, backends := range w.first {
		at := func(a netip.Addr) bool {
			return slices.ContainsFunc(backends, func(b netip.AddrPort) bool { return b.Addr() == a })
		}
		if !at(one) || at(other) {
			return fmt.Errorf("%s has the backends %v, want one at %v and none at %v", node, backends, one, other)
		}
	}
	return nil
}
