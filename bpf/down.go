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
	var key uint32
	var value uint64
	all := m.Iterate()
	for all.Next(&key, &value) {
		if value != 0 {
			n++
		}
	}
	return n, all.Err()
}
