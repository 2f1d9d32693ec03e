package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// lock is held by whoever makes or removes a lab. The file goes with its last
// holder; the lock itself goes with the process, however that ends.
type lock struct {
	file *os.File
	path string
}

// take locks a lab for this process. A lab that another process works on is an
// error that names the process.
func take(base, name string) (*lock, error) {
	path := filepath.Join(base, name+".lock")
	for {
		if err := os.MkdirAll(base, 0o755); err != nil {
			return nil, fmt.Errorf("locking lab %s: %w", name, err)
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
		if errors.Is(err, fs.ErrNotExist) {
			continue // another lab's release removed the directory in between
		}
		if err != nil {
			return nil, fmt.Errorf("locking lab %s: %w", name, err)
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			defer f.Close()
			return nil, busy(f, name, err)
		}
		if samePath(f, path) {
			return &lock{file: f, path: path}, note(f)
		}
		f.Close() // the holder before us removed the file: what we hold has no name
	}
}

func busy(f *os.File, name string, err error) error {
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("locking lab %s: %w", name, err)
	}
	var pid [32]byte
	n, _ := f.ReadAt(pid[:], 0)
	return fmt.Errorf("lab %s is being worked on by process %s; wait for it to end", name, strings.TrimSpace(string(pid[:n])))
}

// note writes our process into the file, for whoever finds it locked.
func note(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := fmt.Fprintln(f, os.Getpid())
	return err
}

func samePath(f *os.File, path string) bool {
	held, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(held, named)
}

// release unlocks and leaves nothing behind: the directory of all labs goes
// with the last of them.
func (l *lock) release() {
	os.Remove(l.path)
	os.Remove(filepath.Dir(l.path)) // fails while another lab is there
	l.file.Close()
}

// changing waits until nobody else changes a lab that is up, and keeps others
// from it until unlock is called.
func (l *Lab) changing() (unlock func(), err error) {
	if _, err := os.Stat(l.upFile()); err != nil {
		return nil, fmt.Errorf("lab %s is not up: tombolo lab up --name %[1]s", l.Lab)
	}
	return l.alone()
}

// alone is changing for a process of the lab itself, which runs before the lab
// is up.
func (l *Lab) alone() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(l.Dir, "change.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err == nil {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		return nil, fmt.Errorf("locking lab %s for a change: %w", l.Lab, err)
	}
	return func() { f.Close() }, nil
}
