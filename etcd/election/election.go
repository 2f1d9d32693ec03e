// Package election says who leads among processes that share a store, and
// keeps keys alive that hang on a lease.
//
// A candidate has a key with a lease; the one whose key was created first
// leads, until its key goes. That a leader knows of its own end is a courtesy
// (it may be paused, or cut off): what it writes is fenced by the key, see
// etcd.Writer.
package election

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"tombolo.io/tombolo/etcd"
)

// Config describes an election.
type Config struct {
	// Prefix is below what candidates have their keys; it ends in a slash.
	// Ledger is below what the leader's writers keep account.
	Prefix, Ledger string
	// Name of the candidate, its own: whoever stands under it replaces the
	// process that did before, which must have died.
	Name string
	// TTL is how long a dead leader blocks others; whole seconds, 2 at least.
	TTL time.Duration
}

// Leader is a term of ours.
type Leader struct {
	// Fence ties writes to this term.
	Fence etcd.Fence
	lease *lease
}

// recheck bounds how long a candidate trusts that a watch tells it of the end
// of its predecessor: a store that went back tells nothing.
const recheck = time.Second

// Campaign waits until this candidate leads, or ctx ends. While the store is
// out of reach it goes on trying.
func Campaign(ctx context.Context, c *etcd.Client, log *slog.Logger, cfg Config) (*Leader, error) {
	told := ""
	for {
		l, err := campaign(ctx, c, cfg)
		if err == nil || ctx.Err() != nil {
			return l, err
		}
		if why := c.Explain(ctx, err).Error(); why != told {
			told = why
			log.Warn("campaign failed; trying again", "election", cfg.Prefix, "err", err, "why", why)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(recheck):
		}
	}
}

func campaign(ctx context.Context, c *etcd.Client, cfg Config) (_ *Leader, err error) {
	lease, err := grant(ctx, c, cfg.TTL)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			lease.end()
		}
	}()
	key := fmt.Sprintf("%s%016x", cfg.Prefix, int64(lease.id))
	resp, err := c.Raw().Put(ctx, key, cfg.Name, clientv3.WithLease(lease.id))
	if err != nil {
		return nil, fmt.Errorf("standing for %s: %w", cfg.Prefix, err)
	}
	if err := replace(ctx, c, cfg, key); err != nil {
		return nil, err
	}
	fence := etcd.Fence{Key: key, Revision: resp.Header.Revision, Lease: int64(lease.id), Ledger: cfg.Ledger}
	if err := await(ctx, c, cfg.Prefix, fence, lease.lost); err != nil {
		return nil, err
	}
	return &Leader{Fence: fence, lease: lease}, nil
}

// replace removes what an earlier process of the same name has left, so that
// one that was killed and started again need not wait for its own lease. Were
// it alive after all, its writes would be refused.
func replace(ctx context.Context, c *etcd.Client, cfg Config, own string) error {
	resp, err := c.Raw().Get(ctx, cfg.Prefix, clientv3.WithPrefix())
	if err != nil {
		return fmt.Errorf("reading who stands for %s: %w", cfg.Prefix, err)
	}
	for _, kv := range resp.Kvs {
		if string(kv.Value) == cfg.Name && string(kv.Key) != own {
			if _, err := c.Raw().Delete(ctx, string(kv.Key)); err != nil {
				return fmt.Errorf("replacing %s: %w", kv.Key, err)
			}
		}
	}
	return nil
}

// await returns when no candidate is left that came before ours.
func await(ctx context.Context, c *etcd.Client, prefix string, own etcd.Fence, lost <-chan struct{}) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	gone := c.Raw().Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithFilterPut())
	tick := time.NewTicker(recheck)
	defer tick.Stop()
	for {
		first, err := c.Raw().Get(ctx, prefix, clientv3.WithFirstCreate()...)
		switch {
		case err != nil:
			return fmt.Errorf("reading who leads %s: %w", prefix, err)
		case len(first.Kvs) == 0:
			return fmt.Errorf("our candidature for %s is gone", prefix)
		case string(first.Kvs[0].Key) == own.Key && first.Kvs[0].CreateRevision == own.Revision:
			return nil
		}
		select {
		case _, ok := <-gone:
			if !ok {
				gone = nil
			}
		case <-tick.C:
		case <-lost:
			return errors.New("our lease is lost")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Lost is closed when the lease of this term is, or may be, gone.
func (l *Leader) Lost() <-chan struct{} { return l.lease.lost }

// Reigns receives the term of the store's own leader, now and whenever our lease was
// renewed in a later one: what hangs on it and names an earlier one may be taken for a
// dead process's.
func (l *Leader) Reigns() <-chan uint64 { return l.lease.reigns }

// Resign ends the term, so that another can lead at once.
func (l *Leader) Resign() { l.lease.end() }

// Who returns the name of the candidate that leads, empty when none does.
func Who(ctx context.Context, c *etcd.Client, prefix string) (string, error) {
	resp, err := c.Raw().Get(ctx, prefix, clientv3.WithFirstCreate()...)
	if err != nil {
		return "", fmt.Errorf("reading who leads %s: %w", prefix, err)
	}
	if len(resp.Kvs) == 0 {
		return "", nil
	}
	return string(resp.Kvs[0].Value), nil
}
