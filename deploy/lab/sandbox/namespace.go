package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// namespaceDir is where iproute2 looks for named namespaces.
const namespaceDir = "/run/netns"

func namespacePath(name string) string { return filepath.Join(namespaceDir, name) }

// CreateNamespace makes a network namespace that `ip netns` knows by this
// name, with its loopback down. A name in use is fs.ErrExist.
func CreateNamespace(name string) error {
	if err := shareNamespaceDir(); err != nil {
		return err
	}
	path := namespacePath(name)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("creating namespace %s: %w", name, err)
	}
	f.Close()
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		return unix.Mount(threadNamespace(), path, "", unix.MS_BIND, "")
	})
	if err != nil {
		os.Remove(path)
		return fmt.Errorf("creating namespace %s: %w", name, err)
	}
	return nil
}

// shareNamespaceDir makes namespaceDir a shared mount, as `ip netns add` does:
// were it not, iproute2 would do so later on top of our mounts, which would
// then be out of reach.
func shareNamespaceDir() error {
	if err := os.MkdirAll(namespaceDir, 0o755); err != nil {
		return fmt.Errorf("creating the directory of namespaces: %w", err)
	}
	err := unix.Mount("", namespaceDir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if !errors.Is(err, unix.EINVAL) { // EINVAL: not a mount point yet
		return err
	}
	if err := unix.Mount(namespaceDir, namespaceDir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mounting %s: %w", namespaceDir, err)
	}
	return unix.Mount("", namespaceDir, "none", unix.MS_SHARED|unix.MS_REC, "")
}

// DeleteNamespace removes the name; the namespace itself ends with its last
// process and socket. A name that is not there is no error.
func DeleteNamespace(name string) error {
	path := namespacePath(name)
	for {
		// A file that two killed starters mounted on is mounted twice.
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			break
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("deleting namespace %s: %w", name, err)
	}
	return nil
}

// Namespaces returns the names of the namespaces that begin with prefix.
func Namespaces(prefix string) ([]string, error) {
	entries, err := os.ReadDir(namespaceDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing namespaces: %w", err)
	}
	var out []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

// In runs do on a thread inside of a namespace: sockets it opens and processes
// it starts are born there. Goroutines that do starts are not.
func In(namespace string, do func() error) error {
	f, err := os.Open(namespacePath(namespace))
	if err != nil {
		return fmt.Errorf("opening namespace %s: %w", namespace, err)
	}
	defer f.Close()
	return onThread(func() error {
		if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering namespace %s: %w", namespace, err)
		}
		return do()
	})
}

// onThread runs do on a thread of its own and brings that thread back to the
// namespace it came from. A thread that cannot go back dies with its goroutine.
func onThread(do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open(threadNamespace())
		if err != nil {
			runtime.UnlockOSThread()
			done <- fmt.Errorf("opening our own namespace: %w", err)
			return
		}
		err = do()
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		home.Close()
		done <- err
	}()
	return <-done
}

func threadNamespace() string { return fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()) }
