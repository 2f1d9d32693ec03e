package view

import (
	"context"
	"slices"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
)

// Share gives every batch to each of several readers, in order, until ctx ends.
// A batch is only read, so all may have the same; one that is slow to take its
// own holds the others up.
func Share(ctx context.Context, in <-chan Batch, outs ...chan<- Batch) {
	for {
		select {
		case b := <-in:
			for _, out := range outs {
				select {
				case out <- b:
				case <-ctx.Done():
					return
				}
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
