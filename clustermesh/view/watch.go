package view

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
)

// Watch follows what a reader of the mesh needs of its cluster's etcd and sends
// it to out, for Apply, until ctx ends; it returns why it ended. It is stale also while
// no API server keeps that up to date.
func Watch(ctx context.Context, c *etcd.Client, log *slog.Logger, out chan<- Batch) error {
	return follow(ctx, table(), c, log, out)
}

// WatchExport is Watch for what a cluster shares with others, and no more.
func WatchExport(ctx context.Context, c *etcd.Client, log *slog.Logger, out chan<- Batch) error {
	return follow(ctx, Table(clustermesh.Root+string(clustermesh.Export)+"/"), c, log, out)
}

func follow(ctx context.Context, t etcd.Table[clustermesh.Object], c *etcd.Client, log *slog.Logger, out chan<- Batch) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	batches, ended := make(chan Batch), make(chan error, 1)
	go func() { ended <- t.Watch(ctx, c, log, batches) }()
	var k Keeper
	for {
		select {
		case b := <-batches:
			k.Follow(&b, time.Now())
			select {
			case out <- b:
			case <-ctx.Done():
			}
		case err := <-ended:
			return err
		}
	}
}

// table is export/, mirror/ and private/ as one table, which are neighbours in
// etcd's order. One watch keeps the order in which they were written: of a
// service that moves from private/ to export/ the reader sees the new place
// before the old one goes. What processes report under status/ comes after
// private/, and no reader needs that from all of its cluster.
func table() etcd.Table[clustermesh.Object] {
	t := Table(clustermesh.Root + string(clustermesh.Export) + "/")
	t.Until = clustermesh.Root + string(clustermesh.Private) + "0" // the byte after "/"
	return t
}

// Table returns the keys that begin with a prefix of the layout as an etcd
// table, decoded strictly, with the markers and the epoch of the layout. It is
// for one watch: decoding keeps names that objects share.
func Table(prefix string) etcd.Table[clustermesh.Object] {
	shared := names{}
	return etcd.Table[clustermesh.Object]{
		Prefix: prefix,
		Decode: func(key string, value []byte) (clustermesh.Object, error) {
			o, err := clustermesh.DecodeAt(key, value)
			if err != nil {
				return nil, err
			}
			shared.object(o)
			return o, nil
		},
		Repeats:  isState,
		Marker:   clustermesh.MarkerAt,
		Contents: contents,
		Epoch:    clustermesh.MarkerEpoch,
		EpochKey: clustermesh.EpochKey,
	}
}

// isState says whether a mirror says there what it is: written again, that is said again.
func isState(key string) bool {
	if !strings.HasSuffix(key, "/"+string(clustermesh.KindState)) {
		return false
	}
	k, err := clustermesh.ParseKey(key)
	return err == nil && k.Kind == clustermesh.KindState
}

// contents returns the prefix of what a marker vouches for.
func contents(key string) (string, bool) {
	if !strings.Contains(key, "/"+string(clustermesh.KindSynced)+"/") {
		return "", false
	}
	k, err := clustermesh.ParseKey(key)
	if err != nil || k.Kind != clustermesh.KindSynced {
		return "", false
	}
	return clustermesh.Key{Area: k.Area, Cluster: k.Cluster, Kind: clustermesh.Kind(k.Name)}.Prefix(), true
}
