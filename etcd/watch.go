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
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Bounds of the wait between two attempts to reach the store.
const (
	minRetry = 20 * time.Millisecond
	maxRetry = 2 * time.Second
)

// Watch lists the table and follows it until ctx ends, and returns why it
// ended. It sends batches to out. While the store is out of reach, or is not
// the one that was read before and has not vouched for its tables yet, the
// reader is told so and nothing else.
func (t Table[T]) Watch(ctx context.Context, c *Client, log *slog.Logger, out chan<- Batch[T]) error {
	if err := t.validate(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &watcher[T]{
		client: c, table: t, log: log.With("prefix", t.Prefix),
		tracker: newTracker(t), updates: make(chan update[T]), list: true,
	}
	var feeder sync.WaitGroup
	feeder.Go(func() { feed(ctx, w.updates, out) })
	defer feeder.Wait()
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

	// list: the table has to be listed before it can be watched; broken: the
	// store is known not to be the one that was read before.
	list, broken bool
	// stale is since when the store is out of reach, and err why.
	stale time.Time
	err   error
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
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	listed := w.list
	if w.list {
		if err := w.relist(ctx); err != nil {
			return err
		}
	}
	s, err := w.client.watch(ctx, w.table.Prefix, w.table.end(), w.table.EpochKey, w.tracker.at.revision)
	if err != nil {
		return err
	}
	// The stream is in place, so whatever happens to the store from now on
	// ends it; what happened before shows now.
	if err := w.check(ctx, listed); err != nil {
		return err
	}
	w.connected(ctx)
	for {
		resp, err := s.receive()
		if err != nil {
			return err
		}
		if err := w.take(ctx, resp); err != nil {
			return err
		}
	}
}

// relist lists the whole table and delivers the difference.
func (w *watcher[T]) relist(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first := true
	for p := range w.client.pages(ctx, w.table.Prefix, w.table.end(), w.table.EpochKey, 0) {
		if p.err != nil {
			return fmt.Errorf("listing %s: %w", w.table.Prefix, p.err)
		}
		if first {
			first = false
			w.tracker.begin(p.head, string(p.also.GetValue()), w.broken)
			w.broken = false
		}
		for _, kv := range p.kvs {
			w.tracker.add(toKV(kv))
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	w.tracker.end()
	w.list = false
	w.publish(ctx)
	return nil
}

// check asks the store, after the watches are in place, whether it is still
// the one that the tracker knows. A table that was just listed and is empty
// has nothing to prove it by.
func (w *watcher[T]) check(ctx context.Context, listed bool) error {
	ctx, cancel := context.WithTimeout(ctx, request)
	defer cancel()
	key, at := w.tracker.ask()
	now := []clientv3.Op{clientv3.OpGet(w.table.epochKey())}
	ops := now
	if key != "" {
		ops = append(ops, clientv3.OpGet(key, clientv3.WithRev(at)))
	}
	known := true
	resp, err := w.client.etcd.Txn(ctx).Then(ops...).Commit()
	if errors.Is(historical(err), errCompacted) {
		known = false
		resp, err = w.client.etcd.Txn(ctx).Then(now...).Commit()
	}
	if err != nil {
		return fmt.Errorf("checking %s: %w", w.table.Prefix, err)
	}
	epoch := first(resp.Responses[0])
	var value string
	if w.table.EpochKey != "" && epoch != nil {
		value = string(epoch.Value)
	}
	var proof *KV
	if known && key != "" {
		proof = first(resp.Responses[1])
	}
	switch v := w.tracker.compare(headerOf(resp.Header), value, proof, known); {
	case v == other:
		w.broken = true
		return errNotContinue
	case v == unproven && !(listed && key == ""):
		return errNotContinue
	}
	return nil
}

// take applies one response, and lists the tables that it made visible.
func (w *watcher[T]) take(ctx context.Context, resp *pb.WatchResponse) error {
	var refill []string
	switch {
	case len(resp.Events) == 0:
		w.tracker.progress(resp.Header.GetRevision())
		return nil
	case resp.WatchId == epochWatch:
		last := toChanges(resp.Events[len(resp.Events)-1:])[0]
		refill = w.tracker.changeEpoch(string(last.Value), last.Revision)
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

// refill lists what a marker vouches for, as of the tracker's revision.
func (w *watcher[T]) refill(ctx context.Context, marker string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	prefix, _ := w.table.Contents(marker)
	w.tracker.refill(marker)
	for p := range w.client.pages(ctx, prefix, clientv3.GetPrefixRangeEnd(prefix), "", w.tracker.at.revision) {
		if p.err != nil {
			return fmt.Errorf("listing %s: %w", prefix, p.err)
		}
		for _, kv := range p.kvs {
			w.tracker.add(toKV(kv))
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	w.tracker.refilled(marker)
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
	case w.updates <- update[T]{events, w.tracker.at.revision, w.tracker.epoch, w.stale, w.err}:
	case <-ctx.Done():
	}
}

func (w *watcher[T]) connected(ctx context.Context) {
	w.failures = 0
	if w.stale.IsZero() {
		return
	}
	w.log.Info("store is in reach again", "after", time.Since(w.stale).Round(time.Millisecond))
	w.stale, w.err = time.Time{}, nil
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
}

// retry returns the time until the next attempt, with jitter so that the
// readers of a restarted store do not come all at once.
func (w *watcher[T]) retry() time.Duration {
	d := min(minRetry<<min(w.failures-1, 10), maxRetry)
	return d/2 + rand.N(d/2+1)
}

// epochKey returns the key of the epoch, or for a table without markers some
// key that can be read.
func (t Table[T]) epochKey() string {
	if t.EpochKey != "" {
		return t.EpochKey
	}
	return t.Prefix
}

func first(op *pb.ResponseOp) *KV {
	kvs := op.GetResponseRange().GetKvs()
	if len(kvs) == 0 {
		return nil
	}
	kv := toKV(kvs[0])
	return &kv
}
