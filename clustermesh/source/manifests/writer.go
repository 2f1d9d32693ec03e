package manifests

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// patience is how long a file may be open for writing before that is told: its
	// writer has forgotten it, or waits for something that does not come.
	patience = 10 * time.Second
	// closing is after what time a file whose writer closed it is looked at again when
	// it is open still: the kernel says so a moment before it is done. Each time it is
	// twice as long.
	closing = time.Millisecond
)

// errOpen is of a file whose contents may not be whole: half of one may be whole YAML,
// without the objects of the other half.
var errOpen = errors.New("it is open for writing, and is read once its writer has closed it")

// openForWriting asks the kernel whether anybody has a file open for writing. It gives a
// read lease only while nobody has (fcntl(2)), and of that only the answer is wanted: the
// lease is given back at once, for whoever opens the file to write waits for that. The
// answer is not known of files of other users, without CAP_LEASE, and where the file
// system has no leases.
func openForWriting(f *os.File) (open, known bool) {
	_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	if err == nil {
		// A lease that was broken is gone as well: this cannot fail in a way that matters.
		_, _ = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
		return false, true
	}
	return true, errors.Is(err, unix.EAGAIN)
}

// whole returns the contents of a file and the stamp that they bear. It is errOpen when
// somebody writes to it, or has while it was read.
func (d *directory) whole(name string) ([]byte, stamp, error) {
	path := filepath.Join(d.path, name)
	info, err := os.Stat(path)
	if err != nil {
		return nil, stamp{}, err
	}
	if !info.Mode().IsRegular() { // opening it may take for ever
		return nil, stamp{}, errors.New("it is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, stamp{}, err
	}
	defer f.Close()
	if d.beingWritten(name, f) {
		return nil, stamp{}, errOpen
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, stamp{}, err
	}
	after, err := f.Stat()
	if err != nil {
		return nil, stamp{}, err
	}
	if stampOf(after) != stampOf(info) || d.beingWritten(name, f) {
		return nil, stamp{}, errOpen
	}
	return data, stampOf(after), nil
}

// beingWritten says whether a file's writer is not done, as the kernel knows or else as
// far as it was watched.
func (d *directory) beingWritten(name string, f *os.File) bool {
	if open, known := d.ask(f); known {
		return open
	}
	return d.written[name]
}

// wait is for how long a file may not have been whole.
type wait struct {
	since time.Time
	// told: that this is so was told.
	told bool
}

// wait returns the wait for a file, which begins now if there is none.
func (d *directory) wait(name string, now time.Time) wait {
	w, ok := d.waits[name]
	if !ok {
		w.since = now
		d.waits[name] = w
	}
	return w
}

// awaits says whether a file that is waited for may be whole soon. Before the first pass
// is complete nothing is known of it, so that nobody waits.
func (d *directory) awaits(w wait, now time.Time) bool {
	return d.passed && now.Sub(w.since) < patience
}

// await returns what stands for a file that is open for writing: what it was before and,
// if that takes too long, that this is so.
func (d *directory) await(name string, before *file, now time.Time) *file {
	w := d.wait(name, now)
	if w.told || d.awaits(w, now) {
		return before
	}
	d.waits[name] = wait{w.since, true}
	delete(d.read, name)
	return unreadable(name, errOpen, before)
}
