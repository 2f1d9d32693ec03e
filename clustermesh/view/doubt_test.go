package view

import (
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
)

// What a store says of a mirror is from before the store was away, until it says more.
func TestFollows(t *testing.T) {
	v, began := New("n1"), time.Unix(1_000_000, 0)
	type written struct {
		*clustermesh.MirrorState
		at int64
	}
	apply := func(stale bool, states ...written) {
		var b Batch
		if stale {
			b.Stale = began
		}
		for _, s := range states {
			b.Events = append(b.Events, etcd.Event[clustermesh.Object]{Op: etcd.Put, Key: clustermesh.Root + "mirror/west/state", Value: s.MirrorState, Revision: s.at})
		}
		v.Apply(b)
	}
	state := func(phase clustermesh.MirrorPhase, since int, at int64) written {
		return written{&clustermesh.MirrorState{Phase: phase, Since: began.Add(time.Duration(since) * time.Second)}, at}
	}
	const synced, stale = clustermesh.MirrorSynced, clustermesh.MirrorStale
	is := func(what string, follows bool, listings uint64) {
		t.Helper()
		if got := v.Follows("west"); got != follows || v.Listings("west") != listings {
			t.Errorf("%s: follows %v, listed %d times; want %v, %d", what, got, v.Listings("west"), follows, listings)
		}
	}
	apply(false, state(synced, 0, 5))
	is("as the store says", true, 0)
	apply(true)
	is("the store is away", false, 0)
	apply(false)
	is("the store is back", false, 0)
	apply(false, state(synced, 0, 4))
	is("with an older word", false, 0)
	apply(false, state(synced, 0, 6))
	is("written again", true, 0)
	apply(false, state(stale, 9, 7))
	is("stale", false, 0)
	apply(false, state(synced, 12, 8))
	is("listed anew", true, 1)
	apply(true, state(stale, 13, 9), state(synced, 14, 10))
	apply(false)
	is("listed anew while the store was away, nobody knows when", true, 1)

	v = New("n1")
	apply(true)
	apply(false, state(synced, 0, 5))
	is("known from when the store came back", false, 0)
	apply(false, state(synced, 0, 6))
	is("heard since", true, 0)
}
