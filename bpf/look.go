package bpf

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/cilium/ebpf"
)

// Look opens the maps that the attached programs use, beside the process that
// keeps them: to read from the views and to Close, for nothing else. An error that
// is fs.ErrNotExist says that no program is attached.
func Look(bpffs string) (*Datapath, error) {
	if err := checkBPFFS(bpffs); err != nil {
		return nil, err
	}
	d := &Datapath{pins: pinsOf(bpffs), restored: true}
	if err := d.look(); err != nil {
		return nil, errors.Join(fmt.Errorf("looking at the maps in use: %w", err), d.Close())
	}
	return d, nil
}

func (d *Datapath) look() error {
	dir, err := d.pins.live()
	if err != nil {
		return err
	}
	if dir == "" {
		return fmt.Errorf("no program is attached by a link below %s: %w", d.pins.links(), fs.ErrNotExist)
	}
	specs, err := mapSpecs(DefaultSizes())
	if err == nil {
		err = asPinned(specs, dir)
	}
	if err != nil {
		return err
	}
	if d.maps, err = openInstance(dir, specs); err != nil {
		return err
	}
	return d.makeViews()
}

// asPinned gives the specs the sizes of the maps in a folder.
func asPinned(specs map[string]*ebpf.MapSpec, dir string) error {
	for name, spec := range specs {
		m, err := ebpf.LoadPinnedMap(filepath.Join(dir, name), nil)
		if err != nil {
			return fmt.Errorf("opening map %s: %w", filepath.Join(dir, name), err)
		}
		spec.MaxEntries = m.MaxEntries()
		if err := m.Close(); err != nil {
			return err
		}
	}
	return nil
}
