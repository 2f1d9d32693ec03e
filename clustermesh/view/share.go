package view

import (
	"context"
	"slices"
	"sync"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
)

// shareAhead is how many batches a reader of Share may be behind before the
// others wait for it.
const shareAhead = 256

// Share gives every batch to each of several readers, in order, until ctx ends.
// A batch is only read, so all may have the same. A reader that is slow for a
// while holds nobody up; one that does not catch up does in the end, so that
// memory is bounded: what comes then is joined where it waits, in the watch.
func Share(ctx context.Context, in <-chan Batch, outs ...chan<- Batch) {
	var g sync.WaitGroup
	defer g.Wait()
	waiting := make([]chan Batch, len(outs))
	for i, out := range outs {
		waiting[i] = make(chan Batch, shareAhead)
		g.Go(func() { forward(ctx, waiting[i], out) })
	}
	for {
		select {
		case b := <-in:
			for _, w := range waiting {
				select {
				case w <- b:
				case <-ctx.Done():
					return
				}
			}
		case <-ctx.Done():
			return
		}
	}
}

// forward hands batches on until ctx ends.
func forward(ctx context.Context, in <-chan Batch, out chan<- Batch) {
	for {
		select {
		case b := <-in:
			select {
			case out <- b:
			case <-ctx.Done():
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// Only returns what a batch says of some kinds and of their tables' markers, for
// a reader whose View needs nothing else and should not hold it.
func Only(b Batch, kinds ...clustermesh.Kind) Batch {
	wanted := func(e etcd.Event[clustermesh.Object]) bool {
		k, err := clustermesh.ParseKey(e.Key)
		if err != nil {
			return false
		}
		if k.Kind == clustermesh.KindSynced {
			return slices.Contains(kinds, clustermesh.Kind(k.Name))
		}
		return slices.Contains(kinds, k.Kind)
	}
	events := b.Events
	b.Events = nil
	for _, e := range events {
		if wanted(e) {
			b.Events = append(b.Events, e)
		}
	}
	return b
}
