package etcd

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// What ends a writer for good.
var (
	// ErrDeposed: another was elected. Nothing was written since.
	ErrDeposed = errors.New("deposed: the election key is gone")
	// ErrRewound: the store lacks a transaction of this writer, so it was
	// restored or its data was lost. Nothing was written since. The owner has
	// to renew the epoch and begin again with a new writer and a complete pass.
	ErrRewound = errors.New("the store went back to before this writer's last transaction")
)

// unknown stands for the hash of a value of which it is not known whether it
// was written: it equals none.
const unknown = 0

// Fence ties writes to an election: they happen only while the key Key is the
// one that was created at Revision.
type Fence struct {
	Key      string
	Revision int64
	// Lease is the lease that the election key hangs on.
	Lease int64
	// Ledger is the prefix of the keys in which writers keep account of
	// their transactions.
	Ledger string
}

// Holds returns the comparison that is true while the fence holds.
func (f Fence) Holds() clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(f.Key), "=", f.Revision)
}

// Writer brings the store to what its owner stages. It is owned by one
// goroutine. Changes are staged by Put, Delete, Mark and Replace, and written
// by Flush, which batches whatever is staged; so a change that comes alone is
// written alone, and those that come meanwhile go together.
//
// It knows what is stored below its prefixes and writes no unchanged value.
// Every transaction rewrites a ledger key of this writer, which makes the
// loss of any of them known to the next one before it writes anything.
type Writer struct {
	client *Client
	fence  Fence
	seed   maphash.Seed
	// stored is the hash of what the store has.
	stored map[string]uint64
	// marks are the markers written by this writer, for Refresh.
	marks map[string][]byte

	stage  stage
	ledger ledger
	failed error
}

// NewWriter returns a writer for all keys below prefixes, which it lists to
// learn what is stored. Nobody else may write there.
func NewWriter(ctx context.Context, c *Client, fence Fence, prefixes ...string) (*Writer, error) {
	w := &Writer{
		client: c, fence: fence, seed: maphash.MakeSeed(),
		stored: map[string]uint64{}, marks: map[string][]byte{},
		stage: newStage(), ledger: newLedger(fence),
	}
	for _, prefix := range prefixes {
		_, err := c.List(ctx, prefix, func(kv KV) error {
			w.stored[kv.Key] = maphash.Bytes(w.seed, kv.Value)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("learning what is stored: %w", err)
		}
	}
	return w, nil
}

// Put stages a value, which must not be changed afterwards. Between two
// Flushes the last value of a key counts.
func (w *Writer) Put(key string, value []byte) { w.stage.put(key, value, false) }

// Delete stages a deletion.
func (w *Writer) Delete(key string) {
	w.stage.delete(key)
	delete(w.marks, key)
}

// Mark stages a marker: it is written after all that was staged before, even
// when its value is unchanged, because a reader whose store went back waits
// for the marker to be written again.
func (w *Writer) Mark(key string, value []byte) {
	w.stage.put(key, value, true)
	w.marks[key] = value
}

// Refresh stages every marker of this writer again. Owners call it now and
// then (every 30 s): it thaws readers that found the store gone back while
// nobody who could renew the epoch noticed, and lets an idle writer notice.
func (w *Writer) Refresh() {
	for key, value := range w.marks {
		w.stage.put(key, value, true)
	}
}

// Replace stages what makes the keys below prefix those of desired, all puts
// before all deletes, and returns how many of each differ from what is stored.
func (w *Writer) Replace(prefix string, desired iter.Seq2[string, []byte]) (puts, deletes int) {
	wanted := map[string]struct{}{}
	for key, value := range desired {
		wanted[key] = struct{}{}
		if w.differs(key, value) {
			puts++
		}
		w.Put(key, value)
	}
	for key := range w.Stored(prefix) {
		if _, ok := wanted[key]; !ok {
			w.Delete(key)
			deletes++
		}
	}
	return puts, deletes
}

// Stored yields the keys below prefix that the store has, staged changes
// aside, in no order. The caller may stage meanwhile.
func (w *Writer) Stored(prefix string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for key := range w.stored {
			if strings.HasPrefix(key, prefix) && !yield(key) {
				return
			}
		}
	}
}

// Staged returns how many changes wait for Flush.
func (w *Writer) Staged() int { return w.stage.len() }

// Flush writes what is staged, in order, until nothing is left, waiting for
// the store while it is out of reach. What could not be written when ctx ends
// stays staged. ErrDeposed and ErrRewound are final.
func (w *Writer) Flush(ctx context.Context) error {
	for w.failed == nil {
		batch := w.stage.take(w.unchanged)
		if len(batch) == 0 {
			return nil
		}
		err := w.commit(ctx, batch)
		if err == nil {
			w.learn(batch)
			continue
		}
		w.stage.restore(batch)
		if !errors.Is(err, ErrDeposed) && !errors.Is(err, ErrRewound) {
			return err
		}
		w.failed = err
	}
	return w.failed
}

// unchanged says whether the store has this change already.
func (w *Writer) unchanged(o op) bool {
	if o.force {
		return false
	}
	if o.delete {
		_, ok := w.stored[o.key]
		return !ok
	}
	return !w.differs(o.key, o.value)
}

func (w *Writer) differs(key string, value []byte) bool {
	h, ok := w.stored[key]
	return !ok || h == unknown || h != maphash.Bytes(w.seed, value)
}

func (w *Writer) learn(batch []op) {
	for _, o := range batch {
		if o.delete {
			delete(w.stored, o.key)
		} else {
			w.stored[o.key] = maphash.Bytes(w.seed, o.value)
		}
	}
}
