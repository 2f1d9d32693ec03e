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
	return out, nil
}

// freshness is how a file in the directory compares with what was read of it.
type freshness int

const (
	asRead  freshness = iota
	changed           // it is another than was read, or may be
	writing           // it changed just now: its writer may not be done
)

// fresh compares a file with what was read of it.
func (d *directory) fresh(name string, now time.Time) freshness {
	info, err := os.Stat(filepath.Join(d.path, name))
	if err != nil {
		return changed // reading it will tell why
	}
	s := stampOf(info)
	known, ok := d.read[name]
	young := s.age(now) < settle
	switch {
	case ok && known.stamp == s && (young || s.age(known.when) >= settle):
		return asRead
	case young:
		return writing
	}
	return changed
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

// load reads a file and parses it against what it was before; nil when it is
// gone. A file whose directory is gone is as it was.
func (d *directory) load(name string, before *file, now time.Time) *file {
	path := filepath.Join(d.path, name)
	info, err := os.Stat(path)
	var data []byte
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = errors.New("it is not a regular file")
	default:
		data, err = os.ReadFile(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		if !d.there() {
			return before
		}
		if _, gone := os.Lstat(path); gone != nil {
			delete(d.read, name)
			return nil
		}
		err = errDangling
	}
	if err != nil {
		delete(d.read, name)
		return unreadable(name, unwrapPath(err), before)
	}
	d.read[name] = readAt{stampOf(info), now}
	return parse(name, data, before)
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
