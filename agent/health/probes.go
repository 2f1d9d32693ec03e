package health

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/agent/health/probe"
	"tombolo.io/tombolo/bpf"
)

// probes joins the machine's numbers of probes with the prober's nonces.
type probes struct {
	prober Prober
	cancel context.CancelFunc
	done   chan struct{}
	ids    map[uint64]uint64 // by nonce
	order  []sent
	unsent []Unsent
}

type sent struct {
	nonce uint64
	at    time.Time
}

func newProbes(ctx context.Context, p Prober, log *slog.Logger) *probes {
	ctx, cancel := context.WithCancel(ctx)
	s := &probes{prober: p, cancel: cancel, done: make(chan struct{}), ids: map[uint64]uint64{}}
	go func() {
		defer close(s.done)
		if err := p.Watch(ctx); err != nil {
			log.Error("replies to probes are read late", "error", err)
		}
	}()
	return s
}

func (s *probes) readable() <-chan struct{} {
	if s == nil {
		return nil
	}
	return s.prober.Readable()
}

func (s *probes) close() {
	if s != nil {
		s.cancel()
		<-s.done
		_ = s.prober.Close() // nobody waits for its replies
	}
}

// drain returns what came in.
func (s *probes) drain() (Input, error) {
	b, err := s.prober.Drain()
	in := Input{Now: b.Through, Unsent: s.unsent}
	s.unsent = nil
	for _, r := range b.Replies {
		if id, ok := s.ids[r.Nonce]; ok {
			delete(s.ids, r.Nonce)
			in.Replies = append(in.Replies, Reply{ID: id, Arrived: r.Arrived, Life: Life{BootID: r.BootID, Epoch: r.Epoch}})
		}
	}
	return in, err
}

// pathless are the errors by which the kernel says that there is no way to a node: no
// route, one that is unreachable, a blackhole (EINVAL) or prohibited (EACCES), or a device
// that is down. What pods send takes that way too.
var pathless = []unix.Errno{unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EINVAL, unix.EACCES, unix.ENETDOWN}

// hints say what may be behind an error that keeps us from asking.
var hints = map[unix.Errno]string{
	unix.EPERM:         "does its own firewall forbid it? tombolo check tells",
	unix.EADDRNOTAVAIL: "has it lost its own address?",
}

// send sends probes. That there is no way to a node is a silence of its; whatever else
// keeps the kernel from sending is not, as where the firewall here drops what the agent
// sends, and not what pods do.
func (s *probes) send(all []Probe) {
	now := time.Now()
	for _, p := range all {
		nonce, err := s.prober.Send(probe.Target{Address: p.To, Kind: kindOnWire[p.Kind]})
		switch {
		case err == nil:
			s.ids[nonce] = p.ID
			s.order = append(s.order, sent{nonce, now})
		case slices.ContainsFunc(pathless, func(no unix.Errno) bool { return errors.Is(err, no) }):
		default:
			s.unsent = append(s.unsent, Unsent{p.ID, why(err)})
		}
	}
	done := 0
	for done < len(s.order) && now.Sub(s.order[done].at) > remember {
		delete(s.ids, s.order[done].nonce)
		done++
	}
	s.order = s.order[done:]
}

// why says in few words why a probe could not be sent.
func why(err error) string {
	var no unix.Errno
	if !errors.As(err, &no) {
		return err.Error()
	}
	if hint := hints[no]; hint != "" {
		return no.Error() + ": " + hint
	}
	return no.Error()
}

var kindOnWire = [kinds]bpf.ProbeKind{Address: bpf.ProbeNode, Pods: bpf.ProbePods, Address6: bpf.ProbeNode, Pods6: bpf.ProbePods}
