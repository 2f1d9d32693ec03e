package bpftest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// childEnv tells the test binary that it is the child of a Place.
const childEnv = "TOMBOLO_BPFTEST_PLACE"

// Main runs a package's tests. Call it from TestMain.
func Main(m *testing.M) {
	if os.Getenv(childEnv) == "" {
		os.Exit(m.Run())
	}
	if err := serve(3); err != nil {
		fmt.Fprintln(os.Stderr, "handing out sockets:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Place hands out sockets of a process in a cgroup and a network namespace.
type Place struct {
	pipe int
	pid  int
}

// NewPlace starts another process in the Env's cgroup, with a network namespace
// of its own.
func (e *Env) NewPlace(t testing.TB) *Place { return NewPlace(t, e.Cgroup) }

// NewPlace starts a process in a cgroup, with a network namespace of its own. It
// ends with the test.
func NewPlace(t testing.TB, cgroup string) *Place {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("making a socket pair: %v", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "pipe")
	defer theirs.Close()
	dir, err := os.Open(cgroup)
	if err != nil {
		t.Fatalf("opening the cgroup: %v", err)
	}
	defer dir.Close()
	child := exec.Command("/proc/self/exe")
	// The race detector would sleep for a second when the child ends.
	child.Env = append(os.Environ(), childEnv+"=1", "GORACE=atexit_sleep_ms=0")
	child.Stderr = os.Stderr
	child.ExtraFiles = []*os.File{theirs}
	child.SysProcAttr = &syscall.SysProcAttr{
		UseCgroupFD: true, CgroupFD: int(dir.Fd()), Cloneflags: unix.CLONE_NEWNET,
	}
	if err := child.Start(); err != nil {
		t.Fatalf("starting a process in a cgroup and a network namespace: %v", err)
	}
	t.Cleanup(func() {
		unix.Close(pair[0])
		if err := child.Wait(); err != nil {
			t.Errorf("the process in the cgroup: %v", err)
		}
	})
	return &Place{pipe: pair[0], pid: child.Process.Pid}
}

// Do runs a function on a thread in the Place's network namespace, and returns its
// error. The thread is not in the cgroup.
func (p *Place) Do(f func() error) error {
	ns, err := netns.GetFromPid(p.pid)
	if err != nil {
		return fmt.Errorf("looking for a network namespace: %w", err)
	}
	defer ns.Close()
	return (&Net{ns}).Do(f)
}

// Socket returns a new socket, which is closed after the test. It waits for
// what it receives, but not more than five seconds.
func (p *Place) Socket(t testing.TB, family, typ, protocol int) int {
	t.Helper()
	fd, err := p.NewSocket(family, typ, protocol)
	if err != nil {
		t.Fatalf("making a socket: %v", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// NewSocket is Socket for any goroutine; the caller closes the socket. One
// goroutine at a time may ask a Place for sockets.
func (p *Place) NewSocket(family, typ, protocol int) (int, error) {
	var request [12]byte
	for i, n := range []int{family, typ, protocol} {
		binary.NativeEndian.PutUint32(request[4*i:], uint32(n))
	}
	if err := unix.Send(p.pipe, request[:], 0); err != nil {
		return -1, fmt.Errorf("asking for a socket: %w", err)
	}
	var answer [4]byte
	rights := make([]byte, unix.CmsgSpace(4))
	n, rn, _, _, err := unix.Recvmsg(p.pipe, answer[:], rights, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("waiting for a socket: %w", err)
	}
	if n != len(answer) {
		return -1, fmt.Errorf("waiting for a socket: the process is gone")
	}
	if errno := binary.NativeEndian.Uint32(answer[:]); errno != 0 {
		return -1, syscall.Errno(errno)
	}
	fd, err := firstRight(rights[:rn])
	if err != nil {
		return -1, fmt.Errorf("receiving a socket: %w", err)
	}
	// An answer that never comes is a failure, not a hang.
	patience := unix.Timeval{Sec: 5}
	return fd, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience)
}

func firstRight(b []byte) (int, error) {
	messages, err := unix.ParseSocketControlMessage(b)
	if err != nil {
		return -1, err
	}
	if len(messages) != 1 {
		return -1, fmt.Errorf("%d messages instead of one", len(messages))
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return -1, err
	}
	return fds[0], nil
}

// serve is the child: it makes the sockets that it is asked for, until nobody
// asks any more.
func serve(pipe int) error {
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("bringing lo up: %w", err)
	}
	var request [12]byte
	for {
		n, _, err := unix.Recvfrom(pipe, request[:], 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		if n != len(request) {
			return io.ErrUnexpectedEOF
		}
		if err := answer(pipe, request); err != nil {
			return err
		}
	}
}

func answer(pipe int, request [12]byte) error {
	arg := func(i int) int { return int(binary.NativeEndian.Uint32(request[4*i:])) }
	var errno syscall.Errno
	var rights []byte
	fd, err := unix.Socket(arg(0), arg(1)|unix.SOCK_CLOEXEC, arg(2))
	if err == nil {
		defer unix.Close(fd)
		rights = unix.UnixRights(fd)
	} else if !errors.As(err, &errno) {
		return err
	}
	return unix.Sendmsg(pipe, binary.NativeEndian.AppendUint32(nil, uint32(errno)), rights, nil, 0)
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}
