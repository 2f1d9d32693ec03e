package main

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"tombolo.io/tombolo/bpf"
)

// watch looks at the maps of every node, which are what the kernel goes by,
// whatever becomes of the agents. It asks the lab nothing: that may change.
type watch struct {
	// pins says where the maps of a node are pinned, nodes and clusters what the
	// numbers in them stand for.
	pins     map[string]string
	nodes    []place
	clusters map[uint32]string
	// held is who held whom for down at any time.
	held held
	// first are the backends that each node had at the first look, and dropped
	// those of them that were missing at a later one, "NODE BACKEND".
	first   map[string][]netip.AddrPort
	dropped map[string]bool
}

// place is the addresses of a node and of its pods.
type place struct {
	node     string
	prefixes []netip.Prefix
}

func (t *trial) newWatch() *watch {
	w := &watch{pins: map[string]string{}, clusters: map[uint32]string{}, held: held{},
		first: map[string][]netip.AddrPort{}, dropped: map[string]bool{}}
	for _, c := range t.Clusters {
		w.clusters[uint32(c.ID)] = c.Name
		for _, n := range c.Nodes {
			own := []netip.Prefix{netip.PrefixFrom(n.Addresses.IPv4, 32), netip.PrefixFrom(n.Addresses.IPv6, 128)}
			w.pins[n.Name] = t.BPFFS(n.Name)
			w.nodes = append(w.nodes, place{n.Name, append(own, n.PodCIDR.List()...)})
		}
	}
	return w
}

// watchMaps looks ten times a second from now on; the function that it returns
// ends that and returns what was seen.
func (t *trial) watchMaps() (func() (*watch, error), error) {
	w := t.newWatch()
	if err := w.look(); err != nil { // before the fault
		return nil, err
	}
	ctx, cancel := context.WithCancel(t.ctx)
	end := make(chan error, 1)
	go func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				end <- nil
				return
			case <-tick.C:
			}
			if err := w.look(); err != nil {
				end <- err
				return
			}
		}
	}()
	return func() (*watch, error) {
		cancel()
		return w, <-end
	}, nil
}

// down returns who holds whom for down now.
func (t *trial) down() (held, error) {
	w := t.newWatch()
	err := w.look()
	return w.held, err
}

func (w *watch) look() error {
	for node, bpffs := range w.pins {
		d, err := bpf.Look(bpffs)
		if err != nil {
			return fmt.Errorf("looking at the maps of %s: %w", node, err)
		}
		w.see(node, d)
		if err := d.Close(); err != nil {
			return fmt.Errorf("looking at the maps of %s: %w", node, err)
		}
	}
	return nil
}

// see notes what the maps of a node hold.
func (w *watch) see(node string, d *bpf.Datapath) {
	for id := range d.Clusters.Len() {
		if d.Clusters.Get(id) != 0 {
			w.held.add(node, w.cluster(id))
		}
	}
	names, active := map[uint32]string{}, []netip.AddrPort{}
	for n := uint32(1); n < d.Backends.Len(); n++ {
		b := d.Backends.Read(n)
		if b.State == bpf.Free {
			continue
		}
		if name := w.nodeOf(b.Address.Addr()); name != "" {
			names[b.Node] = name
		}
		if b.State == bpf.Active {
			active = append(active, b.Address)
		}
	}
	for n := range d.Nodes.Len() {
		if d.Nodes.Get(n)&^bpf.ThisNode != 0 {
			w.held.add(node, nameOf(names, n))
		}
	}
	if w.first[node] == nil {
		w.first[node] = active
	}
	for _, b := range w.first[node] {
		if !slices.Contains(active, b) {
			w.dropped[fmt.Sprint(node, " ", b)] = true
		}
	}
}

// cluster returns the name of a cluster by its number.
func (w *watch) cluster(id uint32) string {
	return cmp.Or(w.clusters[id], fmt.Sprintf("cluster number %d", id))
}

// nodeOf returns the node that an address is of, or of whose pods.
func (w *watch) nodeOf(a netip.Addr) string {
	for _, p := range w.nodes {
		if slices.ContainsFunc(p.prefixes, func(n netip.Prefix) bool { return n.Contains(a) }) {
			return p.node
		}
	}
	return ""
}

// nameOf names a number of a node: the maps have no names, only backends.
func nameOf(names map[uint32]string, n uint32) string {
	return cmp.Or(names[n], fmt.Sprintf("node number %d", n))
}
