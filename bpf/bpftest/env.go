// Package bpftest makes what tests of the data path need: a bpffs and a cgroup
// of their own, and sockets whose process is in that cgroup and in a network
// namespace of its own, so that nothing else on the machine is touched.
//
// A socket belongs to the cgroup and the namespace of the process that made it,
// and to whoever holds its descriptor. So the test binary starts itself once
// more in the cgroup and the namespace; that child makes sockets and passes them
// to the test, which connects, sends and asks as it likes. A package that uses
// this calls Main in its TestMain.
package bpftest

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Env is a place for one data path.
type Env struct {
	// BPFFS is the directory of a bpffs that is gone with the test.
	BPFFS string
	// Cgroup is the directory of a cgroup that is gone with the test, and Above
	// the one that it is in.
	Cgroup, Above string
	// Place is in the cgroup, with a network namespace whose only device is lo.
	*Place
}

// New makes an Env. The test fails where something is missing.
func New(t testing.TB) *Env {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("tests of the data path need root")
	}
	e := &Env{BPFFS: MountBPFFS(t), Above: cgroupMount(t)}
	e.Cgroup = NewCgroup(t, e.Above)
	e.Place = e.NewPlace(t)
	return e
}

// MountBPFFS mounts a new bpffs in a temporary directory.
func MountBPFFS(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		t.Fatalf("mounting a bpffs on %s: %v", dir, err)
	}
	t.Cleanup(func() {
		// A process that a test beside this one starts has our files open until it runs
		// its program, also those that are closed here meanwhile.
		err := unix.Unmount(dir, 0)
		for deadline := time.Now().Add(20 * time.Second); err == unix.EBUSY && time.Now().Before(deadline); err = unix.Unmount(dir, 0) {
			time.Sleep(5 * time.Millisecond)
		}
		if err != nil {
			t.Errorf("unmounting the bpffs on %s: %v", dir, err)
		}
	})
	return dir
}

// NewCgroup makes a cgroup below another, which is removed after the test.
func NewCgroup(t testing.TB, parent string) string {
	t.Helper()
	dir := filepath.Join(parent, fmt.Sprintf("tombolo-bpf-%d-%s", os.Getpid(), rand.Text()[:8]))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatalf("making a cgroup: %v", err)
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			t.Errorf("removing a cgroup: %v", err)
		}
	})
	return dir
}

// cgroupMount returns where cgroup2 is mounted.
func cgroupMount(t testing.TB) string {
	t.Helper()
	f, err := os.Open("/proc/mounts")
	if err != nil {
		t.Fatalf("looking for cgroup2: %v", err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 2 && fields[2] == "cgroup2" {
			return fields[1]
		}
	}
	t.Fatal("no cgroup2 is mounted: mount -t cgroup2 cgroup2 DIR")
	return ""
}
