package gossip

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// Bounds of what others can make us hold.
const (
	maxDatagram = 2048
	// maxStreams are taken at once, maxStream bytes from each: the state of 10,000
	// members has about a megabyte.
	maxStreams = 32
	maxStream  = 4 << 20
)

// transport is memberlist's way to the network: a socket for datagrams and one for
// streams, both at the node's own address, from which it also sends and dials.
type transport struct {
	at      netip.AddrPort
	known   func(netip.Addr) bool
	refused *refusals

	udp     *net.UDPConn
	tcp     *net.TCPListener
	packets chan *memberlist.Packet
	streams chan net.Conn
	room    chan struct{}

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	// open are the streams to cut when it ends: memberlist leaves them to their
	// deadlines. Guarded by mu, for each lives in a goroutine of memberlist's.
	mu   sync.Mutex
	open map[net.Conn]struct{}
}

// listen opens the sockets.
func listen(at netip.AddrPort, known func(netip.Addr) bool, refused *refusals) (*transport, error) {
	t := &transport{
		at: at, known: known, refused: refused, packets: make(chan *memberlist.Packet), streams: make(chan net.Conn),
		room: make(chan struct{}, maxStreams), open: map[net.Conn]struct{}{},
	}
	var err error
	if t.udp, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at)); err != nil {
		return nil, fmt.Errorf("listening for gossip: %w", err)
	}
	if t.tcp, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at)); err != nil {
		return nil, errors.Join(fmt.Errorf("listening for gossip: %w", err), t.udp.Close())
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.wg.Go(t.receive)
	t.wg.Go(t.accept)
	return t, nil
}

// receive takes datagrams of members in.
func (t *transport) receive() {
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := t.udp.ReadFromUDPAddrPort(buf)
		if t.ctx.Err() != nil {
			return
		}
		switch {
		case err != nil: // of an earlier datagram that found nobody
		case !t.known(from.Addr().Unmap()):
			t.refused.note(stranger, "a datagram from "+from.String())
		case n == 0 || n == len(buf):
			t.refused.note(malformed, fmt.Sprintf("a datagram of %d bytes from %v", n, from))
		default:
			p := &memberlist.Packet{Buf: append([]byte(nil), buf[:n]...), From: net.UDPAddrFromAddrPort(from), Timestamp: time.Now()}
			select {
			case t.packets <- p:
			case <-t.ctx.Done():
				return
			}
		}
	}
}

// accept takes streams of members in, a bounded number at a time.
func (t *transport) accept() {
	for {
		conn, err := t.tcp.AcceptTCP()
		if t.ctx.Err() != nil {
			if err == nil {
				_ = conn.Close()
			}
			return
		}
		if err != nil { // too many files, perhaps
			select {
			case <-time.After(100 * time.Millisecond):
			case <-t.ctx.Done():
			}
			continue
		}
		if !t.known(conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()) {
			t.refused.note(stranger, "a connection from "+conn.RemoteAddr().String())
			_ = conn.Close()
			continue
		}
		select {
		case t.room <- struct{}{}:
		default:
			t.refused.note(overflow, "a connection from "+conn.RemoteAddr().String())
			_ = conn.Close()
			continue
		}
		select {
		case t.streams <- t.track(conn, func() { <-t.room }):
		case <-t.ctx.Done():
		}
	}
}

// stream is a connection of which a bounded number of bytes is read, and which is
// cut when the transport ends.
type stream struct {
	net.Conn
	limit io.Reader
	once  sync.Once
	done  func()
}

func (s *stream) Read(b []byte) (int, error) { return s.limit.Read(b) }

func (s *stream) Close() error {
	s.once.Do(s.done)
	return s.Conn.Close()
}

// track makes a stream of a connection; done is called once, when it is closed.
func (t *transport) track(c net.Conn, done func()) net.Conn {
	s := &stream{Conn: c, limit: io.LimitReader(c, maxStream)}
	s.done = func() {
		t.mu.Lock()
		delete(t.open, c)
		t.mu.Unlock()
		done()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open[c] = struct{}{}
	if t.ctx.Err() != nil {
		_ = c.Close()
	}
	return s
}

// FinalAdvertiseAddr says where others find us.
func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return t.at.Addr().AsSlice(), int(t.at.Port()), nil
}

// WriteTo sends a datagram.
func (t *transport) WriteTo(b []byte, to string) (time.Time, error) {
	at, err := netip.ParseAddrPort(to)
	if err != nil {
		return time.Time{}, err
	}
	_, err = t.udp.WriteToUDPAddrPort(b, netip.AddrPortFrom(at.Addr().Unmap(), at.Port()))
	return time.Now(), err
}

// WriteToAddress sends a datagram.
func (t *transport) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	return t.WriteTo(b, to.Addr)
}

// PacketCh returns where datagrams come in.
func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// DialTimeout opens a stream, from the node's own address: others take none from
// any other.
func (t *transport) DialTimeout(to string, timeout time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: timeout, LocalAddr: &net.TCPAddr{IP: t.at.Addr().AsSlice(), Zone: t.at.Addr().Zone()}}
	c, err := d.DialContext(t.ctx, "tcp", to)
	if err != nil {
		return nil, err
	}
	return t.track(c, func() {}), nil
}

// DialAddressTimeout opens a stream.
func (t *transport) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return t.DialTimeout(to.Addr, timeout)
}

// StreamCh returns where streams come in.
func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

// Shutdown closes the sockets and all streams.
func (t *transport) Shutdown() error {
	t.cancel()
	err := errors.Join(t.udp.Close(), t.tcp.Close())
	t.mu.Lock()
	for c := range t.open {
		_ = c.Close()
	}
	t.mu.Unlock()
	t.wg.Wait()
	return err
}
