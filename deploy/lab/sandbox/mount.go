package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// mountPoint is one line of mountinfo.
type mountPoint struct{ path, fstype string }

// mounts returns the mounts of this process, the oldest first.
func mounts() ([]mountPoint, error) {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("reading the mounts: %w", err)
	}
	return parseMounts(string(raw)), nil
}

// parseMounts reads mountinfo (proc_pid_mountinfo(5)): the fifth field is the
// mount point, and the first after the lone dash the type.
func parseMounts(info string) []mountPoint {
	var out []mountPoint
	for line := range strings.Lines(info) {
		left, right, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
		fields := strings.Fields(left)
		if !ok || len(fields) < 5 {
			continue
		}
		fstype, _, _ := strings.Cut(right, " ")
		out = append(out, mountPoint{path: unescape.Replace(fields[4]), fstype: fstype})
	}
	return out
}

// unescape undoes what the kernel does to the characters that part fields.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// UnmountBelow unmounts everything at and below dir, the youngest mount first.
func UnmountBelow(dir string) error {
	all, err := mounts()
	if err != nil {
		return err
	}
	var errs []error
	for i := len(all) - 1; i >= 0; i-- {
		if !below(all[i].path, dir) {
			continue
		}
		if err := unix.Unmount(all[i].path, unix.MNT_DETACH); err != nil {
			errs = append(errs, fmt.Errorf("unmounting %s: %w", all[i].path, err))
		}
	}
	return errors.Join(errs...)
}

// below says whether path is dir or lies below it; nothing is below "".
func below(path, dir string) bool {
	return dir != "" && (path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/"))
}
