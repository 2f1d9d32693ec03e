package builtin

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"tombolo.io/tombolo/deploy/lab/router"
	"tombolo.io/tombolo/internal/reconcile"
)

// backoff of a route that the kernel refused, for the most part because its
// next hop is not on any link yet.
var backoff = reconcile.Backoff{Min: 100 * time.Millisecond, Max: 2 * time.Second}

// best is what the library chose for a prefix; no next hops means nothing.
type best struct {
	prefix netip.Prefix
	hops   []netip.Addr
}

// shell owns the state of the router; it is one goroutine's.
type shell struct {
	log     *slog.Logger
	kernel  *kernel
	desired map[netip.Prefix][]netip.Addr
	actual  map[netip.Prefix][]netip.Addr
	queue   *reconcile.Queue[netip.Prefix]
	refused map[netip.Prefix]bool
}

// Run is the router. It returns when ctx ends, after it has taken leave of its
// neighbours and removed its routes from the kernel.
func Run(ctx context.Context, c router.Config, log *slog.Logger) error {
	k, err := openKernel()
	if err != nil {
		return err
	}
	defer k.close()
	s := &shell{log: log, kernel: k, desired: map[netip.Prefix][]netip.Addr{},
		queue: reconcile.New[netip.Prefix](backoff), refused: map[netip.Prefix]bool{}}
	if s.actual, err = k.routes(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the library's watch, which sends on changes
	changes := make(chan []best)
	speaker, err := startSpeaker(ctx, c, log, changes)
	if err != nil {
		return err
	}
	ready, err := listen(c.Dir)
	if err != nil {
		speaker.Stop()
		return err
	}
	defer ready.Close()
	go tell(ctx, ready, speaker, log)
	log.Info("router is ready", "asn", c.ASN, "port", c.Port)
	s.loop(ctx, changes, c.RestartTime)
	speaker.Stop()
	return s.clear()
}

// loop runs until ctx ends. What an earlier run left in the kernel stays for
// grace, the time in which neighbours should have told all they know.
func (s *shell) loop(ctx context.Context, changes <-chan []best, grace time.Duration) {
	sweep := time.NewTimer(grace)
	defer sweep.Stop()
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case all := <-changes:
			for _, b := range all {
				s.desired[b.prefix] = b.hops
				s.queue.Mark(b.prefix)
			}
		case <-sweep.C:
			for p := range s.actual {
				s.queue.Mark(p)
			}
		case <-retry.C:
		}
		now := time.Now()
		for _, p := range s.queue.Take(now) {
			s.queue.Done(p, s.apply(p), now)
		}
		if at, ok := s.queue.Next(); ok {
			retry.Reset(time.Until(at))
		}
	}
}

// apply makes the kernel have of a prefix what is desired.
func (s *shell) apply(p netip.Prefix) error {
	hops := s.desired[p]
	if slices.Equal(hops, s.actual[p]) {
		return nil
	}
	var err error
	if len(hops) == 0 {
		err = s.kernel.remove(p)
	} else {
		err = s.kernel.replace(p, hops)
	}
	if err != nil {
		if !s.refused[p] {
			s.log.Warn("route not in the kernel", "prefix", p, "nexthops", hops, "error", err)
		}
		s.refused[p] = true
		return err
	}
	delete(s.refused, p)
	if len(hops) == 0 {
		delete(s.actual, p)
		delete(s.desired, p)
	} else {
		s.actual[p] = hops
	}
	return nil
}

// clear removes all of the router's routes.
func (s *shell) clear() error {
	var errs []error
	for p := range s.actual {
		errs = append(errs, s.kernel.remove(p))
	}
	return errors.Join(errs...)
}
