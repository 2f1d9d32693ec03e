package sandbox

import (
	"path/filepath"
	"slices"
	"testing"
)

func TestMounts(t *testing.T) {
	dir := t.TempDir()
	for range 2 { // one upon the other
		if err := MountBPF(filepath.Join(dir, "a b", "bpf")); err != nil {
			t.Fatal(err)
		}
	}
	own := filepath.Join(dir, "cgroup")
	if err := MountCgroups(own); err != nil {
		t.Fatal(err)
	}
	if root, err := FindCgroups(dir); err == nil && below(root, dir) {
		t.Errorf("found %s, which is below what is excluded", root)
	}
	if err := UnmountBelow(dir); err != nil {
		t.Fatal(err)
	}
	all, err := mounts()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if below(m.path, dir) {
			t.Errorf("%s is still mounted", m.path)
		}
	}
}

func TestParseMounts(t *testing.T) {
	got := parseMounts(`22 1 254:0 / / rw,relatime - ext4 /dev/root rw
30 22 0:26 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw
31 22 0:27 / /run/a\040b\134c rw shared:1 master:2 - bpf bpf rw
a line that is none
`)
	want := []mountPoint{{"/", "ext4"}, {"/sys/fs/cgroup/unified", "cgroup2"}, {`/run/a b\c`, "bpf"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestBelow(t *testing.T) {
	for _, c := range []struct {
		path, dir string
		want      bool
	}{{"/run/lab/a", "/run/lab", true}, {"/run/lab", "/run/lab", true}, {"/run/lab2", "/run/lab", false}, {"/run", "", false}, {"/run", "/", true}} {
		if got := below(c.path, c.dir); got != c.want {
			t.Errorf("below(%q, %q) = %v", c.path, c.dir, got)
		}
	}
}
