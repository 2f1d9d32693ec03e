// Package lab runs whole clusters on one Linux machine: every node, pod and
// router and a client outside is a network namespace, and what runs in them
// are the real processes of the one binary, each born in its node's cgroup.
//
// plan says what there is, sandbox makes the parts, objects and pki write what
// the processes read, and this package puts them together: Up, Down, Status,
// and what an operator does to a lab that is up (Exec, Apply, Delete, Kill,
// Start). The commands are independent processes: what they need to know of
// each other lies in the lab's state directory, and a lab whose directory is
// lost can still be taken down, because all it made bears its name.
//
//	<dir>/plan.json                    the plan; written before anything is made
//	<dir>/up                           written when the lab is up
//	<dir>/cgroup                       the cgroup2 hierarchy, where the host mounts none
//	<dir>/clusters/<cluster>/          manifests/, etcd/, pki/
//	<dir>/machines/<machine>/          run/, bpf/ (mounted), log/<role>.log, <role>.json
//	<dir>/machines/<node>/run/pods/    a file for each pod that runs there
//	<dir>/faults.json                  what is wrong on purpose
package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"tombolo.io/tombolo/deploy/lab/pki"
	"tombolo.io/tombolo/deploy/lab/plan"
	"tombolo.io/tombolo/deploy/lab/sandbox"
)

// DefaultBase is the directory below which labs keep their state. A lab of the
// same name below another directory is the same lab nevertheless: the names of
// namespaces and cgroups are the machine's.
const DefaultBase = "/run/tombolo-lab"

// Lab is a lab that is planned; whether it is up is another question.
type Lab struct {
	plan.Plan
	// base holds the state of all labs, and binary is the program that runs
	// in them.
	base, binary string
}

// ErrNoLab is returned for a lab that was never brought up, or was taken down.
var ErrNoLab = errors.New("no such lab")

// New plans a lab whose state lies below base; c.Dir is set from it. The
// processes of the lab run binary.
func New(base, binary string, c plan.Config) (*Lab, error) {
	c.Dir = filepath.Join(base, c.Lab)
	p, err := plan.New(c)
	if err != nil {
		return nil, err
	}
	return &Lab{Plan: p, base: base, binary: binary}, nil
}

// Load finds a lab by its name. One that has no plan is ErrNoLab.
func Load(base, binary, name string) (*Lab, error) {
	if err := plan.ValidName(name); err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(filepath.Join(base, name, "plan.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s; tombolo lab up --name %s makes it", ErrNoLab, name, name)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the plan: %w", err)
	}
	var p plan.Plan
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, fmt.Errorf("reading the plan of lab %s: %w; tombolo lab down --name %s removes it", name, err, name)
	}
	return &Lab{Plan: p, base: base, binary: binary}, nil
}

// save writes the plan.
func (l *Lab) save() error {
	raw, err := json.MarshalIndent(l.Plan, "", "  ")
	if err == nil {
		err = os.MkdirAll(l.Dir, 0o755)
	}
	if err == nil {
		err = writeFile(filepath.Join(l.Dir, "plan.json"), raw)
	}
	if err != nil {
		return fmt.Errorf("writing the plan: %w", err)
	}
	return nil
}

// upFile says that the lab came up whole.
func (l *Lab) upFile() string { return filepath.Join(l.Dir, "up") }

func (l *Lab) clusterDir(cluster string) string { return filepath.Join(l.Dir, "clusters", cluster) }
func (l *Lab) machineDir(machine string) string { return filepath.Join(l.Dir, "machines", machine) }

// Manifests is the directory of a cluster's objects.
func (l *Lab) Manifests(cluster string) string {
	return filepath.Join(l.clusterDir(cluster), "manifests")
}

// Certificates holds the certificates of a cluster.
func (l *Lab) Certificates(cluster string) pki.Dir {
	return pki.Dir(filepath.Join(l.clusterDir(cluster), "pki"))
}

// RunDir holds the unix sockets of a machine's processes.
func (l *Lab) RunDir(machine string) string { return filepath.Join(l.machineDir(machine), "run") }

// BPFFS is a node's BPF filesystem.
func (l *Lab) BPFFS(node string) string { return filepath.Join(l.machineDir(node), "bpf") }

// Log is where a process of a machine prints.
func (l *Lab) Log(machine string, role Role) string {
	return filepath.Join(l.machineDir(machine), "log", string(role)+".log")
}

// cgroups returns the lab's own cgroup: all of its processes are below it.
func (l *Lab) cgroups() (string, error) { return cgroupOf(l.base, l.Lab) }

func cgroupOf(base, lab string) (string, error) {
	own := filepath.Join(base, lab, "cgroup")
	if _, err := os.Stat(filepath.Join(own, "cgroup.procs")); err == nil {
		return filepath.Join(own, "tombolo-"+lab), nil
	}
	root, err := sandbox.FindCgroups(base)
	if errors.Is(err, fs.ErrNotExist) {
		if err := sandbox.MountCgroups(own); err != nil {
			return "", err
		}
		root = own
	} else if err != nil {
		return "", err
	}
	return filepath.Join(root, "tombolo-"+lab), nil
}

// writeFile replaces a file: readers see the old content or the new.
func writeFile(path string, raw []byte) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, raw, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// missing says that err is about something that is not there.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
