package bpf

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"

	"github.com/cilium/ebpf"
)

// heirloom is a group of maps in which the programs note what sockets are
// connected to. That holds whatever becomes of services and backends, so maps of
// another layout or size take them over as they are, all of a group or none.
type heirloom struct {
	layout string
	// names are those that they have now, by those in the layout.
	names map[string]string
}

var heirlooms = []heirloom{
	{layout, map[string]string{mapsMapSockets: mapsMapSockets, mapsMapSocketSets: mapsMapSocketSets}},
	{layout, map[string]string{mapsMapSocketSpill: mapsMapSocketSpill}},
	// In v1 every socket had its flow in its own storage.
	{"v1", map[string]string{"sockets": mapsMapSocketSpill}},
}

// isHeirloom says whether a map of this name may be pinned in several instances.
func isHeirloom(name string) bool {
	for _, h := range heirlooms {
		if _, ok := h.names[name]; ok {
			return true
		}
	}
	return false
}

// inherit opens those maps of an instance that new ones beside it take over; none
// when it has none that fit.
func inherit(dir string, specs map[string]*ebpf.MapSpec) (mapSet, error) {
	all := make(mapSet)
	for _, h := range heirlooms {
		if dir == "" || filepath.Base(filepath.Dir(dir)) != h.layout {
			continue
		}
		group := make(mapSet, len(h.names))
		err := group.adopt(dir, h.names, specs)
		if err == nil {
			maps.Copy(all, group)
			continue
		}
		misfit := errors.Is(err, ebpf.ErrMapIncompatible) || errors.Is(err, fs.ErrNotExist)
		if closed := group.close(); !misfit || closed != nil {
			return nil, errors.Join(fmt.Errorf("taking maps over: %w", err), closed, all.close())
		}
	}
	return all, nil
}

// adopt opens maps under the names that they have now, each to be pinned once more.
func (s mapSet) adopt(dir string, names map[string]string, specs map[string]*ebpf.MapSpec) error {
	for old, name := range names {
		path := filepath.Join(dir, old)
		pinned, err := ebpf.LoadPinnedMap(path, nil)
		if err != nil {
			return fmt.Errorf("opening map %s: %w", path, err)
		}
		// Pinning the one that was opened by its pin would move that.
		s[name], err = pinned.Clone()
		if err = errors.Join(err, pinned.Close()); err == nil {
			err = specs[name].Compatible(s[name])
		}
		if err != nil {
			return fmt.Errorf("map %s: %w", path, err)
		}
	}
	return nil
}
