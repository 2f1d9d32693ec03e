package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"tombolo.io/tombolo/agent/loadbalancer"
)

// Balancer is whose services are asked about.
type Balancer interface {
	// Filled is closed once all was written for the first time.
	Filled() <-chan struct{}
	Snapshot() *loadbalancer.Snapshot
}

// Server answers for the services of a node.
type Server struct {
	node     string
	balancer Balancer
	led      func() bool
	log      *slog.Logger

	// What follows is owned by Run.

	answers map[netip.AddrPort]answer
	open    map[netip.AddrPort]*listener
	// taken are the ports that others have, with when they are tried again.
	taken  map[netip.AddrPort]time.Time
	seen   *loadbalancer.Snapshot
	wasLed bool
}

// listener is a port that is open. Its handler reads what was worked out last.
type listener struct {
	http   *http.Server
	answer atomic.Pointer[answer]
}

const (
	// followEvery is how soon what the balancer wrote is answered.
	followEvery = 100 * time.Millisecond
	// tryAgain is how often a port is asked for that another process has.
	tryAgain = 10 * time.Second
	// patience bounds how long a client may take to ask, and to read.
	patience = 5 * time.Second
)

// New returns a Server that does nothing until Run. led says whether packets from outside
// are led to backends at the moment.
func New(node string, b Balancer, led func() bool, log *slog.Logger) *Server {
	return &Server{node: node, balancer: b, led: led, log: log, open: map[netip.AddrPort]*listener{}, taken: map[netip.AddrPort]time.Time{}}
}

// Run answers until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	defer func() {
		s.answers = nil
		s.settle(time.Now())
	}()
	select {
	case <-s.balancer.Filled():
	case <-ctx.Done():
		return nil
	}
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		s.follow()
		s.settle(time.Now())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// follow works out what to answer, when that may be something else.
func (s *Server) follow() {
	now, led := s.balancer.Snapshot(), s.led()
	if now == s.seen && led == s.wasLed {
		return
	}
	s.seen, s.wasLed = now, led
	s.answers = answersOf(s.node, now.All(), led)
}

// settle opens and closes ports, and hands out the answers.
func (s *Server) settle(now time.Time) {
	for at, l := range s.open {
		if _, wanted := s.answers[at]; !wanted {
			l.http.Close()
			delete(s.open, at)
		}
	}
	maps.DeleteFunc(s.taken, func(at netip.AddrPort, _ time.Time) bool { _, wanted := s.answers[at]; return !wanted })
	for at, a := range s.answers {
		if l := s.open[at]; l != nil {
			l.answer.Store(&a)
			continue
		}
		if again, taken := s.taken[at]; taken && now.Before(again) {
			continue
		}
		if err := s.listen(at, a); err != nil {
			s.miss(at, a, err)
			s.taken[at] = now.Add(tryAgain)
			continue
		}
		delete(s.taken, at)
	}
}

// miss says once that a port is another's.
func (s *Server) miss(at netip.AddrPort, a answer, err error) {
	if _, known := s.taken[at]; known {
		return
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		s.log.Info("another process has a healthCheckNodePort, as kube-proxy does; it is left to that", "service", a.Service, "address", at)
		return
	}
	s.log.Warn("a healthCheckNodePort is not served", "service", a.Service, "address", at, "error", err)
}

// listen opens a port.
func (s *Server) listen(at netip.AddrPort, a answer) error {
	socket, err := net.Listen("tcp", at.String())
	if err != nil {
		return fmt.Errorf("serving a healthCheckNodePort: %w", err)
	}
	l := &listener{}
	l.answer.Store(&a)
	l.http = &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { l.answer.Load().ServeHTTP(w, r) }),
		ReadHeaderTimeout: patience, ReadTimeout: patience, WriteTimeout: patience, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	s.open[at] = l
	go l.http.Serve(socket) // until Close
	return nil
}
