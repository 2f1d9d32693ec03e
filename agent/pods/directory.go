package pods

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// maxPods bounds how many files are looked at: several times what a node runs.
const maxPods = 4096

// Directory is a source: a directory, by its path, with a file for each pod.
type Directory string

// Without events everything is looked at now and then; a directory that cannot be
// watched more often.
const (
	relist = 10 * time.Second
	retry  = time.Second
)

// Follow looks at the files whenever one changes.
func (d Directory) Follow(ctx context.Context, known map[string]Pod, tell func(Finding)) {
	files := newDirectory(string(d), known)
	var w *watch
	defer func() { w.close() }()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-w.channel():
			if !ok {
				w = nil
			}
		case <-timer.C:
			// The directory under this path may be another by now.
			w.close()
			w = nil
		}
		var watching error
		if w == nil {
			w, watching = openWatch(string(d))
		}
		// Watched first: what changes during the pass is looked at again.
		err := files.pass()
		tell(files.finding(err, watching))
		if err != nil && !errors.Is(err, errEmpty) {
			w.close()
			w = nil
		}
		next := relist
		if w == nil {
			next = retry
		}
		timer.Reset(next)
	}
}

// Present reports whether there is such a directory.
func (d Directory) Present() bool {
	info, err := os.Stat(string(d))
	return err == nil && info.IsDir()
}

// String names the directory.
func (d Directory) String() string { return "directory " + string(d) }

// directory is what is known of the files.
type directory struct {
	path string
	// pods are the last good contents, by uid; known once there were any.
	pods  map[string]Pod
	known bool
	// read is how each file was when it was read last, and bad why it was not.
	read map[string]version
	bad  map[string]error
}

// version tells a file from what was under its name before.
type version struct {
	inode    uint64
	size     int64
	modified time.Time
}

func newDirectory(path string, known map[string]Pod) *directory {
	d := &directory{path: path, pods: known, known: len(known) > 0, read: map[string]version{}, bad: map[string]error{}}
	if known == nil {
		d.pods = map[string]Pod{}
	}
	return d
}

// errEmpty is why an empty directory is not believed.
var errEmpty = errors.New("it has no file of a pod, which is not taken for the end of all: what was known goes on")

// pass looks at all files. An error says that nothing could be learnt, and
// nothing is forgotten then.
func (d *directory) pass() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return fmt.Errorf("reading which pods run here: %w", err)
	}
	found := map[string]struct{}{}
	for _, e := range entries {
		uid, ok := strings.CutSuffix(e.Name(), suffix)
		if !ok || strings.HasPrefix(uid, ".") {
			continue
		}
		if found[uid] = struct{}{}; len(found) > maxPods {
			return fmt.Errorf("reading which pods run here: %s has more than %d files", d.path, maxPods)
		}
	}
	if len(found) == 0 {
		return fmt.Errorf("reading which pods run here: %s: %w", d.path, errEmpty)
	}
	pods := maps.Clone(d.pods) // what was handed out is never changed
	for uid := range found {
		d.look(uid, pods)
	}
	forget(pods, found)
	forget(d.read, found)
	forget(d.bad, found)
	d.pods, d.known = pods, true
	return nil
}

// forget deletes who has no file.
func forget[V any](of map[string]V, found map[string]struct{}) {
	maps.DeleteFunc(of, func(uid string, _ V) bool { _, ok := found[uid]; return !ok })
}

// look takes the file of a pod in, if it is another than before. One that is there no
// more was deleted since the files were listed, or the whole directory was moved away:
// the next list tells.
func (d *directory) look(uid string, pods map[string]Pod) {
	path := filepath.Join(d.path, uid+suffix)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, gone := os.Lstat(path); gone != nil {
			return // and it is no link to nowhere
		}
	}
	if err != nil {
		d.fail(uid, err)
		return
	}
	v := version{size: info.Size(), modified: info.ModTime()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		v.inode = st.Ino
	}
	if d.read[uid] == v {
		return
	}
	p, err := readPod(path, uid)
	if err != nil {
		d.fail(uid, err)
		return
	}
	d.read[uid] = v
	delete(d.bad, uid)
	pods[uid] = p
}

// fail notes that a file could not be read: it is read again in the next pass.
func (d *directory) fail(uid string, err error) {
	delete(d.read, uid)
	d.bad[uid] = err
}

// finding is what is known after a pass.
func (d *directory) finding(pass, watching error) Finding {
	f := Finding{Unread: d.unread(), Silent: pass != nil, From: Directory(d.path).String()}
	if d.known {
		f.Pods = d.pods
	}
	switch {
	case pass != nil:
		f.Problems = append(f.Problems, pass.Error())
	case watching != nil:
		f.Problems = append(f.Problems, fmt.Sprintf("%v: what changes is seen late", watching))
	}
	for _, uid := range slices.Sorted(maps.Keys(d.bad)) {
		f.Problems = append(f.Problems, fmt.Sprintf("a pod's file is not used: %v", d.bad[uid]))
	}
	return f
}

// unread are the pods of whom nothing is known but that they have a file.
func (d *directory) unread() map[string]struct{} {
	out := map[string]struct{}{}
	for uid := range d.bad {
		if _, ok := d.pods[uid]; !ok {
			out[uid] = struct{}{}
		}
	}
	return out
}
