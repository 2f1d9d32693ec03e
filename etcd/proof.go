package etcd

import "hash/maphash"

// witness is a put with which a store proves that it still has the history
// that was read before. Its key is empty when nothing was seen.
type witness struct {
	key      string
	revision int64
	hash     uint64
	// gone: the key was deleted since.
	gone bool
}

// witnessed keeps the witness up to date.
func (t *tracker[T]) witnessed(c change, hash uint64) {
	if !c.deleted {
		t.witness = witness{key: c.Key, revision: c.Revision, hash: hash}
		return
	}
	t.deleted = c.Revision
	t.witness.gone = t.witness.gone || c.Key == t.witness.key
}

// ask returns the key, and the revision at which to ask for it, with which a
// store can prove itself. That is the latest at which the key was there, so
// that a quiet table can be proved long after its last change.
func (t *tracker[T]) ask() (key string, revision int64) {
	if t.witness.gone {
		return t.witness.key, t.witness.revision
	}
	return t.witness.key, t.at.revision
}

// verdict says how a store relates to the one that was read before.
type verdict int

const (
	// same: the watch can go on from t.at.
	same verdict = iota
	// unproven: it may be the same, but not everything since can be told.
	unproven
	// other: it has not the history that was read.
	other
)

// compare judges a store by its answer to ask. A store that was replaced by a
// copy with another history and grew past t.at has the witness at another
// revision, or not at all. Deletions leave no witness: after one, a copy that
// lacks nothing but deletions could pass, and the watch cannot go on.
func (t *tracker[T]) compare(a answer) verdict {
	switch {
	case a.store != t.at.store || a.revision < t.at.revision:
		return other
	case !a.known || t.witness.key == "":
		return unproven
	case a.witness == nil || a.witness.Revision != t.witness.revision ||
		maphash.Bytes(t.seed, a.witness.Value) != t.witness.hash:
		return other
	case a.epoch != t.epoch || t.deleted > t.witness.revision:
		return unproven
	}
	return same
}
