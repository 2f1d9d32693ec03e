package bpf

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/cilium/ebpf"
)

// DownAt returns how many clusters and nodes are down in the pinned maps that
// the programs of a bpffs use now, whoever wrote them: what the kernel goes by,
// for those who watch an agent from outside. It takes nothing over. Where
// nothing is pinned the error is fs.ErrNotExist.
func DownAt(bpffs string) (clusters, nodes int, err error) {
	dir, err := pinsOf(bpffs).live()
	if err == nil && dir == "" {
		err = fs.ErrNotExist
	}
	if err != nil {
		return 0, 0, fmt.Errorf("finding the maps pinned below %s: %w", bpffs, err)
	}
	clusters, err = notZero(filepath.Join(dir, "cluster_health"))
	if err != nil {
		return 0, 0, err
	}
	nodes, err = notZero(filepath.Join(dir, "node_health"))
	return clusters, nodes, err
}

// notZero counts the elements of a pinned array that are not zero.
func notZero(path string) (n int, err error) {
	m, err := ebpf.LoadPinnedMap(path, &ebpf.LoadPinOptions{ReadOnly: true})
	if err != nil {
		return 0, fmt.Errorf("opening pinned map %s: %w", filepath.Base(path), err)
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	keys, values := make([]uint32, m.MaxEntries()), make([]uint64, m.MaxEntries())
	// All at once, and not each by a system call of its own: those who watch must not
	// take the processor away from those whom they watch. Linux 5.6.
	read, err := m.BatchLookup(new(ebpf.MapBatchCursor), keys, values, nil)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) { // which is the map's end
		return 0, fmt.Errorf("reading pinned map %s: %w", filepath.Base(path), err)
	}
	for _, v := range values[:read] {
		if v != 0 {
			n++
		}
	}
	return n, nil
}
