package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// KillInNamespaces kills every process that is in one of the namespaces,
// whoever started it there: an `ip netns exec` of the user keeps a deleted
// namespace alive.
func KillInNamespaces(names []string) error {
	inside := map[uint64]bool{}
	for _, name := range names {
		if ino, err := inode(namespacePath(name)); err == nil {
			inside[ino] = true
		}
	}
	own, err := inode("/proc/self/ns/net")
	if err != nil {
		return fmt.Errorf("looking at our own namespace: %w", err)
	}
	delete(inside, own) // a name that a killed starter did not get to mount upon
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return fmt.Errorf("listing processes: %w", err)
	}
	var errs []error
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		errs = append(errs, killIfIn(pid, inside))
	}
	return errors.Join(errs...)
}

// killIfIn holds the process by its pidfd before it looks where it is, so that
// the one that is killed is the one that was looked at.
func killIfIn(pid int, inside map[uint64]bool) error {
	path := fmt.Sprintf("/proc/%d/ns/net", pid)
	if ino, err := inode(path); err != nil || !inside[ino] {
		return nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil // it ended
	}
	defer unix.Close(fd)
	if ino, err := inode(path); err != nil || !inside[ino] {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, syscall.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("killing process %d: %w", pid, err)
	}
	return nil
}

func inode(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, err
	}
	return st.Ino, nil
}
