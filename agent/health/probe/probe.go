package probe

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"tombolo.io/tombolo/bpf"
)

// Config says from where probes are sent, and to which port.
type Config struct {
	// Sources are the node's own addresses, as the mesh knows them: one of each
	// family at most.
	Sources []netip.Addr
	// Port is the port of probes in the whole mesh; 0 is bpf.DefaultProbePort.
	Port uint16
	// Forget is how long a reply is waited for; 0 is 3 s. It bounds memory, not
	// judgement, and should be several times what is judged by.
	Forget time.Duration
	// Tunnel sends probes within packets between the nodes: who answers takes those, and
	// the way there lets them through.
	Tunnel bool
}

const defaultForget = 3 * time.Second

// ErrNoSource is returned by Send for a target of a family in which the node
// has no address.
var ErrNoSource = errors.New("the node has no address of that family")

// ErrMute is returned by Send while nothing at all can be sent from the node's address,
// as while no device has it.
var ErrMute = errors.New("nothing can be sent from this node's own address")

// Counters count since Open.
type Counters struct {
	// Sent were handed to the kernel, Unsent it did not take.
	Sent, Unsent uint64
	// Replies were accepted. The others were not: Malformed are no replies of
	// this version, Unknown have a nonce that is not waited for (never sent,
	// answered, or forgotten), and Elsewhere came from another address or port
	// than was asked, or speak of one.
	Replies, Malformed, Unknown, Elsewhere uint64
}

// Batch is what was drained.
type Batch struct {
	Replies []Reply
	// Through is a time before which nothing arrived that is in neither this
	// batch nor an earlier one.
	Through time.Time
}

// Prober sends probes and takes replies in. One goroutine sends and drains;
// Counters may be called by any.
type Prober struct {
	port     uint16
	v4, v6   *socket // nil without a source
	ledger   *ledger
	readable chan struct{}
	drained  map[*socket]chan struct{}

	sent, unsent atomic.Uint64
	faults       [elsewhere + 1]atomic.Uint64
}

// Open opens the sockets.
func Open(c Config) (*Prober, error) {
	p := &Prober{
		port:     cmp.Or(c.Port, bpf.DefaultProbePort),
		readable: make(chan struct{}),
		drained:  map[*socket]chan struct{}{},
	}
	p.ledger = newLedger(p.port, cmp.Or(c.Forget, defaultForget))
	for _, a := range c.Sources {
		s := &p.v4
		if a.Is6() {
			s = &p.v6
		}
		var err error
		if *s != nil {
			err = fmt.Errorf("opening a socket for probes: %v is another source of its family", a)
		} else if *s, err = open(a, c.Tunnel); err == nil {
			p.drained[*s] = make(chan struct{}, 1)
		}
		if err != nil {
			return nil, errors.Join(err, p.Close())
		}
	}
	return p, nil
}

// Send sends a probe and returns its nonce. It never blocks: an error says that
// the probe was not sent, which tells nothing of the target unless it is that of a route
// to nowhere: EINVAL is that of a blackhole, EACCES that of a prohibited one, and neither
// comes of anything else.
func (p *Prober) Send(t Target) (nonce uint64, err error) {
	s := p.v4
	if t.Address.Is6() {
		s = p.v6
	}
	if s == nil {
		p.unsent.Add(1)
		return 0, fmt.Errorf("probing %v: %w", t.Address, ErrNoSource)
	}
	var random [8]byte
	rand.Read(random[:]) // never fails: crypto/rand ends the program instead
	nonce = binary.NativeEndian.Uint64(random[:])
	request := bpf.Probe{Kind: t.Kind, Nonce: nonce}.Append(make([]byte, 0, bpf.ProbeSize))
	// Noted first, so that it was sent after the time that is noted.
	p.ledger.asked(nonce, t, time.Now())
	if err := s.send(request, netip.AddrPortFrom(t.Address, p.port)); err != nil {
		p.ledger.unsent(nonce)
		p.unsent.Add(1)
		return 0, fmt.Errorf("probing %v: %w", t.Address, err)
	}
	p.sent.Add(1)
	return nonce, nil
}

// Drain returns the replies that are there, and never blocks.
func (p *Prober) Drain() (Batch, error) {
	b := Batch{Through: time.Now()}
	var errs []error
	for s, done := range p.drained {
		err := s.drain(func(r received) {
			now := time.Now()
			var age time.Duration
			if r.stamp != 0 {
				age = time.Duration(now.UnixNano() - r.stamp)
			}
			reply, fault := p.ledger.settle(r.data, r.from, now, age)
			p.faults[fault].Add(1)
			if fault == accepted {
				b.Replies = append(b.Replies, reply)
			}
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("receiving replies to probes: %w", err))
		}
		select {
		case done <- struct{}{}:
		default:
		}
	}
	return b, errors.Join(errs...)
}

// Readable hands out a value when there is something to drain, while Watch runs.
func (p *Prober) Readable() <-chan struct{} { return p.readable }

// Watch waits for replies on behalf of Readable, until ctx ends.
func (p *Prober) Watch(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for s, done := range p.drained {
		if err := s.file.SetReadDeadline(time.Time{}); err != nil {
			return fmt.Errorf("waiting for replies to probes: %w", err)
		}
		g.Go(func() error { return p.watch(ctx, s, done) })
	}
	<-ctx.Done()
	for s := range p.drained {
		_ = s.file.SetReadDeadline(time.Unix(1, 0)) // ends await
	}
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (p *Prober) watch(ctx context.Context, s *socket, drained <-chan struct{}) error {
	for {
		if err := s.await(); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("waiting for replies to probes: %w", err)
		}
		select {
		case p.readable <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		// Until it is drained it stays readable.
		select {
		case <-drained:
		case <-ctx.Done():
			return nil
		}
	}
}

// Counters returns what was counted.
func (p *Prober) Counters() Counters {
	return Counters{
		Sent: p.sent.Load(), Unsent: p.unsent.Load(),
		Replies: p.faults[accepted].Load(), Malformed: p.faults[malformed].Load(),
		Unknown: p.faults[unknown].Load(), Elsewhere: p.faults[elsewhere].Load(),
	}
}

// Close closes the sockets.
func (p *Prober) Close() error {
	var errs []error
	for _, s := range []*socket{p.v4, p.v6} {
		if s != nil {
			errs = append(errs, s.close())
		}
	}
	return errors.Join(errs...)
}
