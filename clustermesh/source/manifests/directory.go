package manifests

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// settle is how long ago a file must have changed before a pass takes it for
// whole: one that changed just now may be in the middle of being written, and
// its writer's close is an event of its own. It also covers the grain of the
// clock that stamps files: a file read earlier than this after its stamp may
// have changed again under the same stamp.
const settle = time.Second

// stamp tells whether a file is still the one that was read.
type stamp struct {
	dev, ino     uint64
	size         int64
	mtime, ctime int64 // nanoseconds
}

func stampOf(info fs.FileInfo) stamp {
	s := stamp{size: info.Size(), mtime: info.ModTime().UnixNano()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.dev, s.ino, s.ctime = sys.Dev, sys.Ino, sys.Ctim.Nano()
	}
	return s
}

// age is how long ago the file changed; a stamp in the future is no age.
func (s stamp) age(now time.Time) time.Duration {
	return now.Sub(time.Unix(0, max(s.mtime, s.ctime)))
}

// isManifest says whether a file of this name is ours to read.
func isManifest(name string) bool {
	if strings.HasPrefix(name, ".") {
		return false
	}
	return slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name))
}

// directory reads files and knows which it has read.
type directory struct {
	path string
	// dev and ino are the directory's own, as it was listed last: a file that is
	// missing from another directory in its place was not deleted.
	dev, ino uint64
	read     map[string]readAt
	// waits are the files that may not be whole: they are open for writing, or changed
	// just now. written are those that were watched to be made or written to, and not to
	// be closed.
	waits   map[string]wait
	written map[string]bool
	// passed: there was a pass over all files. Until then nothing is known of any, so
	// that no one is waited for.
	passed bool
	// ask is openForWriting.
	ask func(*os.File) (open, known bool)
}

func newDirectory(path string) directory {
	return directory{
		path: path, read: map[string]readAt{}, waits: map[string]wait{}, written: map[string]bool{}, ask: openForWriting,
	}
}

// readAt is which state of a file was read, and when.
type readAt struct {
	stamp stamp
	when  time.Time
}

// list returns the manifests that there are now.
func (d *directory) list() ([]string, error) {
	info, err := os.Stat(d.path)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, err
	}
	s := stampOf(info)
	d.dev, d.ino = s.dev, s.ino
	var out []string
	for _, e := range entries {
		if isManifest(e.Name()) {
			out = append(out, e.Name())
		}
	}
	for name := range d.waits {
		if _, listed := slices.BinarySearch(out, name); !listed {
			delete(d.waits, name)
		}
	}
	return out, nil
}

// due says whether a pass is to read a file: it is another than was read of it, or may
// be, and it did not change just now, unless it does so all the time.
func (d *directory) due(name string, now time.Time) bool {
	info, err := os.Stat(filepath.Join(d.path, name))
	if err != nil {
		return true // reading it will tell why
	}
	s := stampOf(info)
	known, ok := d.read[name]
	young := s.age(now) < settle
	if ok && known.stamp == s && (young || s.age(known.when) >= settle) {
		return false
	}
	return !young || !d.awaits(d.wait(name, now), now)
}

// there says whether the directory that was listed is still where it was.
func (d *directory) there() bool {
	info, err := os.Stat(d.path)
	if err != nil {
		return false
	}
	s := stampOf(info)
	return s.dev == d.dev && s.ino == d.ino
}

// errDangling is of a link whose target is gone: that is a mistake of who has it, or a
// mount that is away, and not the deletion of what it names.
var errDangling = errors.New("it is a link, and what it leads to does not exist")

// load reads a file and parses it against what it was before. One that is missing is
// as it was: whether it is gone is another question.
func (d *directory) load(name string, before *file, now time.Time) *file {
	data, s, err := d.whole(name)
	if errors.Is(err, errOpen) {
		return d.await(name, before, now)
	}
	delete(d.waits, name)
	if errors.Is(err, fs.ErrNotExist) {
		if _, missing := os.Lstat(filepath.Join(d.path, name)); missing != nil {
			return before
		}
		err = errDangling
	}
	if err != nil {
		delete(d.read, name)
		return unreadable(name, unwrapPath(err), before)
	}
	d.read[name] = readAt{s, now}
	return parse(name, data, before)
}

// gone says whether a file is missing from a directory that is where it was.
func (d *directory) gone(name string) bool {
	_, err := os.Lstat(filepath.Join(d.path, name))
	return errors.Is(err, fs.ErrNotExist) && d.there()
}

// forget takes note that a file is gone.
func (d *directory) forget(name string) {
	delete(d.read, name)
	delete(d.waits, name)
}

// linked says whether a file that was created appeared whole: a symbolic link,
// or another name of a file that exists.
func (d *directory) linked(name string) bool {
	info, err := os.Lstat(filepath.Join(d.path, name))
	if err != nil {
		return false
	}
	sys, ok := info.Sys().(*syscall.Stat_t)
	return info.Mode()&fs.ModeSymlink != 0 || ok && info.Mode().IsRegular() && sys.Nlink > 1
}

// unwrapPath takes the path off an error that is shown beside it.
func unwrapPath(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
