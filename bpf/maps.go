package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
)

// mapSet is all maps of one instance, by name.
type mapSet map[string]*ebpf.Map

// mapSpecs returns the maps as they should be.
func mapSpecs(sizes Sizes) (map[string]*ebpf.MapSpec, error) {
	spec, err := loadMaps()
	if err != nil {
		return nil, err
	}
	specs := namedMaps(spec)
	setEntries(specs, sizes)
	return specs, nil
}

// namedMaps returns the maps of an object. A name with a dot is a section of
// its source: what the loader sets, and the enums that are for Go.
func namedMaps(spec *ebpf.CollectionSpec) map[string]*ebpf.MapSpec {
	specs := make(map[string]*ebpf.MapSpec)
	for name, m := range spec.Maps {
		if !strings.HasPrefix(name, ".") {
			specs[name] = m
		}
	}
	return specs
}

// setEntries sets the sizes of those maps that have one.
func setEntries(specs map[string]*ebpf.MapSpec, sizes Sizes) {
	for name, n := range sizes.entries() {
		if m := specs[name]; m != nil {
			m.MaxEntries = n
		}
	}
}

// openInstance is openMaps for the folder of an instance, which says their layout.
func openInstance(dir string, specs map[string]*ebpf.MapSpec) (mapSet, error) {
	if version := filepath.Base(filepath.Dir(dir)); version != layout {
		return nil, fmt.Errorf("layout %s instead of %s: %w", version, layout, ebpf.ErrMapIncompatible)
	}
	return openMaps(dir, specs)
}

// openMaps opens the maps pinned in a folder; an error that is
// ebpf.ErrMapIncompatible or fs.ErrNotExist when they are not what they should be.
func openMaps(dir string, specs map[string]*ebpf.MapSpec) (mapSet, error) {
	set := make(mapSet, len(specs))
	for name, spec := range specs {
		m, err := ebpf.LoadPinnedMap(filepath.Join(dir, name), nil)
		if err == nil {
			set[name] = m
			err = spec.Compatible(m)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("opening map %s: %w", filepath.Join(dir, name), err), set.close())
		}
	}
	return set, nil
}

// makeMaps makes new maps and pins them in a folder, whose old contents go.
func makeMaps(dir string, specs map[string]*ebpf.MapSpec) (mapSet, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("removing unused maps: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making a folder for maps: %w", err)
	}
	set := make(mapSet, len(specs))
	for name, spec := range specs {
		m, err := ebpf.NewMap(spec)
		if err == nil {
			set[name] = m
			err = m.Pin(filepath.Join(dir, name))
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("making map %q: %w", name, err), set.close())
		}
	}
	return set, nil
}

func (s mapSet) close() error {
	var errs []error
	for _, m := range s {
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
}
