package apiserver

import (
	"context"
	"errors"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
)

// lead does the leader's work, while we are that.
func (l *loop) lead(ctx context.Context) {
	if l.turn == nil || time.Now().Before(l.retry) {
		return
	}
	err := l.write(ctx)
	if err == nil {
		l.mirror(ctx)
		err = l.hold(ctx)
	}
	if err == nil {
		if l.failed != nil {
			l.log.Info("store can be written again", "after", time.Since(l.since).Round(time.Millisecond))
		}
		l.failed, l.retry = nil, time.Time{}
		return
	}
	l.result(ctx, err)
}

// result does what an error of writing, or of the mirrors, calls for.
func (l *loop) result(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
	case errors.Is(err, etcd.ErrDeposed):
		l.depose("another leads")
	case errors.Is(err, etcd.ErrRewound):
		l.log.Warn("the store is older than what was written to it; beginning again with a new epoch")
		l.renew, l.retry = true, time.Now()
		l.end()
	default:
		l.fail(err)
	}
}

// end ends the work of the term, though not the lead.
func (l *loop) end() {
	l.mirroring.stop()
	if l.term != nil {
		l.memory = l.term.remembered()
		l.hush()
	}
	l.mirroring, l.term = nil, nil
}

func (l *loop) fail(err error) {
	if l.failed == nil {
		l.since = time.Now()
		l.log.Warn("store cannot be written; trying again", "err", err)
	}
	l.failed, l.retry = err, time.Now().Add(again)
}

// write opens a term if there is none, and writes what is staged.
func (l *loop) write(ctx context.Context) error {
	ctx, cancel := l.turn.bound(ctx)
	defer cancel()
	if l.term == nil {
		if err := l.open(ctx); err != nil {
			return err
		}
	}
	staged := l.term.writer.Staged()
	ctx, cancel = context.WithTimeout(ctx, patience)
	defer cancel()
	err := l.term.writer.Flush(ctx)
	if errors.Is(err, context.DeadlineExceeded) && l.term.writer.Staged() < staged {
		return nil // a long pass goes on after a look at what is new
	}
	return err
}

// hold takes the cluster's lease, once all that the source has is stored, and of no
// mirror that is stale that it is synced: from then on the readers of the store may take
// it for up to date. It goes with our lead, and is written again when the store restarted.
func (l *loop) hold(ctx context.Context) error {
	t := l.term
	if t == nil || t.held && t.reign == l.turn.reign || t.writer.Staged() > 0 || !l.catalog.synced() || !l.mirroring.settled() {
		return nil
	}
	lease := &clustermesh.Lease{Holder: l.server.config.Node, Reign: l.turn.reign}
	value, err := clustermesh.Encode(lease)
	if err != nil {
		return err
	}
	ctx, cancel := l.turn.bound(ctx)
	defer cancel()
	if err := etcd.Hold(ctx, l.client, l.turn.fence, clustermesh.KeyOf(clustermesh.Export, lease).String(), value); err != nil {
		return err
	}
	t.held, t.reign = true, lease.Reign
	return nil
}

// bound ends a context when the term does.
func (t *turn) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-t.lost:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// open begins a term: it learns what is stored and stages a complete pass.
func (l *loop) open(ctx context.Context) error {
	epoch, ok, err := l.client.Get(ctx, clustermesh.EpochKey)
	if err != nil {
		return err
	}
	value := string(epoch.Value)
	if !ok || l.renew {
		if value, err = etcd.RenewEpoch(ctx, l.client, l.turn.fence, clustermesh.EpochKey); err != nil {
			return err
		}
		l.renew = false
	}
	now := time.Now()
	t := newTerm(l.catalog, &l.server.config, l.identity)
	t.epoch, t.remote = value, l.remote
	if err := t.learn(ctx, l.client, l.turn.fence, now); err != nil {
		return err
	}
	if err := errors.Join(t.recall(l.memory, now), t.pass(now)); err != nil {
		return err
	}
	l.term, l.keepAt, l.refresh = t, time.Time{}, now.Add(firstRefresh)
	return nil
}

// depose ends our term; nothing is written after it.
func (l *loop) depose(reason string) {
	l.log.Warn("giving up the lead", "reason", reason)
	l.turn.giveUp()
	l.end()
	l.turn, l.failed, l.retry = nil, nil, time.Time{}
}
