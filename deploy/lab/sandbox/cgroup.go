package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// FindCgroups returns where the cgroup2 hierarchy is mounted, leaving out
// mounts below exclude: those belong to labs and go with them. It is
// fs.ErrNotExist when there is none.
func FindCgroups(exclude string) (string, error) {
	all, err := mounts()
	if err != nil {
		return "", err
	}
	for _, m := range all {
		if m.fstype == "cgroup2" && !below(m.path, exclude) {
			return m.path, nil
		}
	}
	return "", fmt.Errorf("finding the cgroup2 hierarchy: %w", fs.ErrNotExist)
}

// MountCgroups mounts the cgroup2 hierarchy at dir.
func MountCgroups(dir string) error { return mount("cgroup2", dir) }

// MountBPF mounts a BPF filesystem at dir.
func MountBPF(dir string) error { return mount("bpf", dir) }

func mount(fstype, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("mounting %s: %w", fstype, err)
	}
	if err := unix.Mount(fstype, dir, fstype, 0, ""); err != nil {
		return fmt.Errorf("mounting %s at %s: %w", fstype, dir, err)
	}
	return nil
}

// MakeCgroup makes a cgroup and those above it.
func MakeCgroup(path string) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fmt.Errorf("making a cgroup: %w", err)
	}
	return nil
}

// Processes returns the ids of the processes in a cgroup and below it; one that
// is not there has none.
func Processes(path string) ([]int, error) {
	var out []int
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(filepath.Join(p, "cgroup.procs"))
		for _, word := range strings.Fields(string(raw)) {
			pid, err := strconv.Atoi(word)
			if err != nil {
				return err
			}
			out = append(out, pid)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing the processes of a cgroup: %w", err)
	}
	return out, nil
}

// RemoveCgroup kills every process in a cgroup and below it, waits until they
// are gone, and removes it. One that is not there is no error.
func RemoveCgroup(ctx context.Context, path string) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.WriteFile(filepath.Join(path, "cgroup.kill"), []byte("1"), 0); err != nil {
		return fmt.Errorf("killing the processes of a cgroup: %w", err)
	}
	if err := awaitEmpty(ctx, path); err != nil {
		return err
	}
	var dirs []string
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, p)
		}
		return err
	})
	for i := len(dirs) - 1; i >= 0 && err == nil; i-- { // the deepest first
		err = unix.Rmdir(dirs[i])
	}
	if err != nil {
		return fmt.Errorf("removing cgroup %s: %w", path, err)
	}
	return nil
}

// awaitEmpty waits until no process is left in a cgroup and below it: a killed
// process leaves when the kernel has torn it down.
func awaitEmpty(ctx context.Context, path string) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		events, err := os.ReadFile(filepath.Join(path, "cgroup.events"))
		if err != nil {
			return fmt.Errorf("reading the state of a cgroup: %w", err)
		}
		if strings.Contains(string(events), "populated 0\n") {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the processes of cgroup %s to end: %w", path, ctx.Err())
		case <-tick.C:
		}
	}
}
