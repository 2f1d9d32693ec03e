package etcd

import "fmt"

// group is what the tracker knows of the keys that one marker vouches for, or
// of all those that need no marker.
type group[T any] struct {
	// marker is empty for the keys that need none; prefix is what the others
	// begin with.
	marker, prefix string
	// revision is the marker's, 0 while it is absent; epoch is what it names;
	// err why it does not decode.
	revision int64
	epoch    string
	err      error

	// synced: the marker vouches, and keys is what the store has.
	synced bool
	// was: it has been synced before, so keys means something. told: the
	// reader was told that it is not.
	was, told bool

	// keys is what the reader has.
	keys map[string]item
	// pass counts listings; a key whose pass is older was not in the last one.
	pass uint32
	// staged is what the listing under way would deliver.
	staged []staged[T]
	// marked: the listing under way has the marker; seen: it has a key.
	marked, seen bool
}

// item is a key that the reader has.
type item struct {
	// hash is of the value that was delivered last, good or not.
	hash uint64
	pass uint32
}

type staged[T any] struct {
	event Event[T]
	hash  uint64
}

// vouched returns nil when the marker vouches for the group, and otherwise
// the reason why not.
func (g *group[T]) vouched(epoch string, floor int64) error {
	switch {
	case g.marker == "":
		return nil
	case g.err != nil:
		return fmt.Errorf("%w: %w", ErrBadMarker, g.err)
	case g.revision == 0:
		return ErrNoMarker
	case epoch == "" || g.epoch != epoch:
		return ErrOtherEpoch
	case g.revision <= floor:
		return ErrOldMarker
	}
	return nil
}

// begin starts a listing of the group; one that did not end is forgotten.
func (g *group[T]) begin() {
	g.pass++
	g.staged = nil
	g.marked, g.seen = false, false
}

// stage notes that the listing has a key. The value is decoded only when the
// reader does not have it already.
func (g *group[T]) stage(kv KV, hash uint64, decode func(KV) Event[T]) {
	g.seen = true
	it, ok := g.keys[kv.Key]
	if ok {
		it.pass = g.pass
		g.keys[kv.Key] = it
		if it.hash == hash {
			return
		}
	}
	e := decode(kv)
	e.fresh = !ok
	g.staged = append(g.staged, staged[T]{e, hash})
}

// put takes note of a value and returns its event, or false when the reader
// has it already.
func (g *group[T]) put(kv KV, hash uint64, decode func(KV) Event[T]) (Event[T], bool) {
	it, ok := g.keys[kv.Key]
	g.keys[kv.Key] = item{hash, g.pass}
	if ok && it.hash == hash {
		return Event[T]{}, false
	}
	e := decode(kv)
	e.fresh = !ok
	return e, true
}

// drop takes note of a deletion and returns its event, or false when the
// reader does not have the key.
func (g *group[T]) drop(key string, revision int64) (Event[T], bool) {
	if _, ok := g.keys[key]; !ok {
		return Event[T]{}, false
	}
	delete(g.keys, key)
	return Event[T]{Op: Delete, Key: key, Revision: revision}, true
}

// settle delivers what the listing that just ended has and the reader has not.
func (g *group[T]) settle(out []Event[T]) []Event[T] {
	for _, s := range g.staged {
		g.keys[s.event.Key] = item{s.hash, g.pass}
		out = append(out, s.event)
	}
	g.staged = nil
	return out
}

// sweep delivers the deletion of the keys that the last listing had not.
func (g *group[T]) sweep(revision int64, doubt func(key string) bool, out []Event[T]) []Event[T] {
	for key, it := range g.keys {
		if it.pass == g.pass || doubt(key) {
			continue
		}
		delete(g.keys, key)
		out = append(out, Event[T]{Op: Delete, Key: key, Revision: revision})
	}
	return out
}

// become says that the group is synced, unless the reader knows.
func (g *group[T]) become(out *[]Event[T], revision int64) {
	if !g.synced {
		g.synced, g.was, g.told = true, true, false
		*out = append(*out, Event[T]{Op: Synced, Key: g.marker, Revision: revision})
	}
}
