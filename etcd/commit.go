package etcd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ledger is a key that every transaction of one writer rewrites. It hangs on
// the leader's lease and goes with it.
type ledger struct {
	key string
	// last is what the last transaction wrote, empty before the first; maybe
	// is what transactions wrote of which it is not known whether they
	// happened. At most one of those did, because each compares last.
	last  string
	maybe []string
}

func newLedger(f Fence) ledger { return ledger{key: f.Ledger + rand.Text()} }

// intact is true while the store has this writer's last transaction, and none
// of those in maybe.
func (l ledger) intact() clientv3.Cmp {
	if l.last == "" {
		return clientv3.Compare(clientv3.CreateRevision(l.key), "=", 0)
	}
	return clientv3.Compare(clientv3.Value(l.key), "=", l.last)
}

// wrote takes note that the ledger has this value.
func (l *ledger) wrote(value string) { l.last, l.maybe = value, nil }

// commit writes a batch as one transaction, and tries again while the store is
// out of reach. A transaction of which it is not known whether it happened is
// repeated: the ledger tells.
func (w *Writer) commit(ctx context.Context, batch []op) error {
	ops := make([]clientv3.Op, 0, len(batch)+1)
	for _, o := range batch {
		if o.delete {
			ops = append(ops, clientv3.OpDelete(o.key))
		} else {
			ops = append(ops, clientv3.OpPut(o.key, string(o.value)))
		}
	}
	entry := rand.Text()
	ops = append(ops, clientv3.OpPut(w.ledger.key, entry, clientv3.WithLease(clientv3.LeaseID(w.fence.Lease))))
	err := w.insist(ctx, ops, entry)
	if err != nil && !errors.Is(err, ErrDeposed) && !errors.Is(err, ErrRewound) {
		w.ledger.maybe = append(w.ledger.maybe, entry)
		for _, o := range batch {
			w.stored[o.key] = unknown
		}
		err = fmt.Errorf("writing %d keys from %s on: %w", len(batch), batch[0].key, err)
	}
	return err
}

// insist tries until the transaction that writes entry to the ledger happened
// once, or cannot.
func (w *Writer) insist(ctx context.Context, ops []clientv3.Op, entry string) error {
	for wait := minRetry; ; wait = min(2*wait, maxRetry) {
		resp, err := w.try(ctx, ops)
		switch {
		case err == nil && resp.Succeeded:
			w.ledger.wrote(entry)
			return nil
		case err == nil:
			had, err := w.refused(resp)
			if err != nil || had == entry {
				return err
			}
			continue
		case errors.Is(err, rpctypes.ErrLeaseNotFound):
			return ErrDeposed
		case ctx.Err() != nil || !temporary(err):
			return err
		}
		w.ledger.maybe = append(w.ledger.maybe, entry)
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(wait):
		}
	}
}

func (w *Writer) try(ctx context.Context, ops []clientv3.Op) (*clientv3.TxnResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, request)
	defer cancel()
	return w.client.etcd.Txn(ctx).
		If(w.fence.Holds(), w.ledger.intact()).
		Then(ops...).
		Else(clientv3.OpGet(w.fence.Key), clientv3.OpGet(w.ledger.key)).
		Commit()
}

// refused says why a transaction was refused: because of an earlier one of
// this writer of which it was not known whether it happened, whose entry is
// returned, or for good.
func (w *Writer) refused(resp *clientv3.TxnResponse) (entry string, err error) {
	leader, had := first(resp.Responses[0]), first(resp.Responses[1])
	switch {
	case leader == nil || leader.Created != w.fence.Revision:
		return "", ErrDeposed
	case had != nil && slices.Contains(w.ledger.maybe, string(had.Value)):
		w.ledger.wrote(string(had.Value))
		return w.ledger.last, nil
	}
	return "", ErrRewound
}

// temporary says whether an attempt may go better later.
func temporary(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	var e rpctypes.EtcdError
	code := status.Code(err)
	if errors.As(err, &e) {
		code = e.Code()
	}
	switch code {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Aborted, codes.Canceled:
		return true
	case codes.ResourceExhausted:
		return errors.Is(err, rpctypes.ErrTooManyRequests)
	}
	return false
}
