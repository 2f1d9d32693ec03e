package echo

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Load is a run of requests.
type Load struct {
	Target netip.AddrPort
	// Mode is how to ask.
	Mode Mode
	// Count ends the run after so many requests; zero goes on until the
	// context ends.
	Count int
	// Interval is the time from the start of a worker's request to the start
	// of its next; zero is at once.
	Interval time.Duration
	// Parallel is the number of workers, 1 by default.
	Parallel int
	// Timeout bounds a request from the first packet to the whole answer.
	Timeout time.Duration
	// AtOnce: a connection that came about only because the kernel tried once more, a
	// second later, has failed. So a load finds each first packet that is lost, and may
	// be patient with a machine that is slow.
	AtOnce bool
}

// Mode is how a load asks.
type Mode string

// The modes. Each HTTP request has a connection of its own; a UDP request of
// mode UDP has a socket of its own, connected; mode UDPUnconnected sends every
// request of a worker from one socket.
const (
	HTTP           Mode = "http"
	UDP            Mode = "udp"
	UDPUnconnected Mode = "udp-unconnected"
	// HTTPMapped and UDPMapped ask IPv4 targets through sockets of AF_INET6, as
	// programs do that know only those.
	HTTPMapped Mode = "http-mapped"
	UDPMapped  Mode = "udp-mapped"
)

// Sample is one request.
type Sample struct {
	// Start is when the request began, End when its answer was whole or it failed.
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
	// Answer is zero when Error is not empty.
	Answer Answer `json:"answer,omitzero"`
	// Error is one of a few words: refused, timeout, unreachable, reset,
	// denied, lost, or else the error's text.
	Error string `json:"error,omitempty"`
}

// Run asks until Count or the end of ctx, and hands each sample to note, which
// is called by one goroutine at a time. Requests that ctx cuts off are not
// samples.
func (l Load) Run(ctx context.Context, note func(Sample)) error {
	asker := map[Mode]func(context.Context) ask{HTTP: l.overHTTP, UDP: l.overUDP, UDPUnconnected: l.overOneSocket,
		HTTPMapped: l.overHTTP, UDPMapped: l.overOneSocket}[l.Mode]
	if asker == nil {
		return fmt.Errorf("mode %q: want %s, %s, %s, %s or %s", l.Mode, HTTP, UDP, UDPUnconnected, HTTPMapped, UDPMapped)
	}
	samples := make(chan Sample)
	var taken atomic.Int64
	group, inner := errgroup.WithContext(ctx)
	for range max(l.Parallel, 1) {
		group.Go(func() error {
			l.work(inner, asker(inner), &taken, samples)
			return nil
		})
	}
	go func() {
		group.Wait()
		close(samples)
	}()
	for s := range samples {
		note(s)
	}
	return nil
}

// ask makes one request; seq is unique in the run.
type ask func(ctx context.Context, seq int64) (Answer, error)

func (l Load) work(ctx context.Context, one ask, taken *atomic.Int64, out chan<- Sample) {
	var tick <-chan time.Time
	if l.Interval > 0 {
		t := time.NewTicker(l.Interval)
		defer t.Stop()
		tick = t.C
	}
	for ctx.Err() == nil {
		seq := taken.Add(1)
		if l.Count > 0 && seq > int64(l.Count) {
			return
		}
		s, ok := l.sample(ctx, one, seq)
		if !ok {
			return
		}
		out <- s // Run reads until every worker has returned
		if tick == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
	}
}

func (l Load) sample(ctx context.Context, one ask, seq int64) (Sample, bool) {
	limited, cancel := context.WithTimeout(ctx, l.Timeout)
	defer cancel()
	s := Sample{Start: time.Now()}
	answer, err := one(limited, seq)
	s.End = time.Now()
	if err == nil {
		s.Answer = answer
		return s, true
	}
	s.Error = word(err)
	return s, ctx.Err() == nil
}

// word sorts an error into what a reader of a report tells apart.
func word(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.ECONNABORTED), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "reset"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "unreachable"
	case errors.Is(err, syscall.EPERM):
		return "denied"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	}
	return err.Error()
}

// overHTTP writes the request itself: a client library that tries again by
// itself would hide the failures that a load is there to count.
func (l Load) overHTTP(context.Context) ask {
	request := []byte("GET / HTTP/1.0\r\nHost: " + l.Target.String() + "\r\n\r\n")
	return func(ctx context.Context, _ int64) (Answer, error) {
		reply, err := l.exchange(ctx, "tcp", request, func(c net.Conn) ([]byte, error) { return io.ReadAll(c) })
		if err != nil {
			return Answer{}, err
		}
		return parseHTTP(reply)
	}
}

func (l Load) overUDP(context.Context) ask {
	return func(ctx context.Context, seq int64) (Answer, error) {
		payload := strconv.FormatInt(seq, 10)
		reply, err := l.exchange(ctx, "udp", []byte(payload), func(c net.Conn) ([]byte, error) {
			buf := make([]byte, 2*maxDatagram)
			n, err := c.Read(buf)
			return buf[:n], err
		})
		if err != nil {
			return Answer{}, err
		}
		return parse(reply, payload)
	}
}

// exchange dials, sends and receives, within the deadline of ctx.
func (l Load) exchange(ctx context.Context, network string, request []byte, receive func(net.Conn) ([]byte, error)) ([]byte, error) {
	start := time.Now()
	conn, err := l.dial(ctx, network)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	took := time.Since(start)
	if tries, err := extraTries(conn); err != nil || l.AtOnce && wasLost(tries, took) {
		return nil, cmp.Or(err, errLost)
	}
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}
	return receive(conn)
}

// errLost is of a connection whose first packet, or the answer to it, was lost.
var errLost = errors.New("lost")

// patience is how long the kernel waits for an answer to a first packet before it sends
// another (RFC 6298, 2.1).
const patience = time.Second

// wasLost says whether a connection that came about after extra tries had lost one. When
// the other side answers that it remembers an earlier connection of the same ports, in
// TIME_WAIT, as behind an address translation, the kernel tries again at once.
func wasLost(tries uint32, took time.Duration) bool { return tries > 0 && took >= patience }

// extraTries returns how often the kernel sent again what opened a connection.
func extraTries(c net.Conn) (n uint32, err error) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return 0, nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0, err
	}
	var info *unix.TCPInfo
	failed := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) })
	if err = errors.Join(failed, err); err != nil {
		return 0, fmt.Errorf("asking how a connection came about: %w", err)
	}
	return info.Total_retrans, nil
}

func (l Load) dial(ctx context.Context, network string) (net.Conn, error) {
	if l.Mode == HTTPMapped {
		return dialMapped(ctx, l.Target)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, l.Target.String())
}

// overOneSocket keeps a socket for the life of a worker. Answers that come
// after their request gave up are passed over.
func (l Load) overOneSocket(ctx context.Context) ask {
	network := "udp4"
	if l.Target.Addr().Is6() {
		network = "udp6"
	}
	if l.Mode == UDPMapped {
		network = "udp" // AF_INET6, open for both families
	}
	var lc net.ListenConfig
	socket, err := lc.ListenPacket(ctx, network, ":0")
	if err != nil {
		return func(context.Context, int64) (Answer, error) { return Answer{}, err }
	}
	context.AfterFunc(ctx, func() { socket.Close() })
	conn := socket.(*net.UDPConn)
	return func(ctx context.Context, seq int64) (Answer, error) {
		deadline, _ := ctx.Deadline()
		if err := conn.SetDeadline(deadline); err != nil {
			return Answer{}, err
		}
		payload := strconv.FormatInt(seq, 10)
		if _, err := conn.WriteToUDPAddrPort([]byte(payload), l.Target); err != nil {
			return Answer{}, err
		}
		return l.awaitOwn(conn, payload)
	}
}

// awaitOwn reads until the answer to this payload comes. An answer from
// another address than the one that was asked is an error: the translation
// back is part of what is measured.
func (l Load) awaitOwn(conn *net.UDPConn, payload string) (Answer, error) {
	buf := make([]byte, 2*maxDatagram)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return Answer{}, err
		}
		if a, err := parse(buf[:n], payload); err == nil {
			if unmapped(from) != l.Target {
				return Answer{}, fmt.Errorf("asked %s, the answer came from %s", l.Target, unmapped(from))
			}
			return a, nil
		}
	}
}

func parse(reply []byte, payload string) (Answer, error) {
	var a Answer
	if err := json.Unmarshal(reply, &a); err != nil {
		return Answer{}, fmt.Errorf("reading the answer: %w", err)
	}
	if a.Payload != payload {
		return Answer{}, fmt.Errorf("answer to %q, asked %q", a.Payload, payload)
	}
	return a, nil
}
