package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Listener accepts connections of routers that dial us, for all sessions of an
// address.
type Listener struct {
	tcp *net.TCPListener
	// A mutex, because Expect has to have set the key when it returns, whether
	// or not Serve runs.
	mu       sync.Mutex
	sessions map[netip.Addr]chan net.Conn
}

// Listen opens a listener. Its address says of which family it is; Device, if
// not empty, binds it.
func Listen(ctx context.Context, addr netip.AddrPort, device string) (*Listener, error) {
	lc := net.ListenConfig{KeepAlive: -1, Control: func(_, _ string, raw syscall.RawConn) error {
		if device == "" {
			return nil
		}
		return control(raw, func(fd int) error { return unix.BindToDevice(fd, device) })
	}}
	lc.SetMultipathTCP(false) // its sockets take neither keys nor TTLs
	l, err := lc.Listen(ctx, network(addr.Addr()), addr.String())
	if err != nil {
		return nil, fmt.Errorf("listening for routers: %w", err)
	}
	return &Listener{tcp: l.(*net.TCPListener), sessions: map[netip.Addr]chan net.Conn{}}, nil
}

// Addr returns where the listener listens.
func (l *Listener) Addr() netip.AddrPort { return l.tcp.Addr().(*net.TCPAddr).AddrPort() }

// Expect returns the connections of a router, for Config.Incoming. From now on
// only such that have its key are accepted.
func (l *Listener) Expect(router netip.Addr, password string) (<-chan net.Conn, error) {
	if password != "" {
		if err := l.setKey(router, password); err != nil {
			return nil, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	in := make(chan net.Conn, 1)
	l.sessions[router] = in
	return in, nil
}

// Forget takes back Expect. A key that is set no longer is no error.
func (l *Listener) Forget(router netip.Addr) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.sessions, router)
	if err := l.setKey(router, ""); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}

func (l *Listener) setKey(router netip.Addr, password string) error {
	raw, err := l.tcp.SyscallConn()
	if err != nil {
		return fmt.Errorf("reaching the listener's socket: %w", err)
	}
	return control(raw, func(fd int) error { return tcpMD5(fd, router, password) })
}

// Serve accepts until ctx ends, and then closes the listener. A connection of
// an address that nobody expects is closed, as is one for a session that has
// not yet taken the one before.
func (l *Listener) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { l.tcp.Close() })
	defer stop()
	for {
		conn, err := l.tcp.AcceptTCP()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if errors.Is(err, syscall.ECONNABORTED) {
				continue
			}
			return fmt.Errorf("accepting a router's connection: %w", err)
		}
		l.hand(conn)
	}
}

func (l *Listener) hand(conn *net.TCPConn) {
	from := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	l.mu.Lock()
	in := l.sessions[from]
	l.mu.Unlock()
	select {
	case in <- conn:
	default:
		conn.Close()
	}
}
