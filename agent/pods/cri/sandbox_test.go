package cri

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestCgroupOf(t *testing.T) {
	for text, want := range map[string]string{
		`{"config":{"linux":{"cgroup_parent":"/kubepods/besteffort/pod1-2"}}}`:                "/kubepods/besteffort/pod1-2",
		`{"config":{"linux":{"cgroup_parent":"kubepods-besteffort-pod1_2.slice"}}}`:           "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1_2.slice",
		`{"config":{"linux":{"cgroup_parent":"/kubelet.slice/kubelet-kubepods-pod1.slice"}}}`: "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod1.slice",
		`{"runtimeSpec":{"linux":{"cgroupsPath":"kubepods-pod1.slice:crio:8f9ec"}},"pid":1}`:  "/kubepods.slice/kubepods-pod1.slice",
		`{"runtimeSpec":{"linux":{"cgroupsPath":"/kubepods/pod1/8f9ec"}}}`:                    "/kubepods/pod1",
		`{"config":{"linux":{"cgroup_parent":"../../etc"}}}`:                                  "/etc",
		`{"runtimeSpec":{"linux":{}}}`:                                                        "",
		`{"config":{"linux":{"cgroup_parent":"/"}}}`:                                          "",
		`no JSON`: "",
		``:        "",
	} {
		if got := cgroupOf(map[string]string{"info": text}); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// TestLook asks this machine's kernel.
func TestLook(t *testing.T) {
	mount := mountOf(t)
	if got := look(mount, "/no-such-cgroup-of-tombolo"); got != ended {
		t.Errorf("one that is not there: %v", got)
	}
	empty, err := os.MkdirTemp(mount, "tombolo-look")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(empty)
	if got := look(mount, filepath.Base(empty)); got != ended {
		t.Errorf("one without processes: %v", got)
	}
	if got := look(t.TempDir(), "/a"); got != unsure {
		t.Errorf("where cgroup2 is not mounted: %v", got)
	}
	if got := look(mount, ""); got != unsure {
		t.Errorf("of a pod whose cgroup is not known: %v", got)
	}
	child := exec.Command("cat")
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(empty, "cgroup.procs"), []byte(strconv.Itoa(child.Process.Pid)), 0o644); err != nil {
		t.Error(err)
	}
	if got := look(mount, filepath.Base(empty)); got != running {
		t.Errorf("that of a process that runs: %v", got)
	}
	stdin.Close()
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
	if got := look(mount, filepath.Base(empty)); got != ended {
		t.Errorf("that of a process that ended: %v", got)
	}
}

// mountOf returns where cgroup2 is mounted.
func mountOf(t *testing.T) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" {
			return f[1]
		}
	}
	t.Fatal("cgroup2 is not mounted: mount -t cgroup2 cgroup2 /sys/fs/cgroup")
	return ""
}
