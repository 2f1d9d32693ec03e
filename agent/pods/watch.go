package pods

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// watch tells that something changed in a directory, and not what: whoever
// hears of it looks at all of it.
type watch struct {
	file *os.File
	// changed has a value when there is something to look at. It is closed when
	// nothing more will come.
	changed chan struct{}
}

// openWatch watches a directory that exists.
func openWatch(dir string) (*watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("creating an inotify instance (see fs.inotify.max_user_instances): %w", err)
	}
	w := &watch{file: os.NewFile(uintptr(fd), "inotify"), changed: make(chan struct{}, 1)}
	const mask = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR
	if _, err := unix.InotifyAddWatch(fd, dir, mask); err != nil {
		w.file.Close()
		return nil, fmt.Errorf("watching %s: %w", dir, err)
	}
	go w.run()
	return w, nil
}

// run ends when the watch is closed.
func (w *watch) run() {
	defer close(w.changed)
	buf := make([]byte, 64<<10)
	for {
		if _, err := w.file.Read(buf); err != nil {
			return
		}
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}
}

func (w *watch) close() {
	if w != nil {
		w.file.Close()
	}
}

func (w *watch) channel() <-chan struct{} {
	if w == nil {
		return nil
	}
	return w.changed
}
