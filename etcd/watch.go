package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Bounds of the wait between two attempts to reach the store.
const (
	minRetry = 20 * time.Millisecond
	maxRetry = 2 * time.Second
)

// notice bounds the wait for an answer while the reader believes that the
// store is in reach. Once it knows better, an answer may take as long as any
// request.
const notice = 3 * time.Second

// Watch lists the table and follows it until ctx ends, and returns why it
// ended. It sends batches to out. While the store is out of reach, or is not
// the one that was read before and has not vouched for its tables yet, the
// reader is told so and nothing else. Why it is out of reach may be told better
// some time after that it is.
func (t Table[T]) Watch(ctx context.Context, c *Client, log *slog.Logger, out chan<- Batch[T]) error {
	if err := t.validate(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &watcher[T]{
		client: c, table: t, log: log.With("prefix", t.Prefix),
		tracker: newTracker(t), updates: make(chan update[T]), found: make(chan diagnosis), list: true,
	}
	w.beside.Go(func() { feed(ctx, w.updates, w.found, out) })
	defer w.beside.Wait()
	defer cancel()
	return w.run(ctx)
}

// watcher is the shell around a tracker: it lists, watches, and reconnects.
type watcher[T any] struct {
	client  *Client
	table   Table[T]
	log     *slog.Logger
	tracker *tracker[T]
	updates chan update[T]
	found   chan diagnosis
	// beside are the goroutines beside this one.
	beside sync.WaitGroup

	// list: the table has to be listed before it can be watched; broken: the
	// store is known not to be the one that was read before.
	list, broken bool
	// reign is the term of the store's leader.
	reign uint64
	// stale is since when the store is out of reach, and err why.
	stale time.Time
	err   error
	// examiner finds out more while the store is out of reach, until dismiss; nil
	// while it is not.
	examiner *examiner
	dismiss  context.CancelFunc
	// failures counts attempts in a row that did not get as far as watching.
	failures int
}

func (w *watcher[T]) run(ctx context.Context) error {
	for {
		err := w.follow(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errCompacted):
			w.log.Info("listing the table again: its revision was compacted")
			w.list = true
			continue
		case errors.Is(err, errNotContinue):
			w.log.Warn("listing the table again: the store changed while it was not watched", "went back", w.broken)
			w.list = true
			continue
		}
		w.disconnected(ctx, err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(w.retry()):
		}
	}
}

// follow lists if need be, then watches until that ends, and says why.
func (w *watcher[T]) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	listed := w.list
	if w.list {
		if err := w.relist(ctx); err != nil {
			return err
		}
	}
	opening := time.AfterFunc(w.patience(), func() { cancel(errNoAnswer) })
	s, err := w.client.watch(ctx, w.table.Prefix, w.table.end(), w.table.EpochKey, w.tracker.at.revision)
	opening.Stop()
	if errors.Is(context.Cause(ctx), errNoAnswer) {
		return fmt.Errorf("watching %s: %w", w.table.Prefix, errNoAnswer)
	}
	if err != nil {
		return err
	}
	// The stream is in place, so whatever happens to the store from now on
	// ends it; what happened before shows now.
	head, err := w.check(ctx, listed)
	if err != nil {
		return err
	}
	w.failures = 0
	asking, caughtUp := context.WithCancel(ctx)
	defer caughtUp()
	if w.behind(head) {
		go s.askProgress(asking)
	}
	for {
		if !w.behind(head) {
			caughtUp()
			w.connected(ctx)
		}
		resp, err := s.receive()
		if err != nil {
			return err
		}
		if err := w.take(ctx, resp); err != nil {
			return err
		}
	}
}

// behind reports whether a reader that was told that the store is out of reach does not
// have all yet that the store had at a revision. What it missed comes after the stream
// is in place, and it is not to take its table for fresh before that.
func (w *watcher[T]) behind(head int64) bool {
	return !w.stale.IsZero() && w.tracker.at.revision < head
}

// take applies one response, and lists the tables that it made visible.
func (w *watcher[T]) take(ctx context.Context, resp *pb.WatchResponse) error {
	var refill []string
	switch {
	case len(resp.Events) == 0:
		w.tracker.progress(resp.Header.GetRevision())
		return nil
	case resp.WatchId == epochWatch:
		for _, c := range toChanges(resp.Events) {
			refill = w.tracker.changeEpoch(string(c.Value), c.Revision)
		}
	default:
		refill = w.tracker.apply(toChanges(resp.Events))
	}
	for _, marker := range refill {
		if err := w.refill(ctx, marker); err != nil {
			w.list = true
			return err
		}
	}
	w.publish(ctx)
	return nil
}

// publish hands the tracker's events on.
func (w *watcher[T]) publish(ctx context.Context) {
	events := w.tracker.take()
	for _, e := range events {
		switch e.Op {
		case Synced:
			w.log.Info("table is synced", "marker", e.Key)
		case Unsynced:
			w.log.Info("table is frozen", "marker", e.Key, "reason", e.Err)
		case Invalid:
			w.log.Warn("value does not decode; the last good one is kept", "key", e.Key, "err", e.Err)
		}
	}
	select {
	case w.updates <- update[T]{events, w.tracker.at.revision, w.tracker.epoch, w.reign, w.stale, w.err}:
	case <-ctx.Done():
	}
}

func (w *watcher[T]) connected(ctx context.Context) {
	if w.stale.IsZero() {
		return
	}
	w.log.Info("store is in reach again", "after", time.Since(w.stale).Round(time.Millisecond))
	w.stale, w.err = time.Time{}, nil
	w.dismiss()
	w.examiner = nil
	w.publish(ctx)
}

func (w *watcher[T]) disconnected(ctx context.Context, err error) {
	w.failures++
	w.err = err
	if w.stale.IsZero() {
		w.stale = time.Now()
		w.log.Warn("store is out of reach; what is known of it stays", "err", err)
	}
	w.publish(ctx)
	w.examine(ctx, err)
}

// examine has it found out why an attempt ended with err.
func (w *watcher[T]) examine(ctx context.Context, err error) {
	if w.examiner == nil {
		x := &examiner{client: w.client, log: w.log, stale: w.stale, errs: make(chan error, 1), found: w.found}
		ctx, w.dismiss = context.WithCancel(ctx)
		w.examiner = x
		w.beside.Go(func() { x.run(ctx) })
	}
	w.examiner.attempted(err)
}

// patience returns how long an answer may take.
func (w *watcher[T]) patience() time.Duration {
	if w.stale.IsZero() {
		return notice
	}
	return request
}

// retry returns the time until the next attempt, with jitter so that the
// readers of a restarted store do not come all at once.
func (w *watcher[T]) retry() time.Duration {
	d := min(minRetry<<min(w.failures-1, 10), maxRetry)
	return d/2 + rand.N(d/2+1)
}
