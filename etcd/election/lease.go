package election

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"tombolo.io/tombolo/etcd"
)

// farewell bounds the request that gives a lease back.
const farewell = time.Second

// lease is a lease that is kept alive until end.
type lease struct {
	client *clientv3.Client
	id     clientv3.LeaseID
	cancel context.CancelFunc
	// lost is closed when the store has let the lease go, or could not be
	// asked for as long as it takes to let it go.
	lost chan struct{}
	// back is closed when the store went back: what hung on the lease may be
	// gone even if the lease is not.
	back chan struct{}
	// revision is the store's, as far as it is known.
	revision atomic.Int64
	// reigns has the term of the store's own leader when that is another.
	reigns chan uint64
}

// grant asks for a lease and keeps it alive, beyond the end of ctx.
func grant(ctx context.Context, c *etcd.Client, ttl time.Duration) (*lease, error) {
	resp, err := c.Raw().Grant(ctx, int64(ttl/time.Second))
	if err != nil {
		return nil, fmt.Errorf("asking for a lease: %w", err)
	}
	keep, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := &lease{client: c.Raw(), id: resp.ID, cancel: cancel, lost: make(chan struct{}), back: make(chan struct{}), reigns: make(chan uint64, 1)}
	alive, err := c.Raw().KeepAlive(keep, l.id)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("keeping a lease: %w", err)
	}
	l.revision.Store(resp.ResponseHeader.GetRevision())
	l.reigns <- resp.ResponseHeader.GetRaftTerm()
	go l.follow(alive, resp.ResponseHeader.GetRaftTerm())
	return l, nil
}

// follow watches the lease's confirmations until there are no more.
func (l *lease) follow(alive <-chan *clientv3.LeaseKeepAliveResponse, reign uint64) {
	defer close(l.lost)
	for resp := range alive {
		if r := resp.ResponseHeader.GetRaftTerm(); r > reign {
			reign = r
			select {
			case <-l.reigns: // nobody looked, and it is old
			default:
			}
			l.reigns <- r
		}
		if resp.ResponseHeader.GetRevision() < l.revision.Load() {
			close(l.back)
			break
		}
	}
	for range alive { // there may be more, to whom nobody listens
	}
}

// end gives the lease back and returns when nothing keeps it any more.
func (l *lease) end() {
	l.cancel()
	<-l.lost
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	// A store that does not answer lets the lease go by itself.
	_, _ = l.client.Revoke(ctx, l.id)
}

// Keep stores the latest of values under key for as long as this process
// lives: on a lease of ttl, which is asked for again when it was lost. It
// returns when ctx ends or values is closed, and then removes the key.
func Keep(ctx context.Context, c *etcd.Client, log *slog.Logger, key string, ttl time.Duration, values <-chan []byte) error {
	k := keeper{client: c, key: key, ttl: ttl}
	defer k.drop()
	retry := time.NewTicker(recheck)
	defer retry.Stop()
	for {
		if err := k.store(ctx); err != nil && ctx.Err() == nil && !k.failing {
			log.Warn("status is not stored; trying again", "key", key, "err", err)
			k.failing = true
		}
		select {
		case v, ok := <-values:
			if !ok {
				return nil
			}
			k.value, k.dirty = v, true
		case <-k.lost():
			k.drop()
			k.dirty = k.value != nil
		case <-k.back():
			k.drop()
			k.dirty = k.value != nil
		case <-retry.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

type keeper struct {
	client *etcd.Client
	key    string
	ttl    time.Duration
	lease  *lease
	value  []byte
	// dirty: value is not stored yet.
	dirty, failing bool
}

func (k *keeper) store(ctx context.Context) (err error) {
	if !k.dirty {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, k.ttl)
	defer cancel()
	if k.lease == nil {
		if k.lease, err = grant(ctx, k.client, k.ttl); err != nil {
			return err
		}
	}
	resp, err := k.client.Raw().Put(ctx, k.key, string(k.value), clientv3.WithLease(k.lease.id))
	if err != nil {
		k.drop()
		return fmt.Errorf("writing %s: %w", k.key, err)
	}
	k.lease.revision.Store(resp.Header.Revision)
	k.dirty, k.failing = false, false
	return nil
}

func (k *keeper) lost() <-chan struct{} {
	if k.lease == nil {
		return nil
	}
	return k.lease.lost
}

func (k *keeper) back() <-chan struct{} {
	if k.lease == nil {
		return nil
	}
	return k.lease.back
}

func (k *keeper) drop() {
	if k.lease != nil {
		k.lease.end()
		k.lease = nil
	}
}
