package view

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
)

// Every reader gets every batch in order, and nobody is left waiting at the end.
func TestShare(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	in, done := make(chan Batch), make(chan struct{})
	outs := []chan Batch{make(chan Batch), make(chan Batch)}
	go func() { Share(ctx, in, outs[0], outs[1]); close(done) }()
	for n := range int64(3) {
		in <- Batch{Revision: n}
		for i, out := range outs {
			if b := <-out; b.Revision != n {
				t.Errorf("reader %d got %d, want %d", i, b.Revision, n)
			}
		}
	}
	in <- Batch{} // which nobody takes
	cancel()
	<-done
}

// A reader that takes nothing for a while gets everything later, in order, and the
// others do not wait for it.
func TestShareWithSlowReader(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	in, done := make(chan Batch), make(chan struct{})
	slow, quick := make(chan Batch), make(chan Batch)
	go func() { Share(ctx, in, slow, quick); close(done) }()
	for n := range int64(shareAhead) {
		in <- Batch{Revision: n}
		if b := <-quick; b.Revision != n {
			t.Fatalf("the quick reader got %d, want %d", b.Revision, n)
		}
	}
	for n := range int64(shareAhead) {
		if b := <-slow; b.Revision != n {
			t.Fatalf("the slow reader got %d, want %d", b.Revision, n)
		}
	}
	cancel()
	<-done
}

func TestOnly(t *testing.T) {
	event := func(key string, op etcd.Op) etcd.Event[clustermesh.Object] {
		return etcd.Event[clustermesh.Object]{Op: op, Key: clustermesh.Root + key, Err: errors.New("why")}
	}
	b := Batch{Revision: 9, Events: []etcd.Event[clustermesh.Object]{
		event("export/nodes/n1", etcd.Put), event("export/slices/ns/a/b", etcd.Put),
		event("mirror/west/nodes/n2", etcd.Delete), event("export/synced/nodes", etcd.Synced),
		event("export/synced/slices", etcd.Synced), event("private/peers/west", etcd.Invalid), event("nonsense", etcd.Invalid),
	}}
	got := Only(b, clustermesh.KindNodes, clustermesh.KindPeers)
	var keys []string
	for _, e := range got.Events {
		keys = append(keys, e.Key[len(clustermesh.Root):])
	}
	if want := "[export/nodes/n1 mirror/west/nodes/n2 export/synced/nodes private/peers/west]"; fmt.Sprint(keys) != want || got.Revision != 9 {
		t.Errorf("kept %v at %d, want %s", keys, got.Revision, want)
	}
	if len(b.Events) != 7 {
		t.Errorf("the batch itself has %d events", len(b.Events))
	}
}
