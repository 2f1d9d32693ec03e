package bpf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Foreign is a program that is not ours at one of our hooks. It is left alone:
// the kernel runs it after or before ours, on the same calls.
type Foreign struct {
	// Hook is our program's name there.
	Hook string
	// Cgroup is where it is attached: ours or one above it.
	Cgroup string
	// Program and Name are its id and, as far as the kernel keeps it, its name.
	Program uint32
	Name    string
}

// String says it in a line.
func (f Foreign) String() string {
	return fmt.Sprintf("%s: program %q (id %d) on %s", f.Hook, f.Name, f.Program, f.Cgroup)
}

// Foreign returns the programs of others that see the same calls as ours, where
// ours act on them.
func (d *Datapath) Foreign() ([]Foreign, error) {
	ours := make(map[ebpf.ProgramID]bool)
	for _, h := range hooks {
		id, err := linkProgram(d.pins.link(h))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("asking about our link %s: %w", h.name, err)
		}
		ours[id] = true
	}
	var all []Foreign
	for dir := d.cfg.Cgroup; isCgroup(dir); dir = filepath.Dir(dir) {
		found, err := foreignAt(dir, ours)
		if err != nil {
			return nil, fmt.Errorf("asking for the programs of %s: %w", dir, err)
		}
		all = append(all, found...)
	}
	return all, nil
}

// foreignAt returns what is attached to one cgroup and is not ours.
func foreignAt(dir string, ours map[ebpf.ProgramID]bool) ([]Foreign, error) {
	cgroup, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer cgroup.Close()
	var all []Foreign
	for _, h := range hooks {
		if h.listens {
			continue
		}
		res, err := link.QueryPrograms(link.QueryOptions{Target: int(cgroup.Fd()), Attach: h.attach})
		if err != nil {
			return nil, err
		}
		for _, p := range res.Programs {
			if ours[p.ID] {
				continue
			}
			name, err := programName(p.ID)
			if errors.Is(err, fs.ErrNotExist) {
				continue // gone since
			}
			if err != nil {
				return nil, err
			}
			all = append(all, Foreign{Hook: h.name, Cgroup: dir, Program: uint32(p.ID), Name: name})
		}
	}
	return all, nil
}

func programName(id ebpf.ProgramID) (string, error) {
	prog, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return "", err
	}
	defer prog.Close()
	info, err := prog.Info()
	if err != nil {
		return "", err
	}
	return info.Name, nil
}

func linkProgram(path string) (ebpf.ProgramID, error) {
	l, err := link.LoadPinnedLink(path, nil)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		return 0, err
	}
	return info.Program, nil
}

func isCgroup(path string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(path, &fs) == nil && int64(fs.Type) == unix.CGROUP2_SUPER_MAGIC
}
