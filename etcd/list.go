package etcd

import (
	"context"
	"errors"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// pageSize is the number of keys asked for at once: large, because a page
// costs a round trip, and small enough that one is decoded while the next is
// on its way.
const pageSize = 2500

// errCompacted says that a revision is no longer in the store, or not yet.
var errCompacted = errors.New("revision is not in the store's history")

// page is a part of a listing.
type page struct {
	head header
	// also is the key that was asked for beside the first page.
	also *mvccpb.KeyValue
	kvs  []*mvccpb.KeyValue
	err  error
}

// header is what every response says of the store.
type header struct {
	store    uint64 // the etcd cluster's id
	revision int64
}

func headerOf(h *pb.ResponseHeader) header {
	return header{store: h.GetClusterId(), revision: h.GetRevision()}
}

// List calls yield with every key below a prefix, in order, all as of one
// revision, which it returns.
func (c *Client) List(ctx context.Context, prefix string, yield func(KV) error) (int64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var revision int64
	for p := range c.pages(ctx, prefix, clientv3.GetPrefixRangeEnd(prefix), "", 0) {
		if p.err != nil {
			return 0, fmt.Errorf("listing %s: %w", prefix, p.err)
		}
		revision = max(revision, p.head.revision)
		for _, kv := range p.kvs {
			if err := yield(toKV(kv)); err != nil {
				return 0, err
			}
		}
	}
	return revision, ctx.Err()
}

// pages fetches the keys from from to end, without end, page by page, one page ahead of the
// reader. All are as of one revision: at, or the present one when at is 0.
// The key also comes with the first page, unless it is empty. The channel is
// closed after the last page or the first error, or when ctx ends.
func (c *Client) pages(ctx context.Context, from, end, also string, at int64) <-chan page {
	out := make(chan page, 1)
	go func() {
		defer close(out)
		for {
			p, more := c.page(ctx, from, end, also, at)
			select {
			case out <- p:
			case <-ctx.Done():
				return
			}
			if p.err != nil || !more {
				return
			}
			if at == 0 {
				at = p.head.revision
			}
			also = ""
			from = string(p.kvs[len(p.kvs)-1].Key) + "\x00"
		}
	}()
	return out
}

// page fetches one page; more says that another follows.
func (c *Client) page(ctx context.Context, from, end, also string, at int64) (p page, more bool) {
	ctx, cancel := context.WithTimeout(ctx, request)
	defer cancel()
	ops := []clientv3.Op{clientv3.OpGet(from, clientv3.WithRange(end), clientv3.WithLimit(pageSize), clientv3.WithRev(at))}
	if also != "" {
		ops = append(ops, clientv3.OpGet(also, clientv3.WithRev(at)))
	}
	resp, err := c.etcd.Txn(ctx).Then(ops...).Commit()
	if err != nil {
		return page{err: historical(err)}, false
	}
	r := resp.Responses[0].GetResponseRange()
	p = page{head: headerOf(resp.Header), kvs: r.Kvs}
	if also != "" {
		if kvs := resp.Responses[1].GetResponseRange().Kvs; len(kvs) > 0 {
			p.also = kvs[0]
		}
	}
	return p, r.More
}

// historical turns etcd's errors about revisions that it does not have into
// errCompacted.
func historical(err error) error {
	if errors.Is(err, rpctypes.ErrCompacted) || errors.Is(err, rpctypes.ErrFutureRev) {
		return errCompacted
	}
	return err
}

func toKV(kv *mvccpb.KeyValue) KV {
	return KV{Key: string(kv.Key), Value: kv.Value, Created: kv.CreateRevision, Revision: kv.ModRevision}
}
