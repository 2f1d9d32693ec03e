package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

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
	// reign is the term of the store's leader.
	reign uint64
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
	for p := range c.pages(ctx, span{from: prefix, end: clientv3.GetPrefixRangeEnd(prefix), patience: request}) {
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

// span says what pages fetches.
type span struct {
	// from is the first key, end the one after the last.
	from, end string
	// also is a key that comes with the first page, unless it is empty.
	also string
	// at is the revision as of which all is, 0 for the present one.
	at int64
	// patience bounds the wait for one page.
	patience time.Duration
}

// pages fetches keys page by page, one ahead of the reader, all as of one
// revision. The channel is closed after the last page or the first error, or
// when ctx ends.
func (c *Client) pages(ctx context.Context, s span) <-chan page {
	out := make(chan page, 1)
	go func() {
		defer close(out)
		for {
			p, more := c.page(ctx, s)
			select {
			case out <- p:
			case <-ctx.Done():
				return
			}
			if p.err != nil || !more {
				return
			}
			if s.at == 0 {
				s.at = p.head.revision
			}
			s.also = ""
			s.from = string(p.kvs[len(p.kvs)-1].Key) + "\x00"
		}
	}()
	return out
}

// page fetches one page; more says that another follows.
func (c *Client) page(ctx context.Context, s span) (p page, more bool) {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	ops := []clientv3.Op{clientv3.OpGet(s.from, clientv3.WithRange(s.end), clientv3.WithLimit(pageSize), clientv3.WithRev(s.at))}
	if s.also != "" {
		ops = append(ops, clientv3.OpGet(s.also, clientv3.WithRev(s.at)))
	}
	resp, err := c.etcd.Txn(ctx).Then(ops...).Commit()
	if err != nil {
		return page{err: historical(err)}, false
	}
	r := resp.Responses[0].GetResponseRange()
	p = page{head: headerOf(resp.Header), reign: resp.Header.GetRaftTerm(), kvs: r.Kvs}
	if s.also != "" {
		if kvs := resp.Responses[1].GetResponseRange().Kvs; len(kvs) > 0 {
			p.also = kvs[0]
		}
	}
	return p, r.More
}

// answer is what a store says when it is to prove that it is the one that was
// read before.
type answer struct {
	header
	epoch string
	// reign is the term of the store's leader.
	reign uint64
	// witness is the key that was asked for as it was at that revision, nil when
	// it was not there; known says whether that revision could be read.
	witness *KV
	known   bool
}

// prove asks for the epoch and for a key as it was at a revision.
func (c *Client) prove(ctx context.Context, epochKey, key string, at int64) (a answer, err error) {
	ops := []clientv3.Op{clientv3.OpGet(epochKey)}
	if key != "" {
		ops = append(ops, clientv3.OpGet(key, clientv3.WithRev(at)))
	}
	resp, err := c.etcd.Txn(ctx).Then(ops...).Commit()
	if errors.Is(historical(err), errCompacted) {
		ops = ops[:1]
		resp, err = c.etcd.Txn(ctx).Then(ops...).Commit()
	}
	if err != nil {
		return answer{}, err
	}
	a = answer{header: headerOf(resp.Header), reign: resp.Header.GetRaftTerm(), known: len(ops) > 1}
	if kv := first(resp.Responses[0]); kv != nil {
		a.epoch = string(kv.Value)
	}
	if a.known {
		a.witness = first(resp.Responses[1])
	}
	return a, nil
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

// first returns the first key of a response, nil when it has none.
func first(op *pb.ResponseOp) *KV {
	kvs := op.GetResponseRange().GetKvs()
	if len(kvs) == 0 {
		return nil
	}
	kv := toKV(kvs[0])
	return &kv
}
