package etcd

import (
	"hash/maphash"
	"math/bits"
	"slices"
	"strings"
)

// tracker decides what the reader of a table is told. It is fed with
// listings and with the changes that a watch reports, in the order of their
// revisions, and collects events. It does no I/O.
//
// Of a key it keeps the hash of the value that the reader has, no more: a
// revision would not do, since in a store that went back the same revision
// may name another value.
type tracker[T any] struct {
	table Table[T]
	seed  maphash.Seed
	// groups is by marker; "" holds the keys that need none.
	groups map[string]*group[T]

	// epoch is the store's, and epochs are all that it ever had while this
	// reader looked. A marker vouches only when it was written after floor.
	epoch  string
	epochs map[string]bool
	floor  int64

	// at is the store, and the revision up to which everything was seen; zero
	// before the first listing.
	at header
	// trusted: the listing under way is of the store that was read before, in
	// the same epoch.
	trusted bool
	// witness is the last put that was seen, and deleted the revision of the
	// last deletion.
	witness witness
	deleted int64

	events []Event[T]
}

// change is one event of a watch. A deletion has no value.
type change struct {
	KV
	deleted bool
}

func newTracker[T any](t Table[T]) *tracker[T] {
	return &tracker[T]{table: t, seed: maphash.MakeSeed(), groups: map[string]*group[T]{}, epochs: map[string]bool{}}
}

// take returns the events since the last call.
func (t *tracker[T]) take() []Event[T] {
	out := t.events
	t.events = nil
	return out
}

// begin starts a complete listing as of a header's revision. One that did not
// end is forgotten.
func (t *tracker[T]) begin(h header, epoch string, broken bool) {
	broken = broken || t.at.revision > h.revision || t.at.store != 0 && t.at.store != h.store
	t.trusted = !broken && epoch != "" && epoch == t.epoch
	t.at = h
	t.witness, t.deleted = witness{}, 0
	t.enter(epoch, h.revision, broken)
	for _, g := range t.groups {
		g.begin()
	}
}

// enter takes note of the epoch that the store has. Whoever finds a store gone
// back gives it a new epoch; until then, or when an old epoch comes back with
// an old copy, markers vouch only when they are written anew.
func (t *tracker[T]) enter(epoch string, revision int64, broken bool) {
	switch {
	case epoch == t.epoch && !broken:
	case t.epochs[epoch]:
		t.floor = revision
	default:
		t.floor = 0
	}
	t.epoch = epoch
	t.epochs[epoch] = true
}

// add takes a key of the listing under way.
func (t *tracker[T]) add(kv KV) {
	hash := maphash.Bytes(t.seed, kv.Value)
	if kv.Revision > t.witness.revision {
		t.witness = witness{key: kv.Key, revision: kv.Revision, hash: hash}
	}
	if prefix, ok := t.table.contents(kv.Key); ok {
		t.mark(t.group(kv.Key, prefix), kv)
		return
	}
	t.group(t.table.marker(kv.Key), "").stage(kv, t.known(kv, hash), t.decode)
}

// end ends a complete listing and delivers the difference: what is new or
// changed, then what is gone, then which tables are synced.
func (t *tracker[T]) end() {
	groups := t.ordered()
	for _, g := range groups {
		if g.marker != "" && !g.marked {
			g.revision, g.err = 0, nil
		}
	}
	groups = slices.DeleteFunc(groups, t.removed)
	groups = slices.DeleteFunc(groups, func(g *group[T]) bool { return !t.vouches(g) })
	t.settle(groups...)
}

// removed says whether a table was removed as a whole: it was synced, and a
// trusted listing has neither its marker nor any of its keys.
func (t *tracker[T]) removed(g *group[T]) bool {
	if !t.trusted || !g.synced || g.marked || g.seen {
		return false
	}
	t.events = g.sweep(t.at.revision, believe, t.events)
	t.vouches(g)
	delete(t.groups, g.marker)
	return true
}

// refill starts a listing, at the tracker's revision, of what one marker
// vouches for; its keys are passed to add, without the marker.
func (t *tracker[T]) refill(marker string) {
	t.groups[marker].begin()
}

// refilled ends the listing that refill started.
func (t *tracker[T]) refilled(marker string) {
	t.settle(t.groups[marker])
}

// settle ends the listing of groups that are vouched for.
func (t *tracker[T]) settle(groups ...*group[T]) {
	for _, g := range groups {
		t.events = g.settle(t.events)
	}
	for _, g := range groups {
		if g.marker != "" {
			t.events = g.sweep(t.at.revision, believe, t.events)
			g.become(&t.events, t.at.revision)
		}
	}
	if g := t.groups[""]; g != nil {
		t.events = g.sweep(t.at.revision, t.doubt, t.events)
	}
}

// vouches says whether a group's marker vouches for it, and freezes the group
// when it does not. A group that begins to be vouched for is not yet synced:
// its contents have to be listed first.
func (t *tracker[T]) vouches(g *group[T]) bool {
	err := g.vouched(t.epoch, t.floor)
	if err == nil {
		return true
	}
	g.synced = false
	if !g.told {
		g.told = true
		t.events = append(t.events, Event[T]{Op: Unsynced, Key: g.marker, Revision: t.at.revision, Err: err})
	}
	return false
}

// doubt says whether the absence of a key without a marker is to be doubted:
// a table beside it is frozen.
func (t *tracker[T]) doubt(key string) bool {
	dir := directory(key)
	for _, g := range t.groups {
		if g.was && !g.synced && strings.HasPrefix(g.marker, dir) {
			return true
		}
	}
	return false
}

func believe(string) bool { return false }

// apply takes changes that a watch of the table reports, and returns the
// markers whose contents are to be listed at the tracker's revision.
func (t *tracker[T]) apply(changes []change) (refill []string) {
	for _, c := range changes {
		t.at.revision = max(t.at.revision, c.Revision)
		hash := maphash.Bytes(t.seed, c.Value)
		t.witnessed(c, hash)
		if prefix, ok := t.table.contents(c.Key); ok {
			t.marker(t.group(c.Key, prefix), c)
		} else {
			t.data(c, t.known(c.KV, hash))
		}
	}
	return t.wanted()
}

// marker takes a change of a marker.
func (t *tracker[T]) marker(g *group[T], c change) {
	if !c.deleted {
		t.mark(g, c.KV)
		t.vouches(g)
		return
	}
	g.revision, g.err = 0, nil
	t.vouches(g)
	if len(g.keys) == 0 {
		delete(t.groups, g.marker)
	}
}

// data takes a change of a key that is no marker.
func (t *tracker[T]) data(c change, hash uint64) {
	g := t.group(t.table.marker(c.Key), "")
	if g.marker != "" && !g.synced {
		return
	}
	var e Event[T]
	var ok bool
	if c.deleted {
		e, ok = g.drop(c.Key, c.Revision)
	} else {
		e, ok = g.put(c.KV, hash, t.decode)
	}
	if ok {
		t.events = append(t.events, e)
	}
}

// known is what tells a value from the one that the reader has: the hash of it, and
// when it was written where that says something.
func (t *tracker[T]) known(kv KV, hash uint64) uint64 {
	if t.table.Repeats == nil || !t.table.Repeats(kv.Key) {
		return hash
	}
	return hash ^ bits.ReverseBytes64(uint64(kv.Revision))
}

// changeEpoch takes note that the store was given another epoch, and returns what
// apply returns.
func (t *tracker[T]) changeEpoch(epoch string, revision int64) (refill []string) {
	t.enter(epoch, revision, false)
	for _, g := range t.ordered() {
		t.vouches(g)
	}
	return t.wanted()
}

// progress takes note that nothing happened up to a revision.
func (t *tracker[T]) progress(revision int64) {
	t.at.revision = max(t.at.revision, revision)
}

// wanted returns the markers that vouch for contents not listed yet.
func (t *tracker[T]) wanted() (refill []string) {
	for _, g := range t.groups {
		if g.marker != "" && !g.synced && g.vouched(t.epoch, t.floor) == nil {
			refill = append(refill, g.marker)
		}
	}
	slices.Sort(refill)
	return refill
}

// mark takes note of a marker's value.
func (t *tracker[T]) mark(g *group[T], kv KV) {
	g.marked = true
	g.revision = kv.Revision
	g.epoch, g.err = t.table.Epoch(kv.Value)
}

// group returns the group of a marker, made if need be. The prefix is known
// only when the marker itself was seen.
func (t *tracker[T]) group(marker, prefix string) *group[T] {
	g := t.groups[marker]
	if g == nil {
		g = &group[T]{marker: marker, keys: map[string]item{}}
		t.groups[marker] = g
	}
	if prefix != "" {
		g.prefix = prefix
	}
	return g
}

// ordered returns the groups by marker, so that events have one order.
func (t *tracker[T]) ordered() []*group[T] {
	out := make([]*group[T], 0, len(t.groups))
	for _, g := range t.groups {
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b *group[T]) int { return strings.Compare(a.marker, b.marker) })
	return out
}

func (t *tracker[T]) decode(kv KV) Event[T] {
	v, err := t.table.Decode(kv.Key, kv.Value)
	if err != nil {
		return Event[T]{Op: Invalid, Key: kv.Key, Revision: kv.Revision, Err: err}
	}
	return Event[T]{Op: Put, Key: kv.Key, Value: v, Revision: kv.Revision}
}
