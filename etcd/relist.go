package etcd

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// relist lists the whole table and delivers the difference.
func (w *watcher[T]) relist(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first := true
	for p := range w.client.pages(ctx, span{from: w.table.Prefix, end: w.table.end(), also: w.table.EpochKey, patience: w.patience()}) {
		if p.err != nil {
			return fmt.Errorf("listing %s: %w", w.table.Prefix, p.err)
		}
		if first {
			first = false
			w.reign = p.reign
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
// the one that the tracker knows, and returns its revision then. A table that was just
// listed and is empty has nothing to prove it by.
func (w *watcher[T]) check(ctx context.Context, listed bool) (head int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, w.patience())
	defer cancel()
	key, at := w.tracker.ask()
	a, err := w.client.prove(ctx, w.table.epochKey(), key, at)
	if err != nil {
		return 0, fmt.Errorf("checking %s: %w", w.table.Prefix, err)
	}
	if w.table.EpochKey == "" {
		a.epoch = ""
	}
	switch v := w.tracker.compare(a); {
	case v == other:
		w.broken = true
		return 0, errNotContinue
	case v == unproven && !(listed && key == ""):
		return 0, errNotContinue
	}
	w.reign = a.reign
	return a.revision, nil
}

// refill lists what a marker vouches for, as of the tracker's revision.
func (w *watcher[T]) refill(ctx context.Context, marker string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	prefix, _ := w.table.Contents(marker)
	w.tracker.refill(marker)
	for p := range w.client.pages(ctx, span{from: prefix, end: clientv3.GetPrefixRangeEnd(prefix), at: w.tracker.at.revision, patience: w.patience()}) {
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

// epochKey returns the key of the epoch, or for a table without markers some
// key that can be read.
func (t Table[T]) epochKey() string {
	if t.EpochKey != "" {
		return t.EpochKey
	}
	return t.Prefix
}
