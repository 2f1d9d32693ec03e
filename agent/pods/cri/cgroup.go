package cri

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// info is what of a runtime's verbose answer is used; it is JSON under the key "info".
// containerd has both fields, CRI-O the second.
type info struct {
	Config struct {
		Linux struct {
			CgroupParent string `json:"cgroup_parent"`
		} `json:"linux"`
	} `json:"config"`
	RuntimeSpec struct {
		Linux struct {
			CgroupsPath string `json:"cgroupsPath"`
		} `json:"linux"`
	} `json:"runtimeSpec"`
}

// cgroupOf returns the cgroup of a whole pod as a path below the mount of cgroup2, or
// nothing where the runtime does not say it. It is a path already with the cgroupfs
// driver (/kubepods/burstable/podUID), and with that of systemd the name of a slice
// (kubepods-burstable-podUID.slice); of one container it has the container's name
// behind a slash or a colon.
func cgroupOf(all map[string]string) string {
	var i info
	if json.Unmarshal([]byte(all["info"]), &i) != nil {
		return ""
	}
	parent := i.Config.Linux.CgroupParent
	if own := i.RuntimeSpec.Linux.CgroupsPath; parent == "" {
		slice, _, systemd := strings.Cut(own, ":")
		if parent = slice; !systemd && own != "" {
			parent = path.Dir(own)
		}
	}
	if name := path.Base(parent); strings.HasSuffix(name, ".slice") {
		parent = slicePath(name)
	}
	if parent = path.Clean("/" + parent); parent == "/" {
		return ""
	}
	return parent
}

// slicePath returns where systemd has a slice: a-b.slice is in a.slice
// (systemd.slice(5)).
func slicePath(name string) string {
	out, prefix := "", ""
	for _, part := range strings.Split(strings.TrimSuffix(name, ".slice"), "-") {
		prefix += part
		out += "/" + prefix + ".slice"
		prefix += "-"
	}
	return out
}

// presence is what the kernel says of a pod's processes.
type presence uint8

const (
	unsure presence = iota // it cannot be asked
	running
	ended
)

// look asks the kernel whether processes are in a cgroup or below it: cgroup.events of
// cgroup v2, which is made and removed with the cgroup.
func look(mount, cgroup string) presence {
	if mount == "" || cgroup == "" {
		return unsure
	}
	raw, err := os.ReadFile(filepath.Join(mount, cgroup, "cgroup.events"))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(mount, "cgroup.controllers")); err == nil {
			return ended
		}
		return unsure // that is no cgroup2
	}
	if err != nil {
		return unsure
	}
	for line := range strings.Lines(string(raw)) {
		switch strings.TrimSpace(line) {
		case "populated 1":
			return running
		case "populated 0":
			return ended
		}
	}
	return unsure
}
