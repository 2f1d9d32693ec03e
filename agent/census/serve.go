package census

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/agent/pods"
)

// Bounds of what is done for those who ask.
const (
	maxConversations = 32
	conversation     = 2 * time.Second // how long one may take
	askedBurst       = 50              // of one asker at once, and
	askedRate        = 20              // a second in the long run
)

// server answers questions about the pods of this node.
type server struct {
	roster atomic.Pointer[roster]
	// life and set are what runs here; life is read first, so that the set is never
	// older than it.
	life func() health.Life
	set  func() *pods.Set

	// askers are of Run's goroutine alone.
	askers map[netip.Addr]*bucket

	answered, refused atomic.Uint64
}

// bucket holds what an asker may still ask.
type bucket struct {
	tokens float64
	at     time.Time
}

// serve answers on a listener until ctx ends.
func (s *server) serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var talks sync.WaitGroup
	defer talks.Wait()
	free := make(chan struct{}, maxConversations)
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("waiting for questions about this node's pods: %w", err)
		}
		r := s.roster.Load()
		from := remote(c)
		if r == nil || r.keys[from] == nil || !s.may(from, len(r.keys), time.Now()) {
			s.refuse(c)
			continue
		}
		select {
		case free <- struct{}{}:
		default:
			s.refuse(c)
			continue
		}
		talks.Go(func() {
			defer func() { <-free }()
			if err := s.talk(ctx, tls.Server(c, prove(r.own, r.keys[from]))); err != nil {
				s.refused.Add(1)
				return
			}
			s.answered.Add(1)
		})
	}
}

func (s *server) refuse(c net.Conn) {
	s.refused.Add(1)
	c.Close()
}

func remote(c net.Conn) netip.Addr {
	a, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return a.AddrPort().Addr().Unmap().WithZone("")
}

// may takes a token of an asker's; known is how many askers there may be.
func (s *server) may(from netip.Addr, known int, now time.Time) bool {
	if len(s.askers) > 2*known {
		clear(s.askers) // of those who are no nodes any more; the others begin anew
	}
	b := s.askers[from]
	if b == nil {
		b = &bucket{tokens: askedBurst, at: now}
		s.askers[from] = b
	}
	b.tokens = min(askedBurst, b.tokens+now.Sub(b.at).Seconds()*askedRate)
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// talk reads one question and answers it.
func (s *server) talk(ctx context.Context, c *tls.Conn) error {
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.NetConn().Close() })
	defer stop()
	if err := c.SetDeadline(time.Now().Add(conversation)); err != nil {
		return err
	}
	raw, err := io.ReadAll(io.LimitReader(c, maxQuestion+1))
	if err != nil {
		return err
	}
	pairs, err := parseQuestion(raw)
	if err != nil {
		return err
	}
	_, err = c.Write(appendAnswer(nil, s.answer(pairs)))
	return err
}

// answer looks pairs up.
func (s *server) answer(pairs []Pair) Answer {
	a := Answer{Life: s.life()}
	set := s.set()
	if set == nil {
		return a
	}
	for _, p := range pairs {
		a.States = append(a.States, set.State(p.Address, p.UID))
	}
	return a
}
