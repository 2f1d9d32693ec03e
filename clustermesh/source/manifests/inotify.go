package manifests

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// inotify watches one directory. It is used directly because only the kernel's
// own events tell that a writer has closed a file: whoever reads on every
// write reads halves, and whoever waits for silence is late.
type inotify struct {
	file *os.File
	raw  syscall.RawConn
	// watch is the descriptor of the directory that is watched, -1 for none.
	watch int32
}

// events is what one read brought.
type events struct {
	list []event
	// overflow: the kernel dropped events.
	overflow bool
}

type event struct {
	// watch is the descriptor of the directory that it is about.
	watch int32
	mask  uint32
	// cookie ties the two events of a rename together.
	cookie uint32
	// name is that of the file in the directory, empty for the directory itself.
	name string
}

const (
	// maskWhole are events after which a file's contents are whole, unless it has
	// another writer.
	maskWhole = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO
	// maskGone are those after which the file is missing.
	maskGone = unix.IN_MOVED_FROM | unix.IN_DELETE
	// maskWriting are events between which and IN_CLOSE_WRITE a file is open for writing.
	// IN_CREATE comes for links, which nobody closes, too.
	maskWriting = unix.IN_CREATE | unix.IN_MODIFY
	// maskLost says that the directory is no longer where it was.
	maskLost = unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_UNMOUNT | unix.IN_IGNORED
)

func newInotify() (*inotify, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("creating an inotify instance (see fs.inotify.max_user_instances): %w", err)
	}
	f := os.NewFile(uintptr(fd), "inotify")
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("using an inotify instance: %w", err)
	}
	return &inotify{file: f, raw: raw, watch: -1}, nil
}

// Close ends run.
func (n *inotify) Close() error { return n.file.Close() }

// add watches what is now at path; watching it already changes nothing. What
// was watched before, if that is another directory, is not watched any more.
func (n *inotify) add(path string) error {
	var wd int
	var err error
	if control := n.raw.Control(func(fd uintptr) {
		wd, err = unix.InotifyAddWatch(int(fd), path, maskWhole|maskGone|maskWriting|unix.IN_DELETE_SELF|unix.IN_MOVE_SELF|unix.IN_ONLYDIR)
		if err == nil && n.watch >= 0 && n.watch != int32(wd) {
			// It fails for a directory that was deleted, whose watch is gone already.
			_, _ = unix.InotifyRmWatch(int(fd), uint32(n.watch))
		}
	}); control != nil {
		return fmt.Errorf("watching %s: %w", path, control)
	}
	if err != nil {
		return fmt.Errorf("watching %s: %w", path, err)
	}
	n.watch = int32(wd)
	return nil
}

// forget ends the watch. The next one, also of the same directory, has another
// number.
func (n *inotify) forget() {
	if n.watch < 0 {
		return
	}
	// Neither fails but for a watch or a file that is gone already.
	_ = n.raw.Control(func(fd uintptr) { _, _ = unix.InotifyRmWatch(int(fd), uint32(n.watch)) })
	n.watch = -1
}

// run sends events until ctx ends or the instance is closed.
func (n *inotify) run(ctx context.Context, out chan<- events) error {
	buf := make([]byte, 64<<10)
	for {
		size, err := n.file.Read(buf)
		if err != nil {
			return fmt.Errorf("reading inotify events: %w", err)
		}
		select {
		case out <- parseEvents(buf[:size]):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// parseEvents takes a buffer of struct inotify_event apart (inotify(7)).
func parseEvents(buf []byte) events {
	var out events
	const header = int(unsafe.Sizeof(unix.InotifyEvent{}))
	for len(buf) >= header {
		e := event{
			watch:  int32(binary.NativeEndian.Uint32(buf)),
			mask:   binary.NativeEndian.Uint32(buf[4:]),
			cookie: binary.NativeEndian.Uint32(buf[8:]),
		}
		length := int(binary.NativeEndian.Uint32(buf[12:]))
		name := buf[header:min(header+length, len(buf))]
		e.name = string(bytes.TrimRight(name, "\x00"))
		buf = buf[header+len(name):]
		if e.mask&unix.IN_Q_OVERFLOW != 0 {
			out.overflow = true
			continue
		}
		out.list = append(out.list, e)
	}
	return out
}
