package main

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// modules are those that nodes and tests use by name; nothing loads them on demand.
var modules = []string{
	"veth", "dummy", "8021q", "vxlan",
	"sch_ingress", "cls_bpf", "act_bpf", "sch_netem",
	"tcp_diag", "udp_diag",
}

// closure returns the files of modules and of those they need, each after what it needs.
func (k kernel) closure(names ...string) ([]string, error) {
	var order []string
	var add func(name string) error
	add = func(name string) error {
		if slices.Contains(order, k.module(name)) {
			return nil
		}
		needs, err := dependencies(k.module(name))
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is no module %s in %s", name, k.dir)
		}
		if err != nil {
			return fmt.Errorf("reading module %s: %w", name, err)
		}
		for _, n := range needs {
			if err := add(n); err != nil {
				return fmt.Errorf("for %s: %w", name, err)
			}
		}
		order = append(order, k.module(name))
		return nil
	}
	for _, name := range names {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// dependencies returns the names of the modules that one says it needs.
func dependencies(file string) ([]string, error) {
	f, err := elf.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	section := f.Section(".modinfo")
	if section == nil {
		return nil, errors.New("it has no .modinfo")
	}
	text, err := section.Data()
	if err != nil {
		return nil, err
	}
	for entry := range bytes.SplitSeq(text, []byte{0}) {
		if names, ok := strings.CutPrefix(string(entry), "depends="); ok && names != "" {
			return strings.Split(names, ","), nil
		}
	}
	return nil, nil
}
