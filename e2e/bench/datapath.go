package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/deploy/lab/sandbox"
)

// place is where a datapath can be loaded: a bpffs and a cgroup of its own.
type place struct {
	dir, cgroups string
	config       bpf.Config
}

// newPlace makes a place with maps of the given sizes.
func newPlace(sizes bpf.Sizes) (*place, error) {
	cgroups, err := sandbox.FindCgroups("")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "tombolo-bench-")
	if err != nil {
		return nil, err
	}
	p := &place{dir: dir, cgroups: cgroups, config: bpf.Config{
		BPFFS: filepath.Join(dir, "bpf"), Sizes: sizes,
		Cgroup: filepath.Join(cgroups, filepath.Base(dir)),
	}}
	err = errors.Join(sandbox.MountBPF(p.config.BPFFS), sandbox.MakeCgroup(p.config.Cgroup))
	if err != nil {
		return nil, errors.Join(err, p.remove())
	}
	return p, nil
}

// enter moves this process into the place's cgroup, so that its sockets are balanced.
func (p *place) enter() error { return moveTo(p.config.Cgroup) }

// idle is a cgroup beside the place's own.
func (p *place) idle() string { return p.config.Cgroup + "-idle" }

// letPass makes the idle cgroup, and attaches a program to it that does nothing. The
// process must have left before stop is called.
func (p *place) letPass() (stop func() error, err error) {
	if err := sandbox.MakeCgroup(p.idle()); err != nil {
		return nil, err
	}
	remove := func() error { return sandbox.RemoveCgroup(context.Background(), p.idle()) }
	program, err := bpf.LetPass(p.idle())
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	return func() error { return errors.Join(program.Close(), remove()) }, nil
}

// leave moves it out again.
func (p *place) leave() error { return moveTo(p.cgroups) }

func moveTo(cgroup string) error {
	err := os.WriteFile(filepath.Join(cgroup, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0)
	if err != nil {
		return fmt.Errorf("entering cgroup %s: %w", cgroup, err)
	}
	return nil
}

// remove takes all of it away. The process must have left.
func (p *place) remove() error {
	return errors.Join(
		bpf.Uninstall(p.config),
		unix.Unmount(p.config.BPFFS, 0),
		sandbox.RemoveCgroup(context.Background(), p.config.Cgroup),
		os.RemoveAll(p.dir),
	)
}

// load loads a datapath and attaches it.
func (p *place) load() (*bpf.Datapath, error) {
	d, err := bpf.Load(p.config, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	if err := d.Attach(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}
