package control

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// DefaultRunDir is where roles keep their sockets.
const DefaultRunDir = "/run/tombolo"

// maxSocketPath is what the kernel takes as the path of a unix socket, without
// the zero at its end.
const maxSocketPath = 107

// ErrClaimed says that another live process has the role in this directory.
var ErrClaimed = errors.New("it is running already")

// Socket is a claim on a role, and where it is served. The claim ends with the
// process, however it ends.
type Socket struct {
	path     string
	lock     *os.File
	listener net.Listener
}

// SocketPath is where a role is served.
func SocketPath(runDir, role string) string { return filepath.Join(runDir, role+".sock") }

// Open claims a role in a run directory, which it makes where it is missing,
// and listens. A socket that a dead process left is replaced; while another
// process has the role the error is ErrClaimed and says which.
func Open(runDir, role string) (*Socket, error) {
	path := SocketPath(runDir, role)
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("listening on %s: the path has %d bytes, a unix socket's at most %d; give a shorter --run-dir", path, len(path), maxSocketPath)
	}
	if err := os.MkdirAll(runDir, 0o755); err != nil {
		return nil, fmt.Errorf("making the run directory: %w", err)
	}
	lock, err := claim(filepath.Join(runDir, role+".lock"), role)
	if err != nil {
		return nil, err
	}
	listener, err := listen(path)
	if err != nil {
		lock.Close()
		return nil, err
	}
	return &Socket{path: path, lock: lock, listener: listener}, nil
}

// claim takes the lock of a role and writes our process id into it. The file
// stays behind; who may remove a lock while others open it is a question
// without a good answer.
func claim(path, role string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("claiming role %s: %w", role, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("claiming role %s in %s: %w, as %s", role, filepath.Dir(path), ErrClaimed, holder(f))
		}
		return nil, fmt.Errorf("claiming role %s: locking %s: %w", role, path, err)
	}
	if err := errors.Join(f.Truncate(0), writeAt(f, strconv.Itoa(os.Getpid())+"\n")); err != nil {
		f.Close()
		return nil, fmt.Errorf("claiming role %s: %w", role, err)
	}
	return f, nil
}

func writeAt(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}

// holder names the process that wrote its id into a lock.
func holder(f *os.File) string {
	b, err := io.ReadAll(io.LimitReader(f, 32))
	pid := strings.TrimSpace(string(b))
	if err != nil || pid == "" {
		return "a process that has not written its id yet"
	}
	name := "process " + pid
	if line, err := os.ReadFile("/proc/" + pid + "/cmdline"); err == nil && len(line) > 0 {
		words := strings.Fields(strings.ReplaceAll(string(line), "\x00", " "))
		name += " (" + strings.Join(words[:min(2, len(words))], " ") + ")"
	}
	return name
}

// listen replaces whatever socket is there: we hold the lock, so it is dead.
func listen(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("removing a socket that was left behind: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("keeping others from the socket: %w", err)
	}
	return l, nil
}

// Path returns where the role is served.
func (s *Socket) Path() string { return s.path }

// Close removes the socket and gives the role up.
func (s *Socket) Close() error { return errors.Join(closed(s.listener.Close()), s.lock.Close()) }

// closed forgets that something was closed before.
func closed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
