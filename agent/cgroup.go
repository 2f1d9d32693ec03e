package agent

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// DefaultBPFFS is where a bpffs is mounted on most machines.
const DefaultBPFFS = "/sys/fs/bpf"

// FindCgroup returns where cgroup2 is mounted: the cgroup of all sockets of the
// machine.
func FindCgroup() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", fmt.Errorf("looking for cgroup2: %w", err)
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" {
			return f[1], nil
		}
	}
	return "", errors.New("cgroup2 is not mounted: mount -t cgroup2 cgroup2 /sys/fs/cgroup, or give --cgroup")
}
