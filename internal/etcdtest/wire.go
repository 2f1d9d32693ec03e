package etcdtest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Wire is a TCP connection to a store that can be cut and mended.
type Wire struct {
	t  testing.TB
	to string
	// Address is this end's.
	Address string

	// mu guards what the accepting goroutine shares with the test.
	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]struct{}
	work     sync.WaitGroup
}

// NewWire returns a wire to an address, mended.
func NewWire(t testing.TB, to string) *Wire {
	t.Helper()
	w := &Wire{t: t, to: to, Address: Address(t), conns: map[net.Conn]struct{}{}}
	w.Mend()
	t.Cleanup(w.Cut)
	return w
}

// Mend lets connections through.
func (w *Wire) Mend() {
	w.t.Helper()
	l, err := net.Listen("tcp", w.Address)
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	w.listener = l
	w.mu.Unlock()
	w.work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			w.work.Go(func() { w.carry(c) })
		}
	})
}

// Cut closes every connection and refuses new ones.
func (w *Wire) Cut() {
	w.mu.Lock()
	if w.listener != nil {
		w.listener.Close()
		w.listener = nil
	}
	for c := range w.conns {
		c.Close()
	}
	w.mu.Unlock()
	w.work.Wait()
}

func (w *Wire) carry(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	defer far.Close()
	if !w.keep(near, far) {
		return
	}
	defer w.forget(near, far)
	var both sync.WaitGroup
	for _, dir := range [][2]net.Conn{{near, far}, {far, near}} {
		both.Go(func() {
			io.Copy(dir[0], dir[1])
			near.Close()
			far.Close()
		})
	}
	both.Wait()
}

// keep registers connections, unless the wire was cut meanwhile.
func (w *Wire) keep(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		if w.listener != nil {
			w.conns[c] = struct{}{}
		}
	}
	return w.listener != nil
}

func (w *Wire) forget(conns ...net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		delete(w.conns, c)
	}
}
