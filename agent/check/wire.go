package check

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/bpf"
)

// question is a probe to be answered, asked again until it is.
type question struct {
	way  Way
	from netip.Addr
	to   netip.Addr
	// size is that of the IP packet; 0 is the least that says all.
	size   int
	bootID bpf.BootID
	// echo asks by an ICMP echo request instead.
	echo bool

	// What came of it.
	leg  Leg
	rtt  time.Duration
	boot bpf.BootID
	// clock is by how much the node's clock is ahead, if timed.
	clock time.Duration
	timed bool
	// told is who said that it is too big, mtu what would not be.
	told netip.Addr
	mtu  int
}

// settled says whether asking again would tell nothing more.
func (q *question) settled() bool {
	return q.leg.Answered || q.leg.Unsent != nil || q.leg.Refusal.Kind != NotRefused || q.told.IsValid()
}

// wire asks questions of one family. It is used by one goroutine.
type wire struct {
	*family
	port uint16
	// The sockets; pods is -1 where this node has no pods' prefix.
	address, pods, icmp, tap int
	waiting                  map[uint64]asked
	pings                    map[uint16]asked
}

// asked is a question that was sent once.
type asked struct {
	*question
	at time.Time
}

// openWire opens the sockets, in the network namespace of the thread.
func openWire(address, pods netip.Addr, port uint16) (*wire, error) {
	w := &wire{family: familyOf(address), port: port, address: -1, pods: -1, icmp: -1, tap: -1,
		waiting: map[uint64]asked{}, pings: map[uint16]asked{}}
	var err error
	if w.address, err = w.openUDP(address); err == nil {
		w.icmp, err = w.openICMP(address)
	}
	if err == nil {
		w.tap, err = w.openTap(port)
	}
	if err == nil && pods.IsValid() {
		w.pods, err = w.openUDP(pods)
	}
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *wire) close() error {
	var errs []error
	for _, fd := range []int{w.address, w.pods, w.icmp, w.tap} {
		if fd >= 0 {
			errs = append(errs, unix.Close(fd))
		}
	}
	return errors.Join(errs...)
}

// ask asks all questions that are not settled, so often, with a gap between, and
// returns after the last gap or when all are settled.
func (w *wire) ask(ctx context.Context, questions []*question, times int, gap time.Duration) error {
	defer clear(w.waiting)
	defer clear(w.pings)
	for range times {
		open := slices.DeleteFunc(slices.Clone(questions), (*question).settled)
		if len(open) == 0 {
			return nil
		}
		for _, q := range open {
			w.send(q)
		}
		// Looked at once at least: who was held up for the gap finds here what came meanwhile.
		for deadline := time.Now().Add(gap); ; {
			if err := ctx.Err(); err != nil {
				return err
			}
			if !slices.ContainsFunc(open, func(q *question) bool { return !q.settled() }) {
				break
			}
			left := time.Until(deadline)
			if err := w.receive(max(left, 0)); err != nil {
				return err
			}
			if left <= 0 {
				break
			}
		}
	}
	return nil
}

// send sends what asks a question once.
func (w *wire) send(q *question) {
	q.leg.Asked, q.leg.Sent = true, q.from
	now := time.Now()
	if q.echo {
		id := binary.NativeEndian.Uint16(random(2))
		w.pings[id] = asked{q, now}
		q.leg.Unsent = w.sendto(w.icmp, w.echoRequest(id), netip.AddrPortFrom(q.to, 0))
		return
	}
	fd, kind := w.address, bpf.ProbeNode
	if q.way.fromPods() {
		fd = w.pods
	}
	if q.way.toPods() {
		kind = bpf.ProbePods
	}
	nonce := binary.NativeEndian.Uint64(random(8))
	b := bpf.Probe{Kind: kind, Nonce: nonce, BootID: q.bootID}.Append(nil)
	b = append(b, make([]byte, max(bpf.SeenSize, q.size-w.header-8-len(b)))...)
	w.waiting[nonce] = asked{q, now}
	q.leg.Unsent = w.sendto(fd, b, netip.AddrPortFrom(q.to, w.port))
}

// sendto sends, or says why that is of no use; a full queue is a lost packet.
func (w *wire) sendto(fd int, b []byte, to netip.AddrPort) error {
	err := unix.Sendto(fd, b, unix.MSG_DONTWAIT, sockaddr(to))
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOBUFS) {
		return nil
	}
	return err
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails: crypto/rand ends the program instead
	return b
}

// slice bounds how long a wait does not look whether it is still wanted.
const slice = 50 * time.Millisecond

// receive waits for something for so long at most, and takes all that is there.
func (w *wire) receive(wait time.Duration) error {
	var poll []unix.PollFd
	for _, fd := range []int{w.address, w.pods, w.icmp, w.tap} {
		if fd >= 0 {
			poll = append(poll, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		}
	}
	ms := int(min(wait, slice)/time.Millisecond) + 1
	if _, err := unix.Poll(poll, ms); err != nil && !errors.Is(err, unix.EINTR) {
		return err
	}
	for _, p := range poll {
		if p.Revents != 0 {
			w.drain(int(p.Fd))
		}
	}
	return nil
}

func (w *wire) drain(fd int) {
	buffer := make([]byte, 1<<16)
	for {
		n, from, err := unix.Recvfrom(fd, buffer, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return
		}
		switch b := buffer[:n]; fd {
		case w.icmp:
			w.takeICMP(b, addrOf(from))
		case w.tap:
			w.takeReply(w.payload(b), true)
		default:
			w.takeReply(b, false)
		}
	}
}

// takeReply takes a reply in, which passed by or was for a socket of ours.
func (w *wire) takeReply(b []byte, passing bool) {
	p, err := bpf.ParseProbe(b)
	a, ok := w.waiting[p.Nonce]
	if err != nil || !p.Reply || !ok || p.Target != a.to {
		return
	}
	if passing && !a.way.fromPods() {
		a.leg.Dropped = !a.leg.Answered // until the socket has it
		return
	}
	if a.leg.Answered {
		return
	}
	seen := bpf.ParseSeen(b)
	a.leg.Answered, a.leg.Dropped, a.leg.Saw = true, false, seen.Source
	a.rtt, a.boot = time.Since(a.at), p.BootID
	if !seen.Time.IsZero() {
		a.clock, a.timed = seen.Time.Sub(a.at.Add(a.rtt/2)), true
	}
}

// takeICMP takes in what ICMP says, from whom.
func (w *wire) takeICMP(b []byte, from netip.Addr) {
	m, ok := w.readICMP(b)
	if !ok {
		return
	}
	if m.echoed {
		if a, ok := w.pings[m.identifier]; ok && from == a.to {
			a.leg.Answered = true
		}
		return
	}
	// It quotes too little to name a question: all to that address that are open.
	for _, a := range w.waiting {
		switch {
		case a.to != m.to || a.way.fromPods() || a.settled():
		case m.tooBig:
			a.told, a.mtu = from, m.mtu
		default:
			a.leg.Refusal = Refusal{m.refused, from}
		}
	}
}
