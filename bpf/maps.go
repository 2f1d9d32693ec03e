package bpf

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
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
	for _, name := range additions {
		if err := addMap(filepath.Join(dir, name), specs[name]); err != nil {
			return nil, err
		}
	}
	return openMaps(dir, specs)
}

// additions are maps that a layout did not have at first. An instance of that time gets
// them, empty: the programs that use it do without, and flows stay.
var additions = []string{mapsMapRanges}

// addMap makes and pins a map where there is none.
func addMap(path string, spec *ebpf.MapSpec) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	m, err := ebpf.NewMap(spec)
	if err == nil {
		err = errors.Join(m.Pin(path), m.Close())
	}
	if err != nil {
		return fmt.Errorf("adding map %s: %w", path, err)
	}
	return nil
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

// makeMaps makes new maps, except those that are kept, and pins all of them in a
// folder, whose old contents go. The set has the kept ones, too.
func makeMaps(dir string, specs map[string]*ebpf.MapSpec, kept mapSet) (mapSet, error) {
	set := make(mapSet, len(specs))
	maps.Copy(set, kept)
	fail := func(err error) (mapSet, error) { return nil, errors.Join(err, set.close()) }
	if err := os.RemoveAll(dir); err != nil {
		return fail(fmt.Errorf("removing unused maps: %w", err))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(fmt.Errorf("making a folder for maps: %w", err))
	}
	for name, spec := range specs {
		var err error
		if set[name] == nil {
			if set[name], err = ebpf.NewMap(spec); err != nil {
				delete(set, name)
			}
		}
		if err == nil {
			err = set[name].Pin(filepath.Join(dir, name))
		}
		if err != nil {
			return fail(fmt.Errorf("making map %q: %w", name, err))
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

// of returns those that a specification names.
func (s mapSet) of(spec *ebpf.CollectionSpec) mapSet {
	named := mapSet{}
	for name := range spec.Maps {
		if m, ok := s[name]; ok {
			named[name] = m
		}
	}
	return named
}
