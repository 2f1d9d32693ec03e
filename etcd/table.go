package etcd

import (
	"errors"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Table is a part of the store that decodes to T.
//
// Keys that Marker names a marker for are visible only while that marker
// vouches for them. Keys without one are always visible; but a listing that
// does not have such a key says that it was deleted only when no table beside
// it (a marker below the key's own directory) is frozen, because a store that
// was just lost or restored has not all of them back yet. The deletions that
// a watch reports are always believed.
type Table[T any] struct {
	// Prefix is what the keys begin with. It may span many markers' tables,
	// and must span the markers too.
	Prefix string
	// Until is the key before which the table ends, for a table that spans
	// neighbouring prefixes; empty where the keys that begin with Prefix do.
	Until string
	// Decode turns a value into a T. An error is delivered as an Invalid event
	// and the reader keeps the last good value. It must not keep value.
	Decode func(key string, value []byte) (T, error)
	// Repeats says of a key whether its value is delivered again when it is written
	// again unchanged, because that says that it is still true. Nil is of none.
	Repeats func(key string) bool

	// Marker names the marker that vouches for a key; false when it needs
	// none. It is nil when no key needs one, and so are the fields below.
	Marker func(key string) (marker string, ok bool)
	// Contents says whether key is a marker, and what the keys that it vouches
	// for begin with.
	Contents func(key string) (prefix string, ok bool)
	// Epoch returns the epoch that a marker names.
	Epoch func(marker []byte) (epoch string, err error)
	// EpochKey holds the epoch of the store.
	EpochKey string
}

// Op is what an event says of its key.
type Op uint8

// The operations.
const (
	// Put: Key has the value Value now.
	Put Op = iota + 1
	// Delete: Key is gone.
	Delete
	// Synced: the contents of the marker Key are complete, as of this event.
	Synced
	// Unsynced: the contents of the marker Key are frozen, and Err says why.
	Unsynced
	// Invalid: the value of Key does not decode, and Err says why.
	Invalid
)

// String returns the operation in lower case.
func (o Op) String() string {
	return [...]string{"none", "put", "delete", "synced", "unsynced", "invalid"}[o]
}

// Event is one change of a table as its reader sees it.
type Event[T any] struct {
	Op  Op
	Key string
	// Value is set in a Put.
	Value T
	// Revision is the store's at which the key was written. For a deletion it
	// is that at which the deletion was noticed.
	Revision int64
	// Err is set in Invalid and Unsynced.
	Err error

	// fresh: the reader did not have the key before this event.
	fresh bool
}

// Batch is what happened since the last batch, to be applied as a whole. It
// holds one event a key, the latest (or the last good value and an Invalid):
// events that a slow reader did not take in time replace each other. Puts and
// deletes are in the order of their revisions, but that a put keeps the place
// of the put that it replaced; what a listing brings has its puts before its
// deletes.
type Batch[T any] struct {
	Events []Event[T]
	// Revision is the store's up to which this reader has seen everything.
	Revision int64
	// Epoch is the store's, empty while it has none.
	Epoch string
	// Reign is the term of the store's own leader when the store was listed, or heard
	// again. A restart begins another: leases that a store has from before it live
	// longer than those who held them.
	Reign uint64
	// Stale is since when the store is out of reach, zero while it is not; Err
	// says why.
	Stale time.Time
	Err   error
}

// Reasons for which the contents of a marker are frozen.
var (
	ErrNoMarker   = errors.New("the table has no marker")
	ErrOtherEpoch = errors.New("the marker names another epoch than the store has")
	ErrOldMarker  = errors.New("the store went back, and the marker was not written since")
	ErrBadMarker  = errors.New("the marker does not decode")
)

// Reasons for which a watch begins again.
var (
	errNotContinue = errors.New("the store is not the one that was read before")
	errNoAnswer    = errors.New("the store does not answer")
)

func (t Table[T]) validate() error {
	switch {
	case t.Prefix == "" || t.Decode == nil:
		return errors.New("watching a table: prefix and decoder are required")
	case t.Marker != nil && (t.Contents == nil || t.Epoch == nil || t.EpochKey == ""):
		return errors.New("watching " + t.Prefix + ": a table with markers needs their contents and epoch")
	}
	return nil
}

// end returns the key before which the table ends.
func (t Table[T]) end() string {
	if t.Until != "" {
		return t.Until
	}
	return clientv3.GetPrefixRangeEnd(t.Prefix)
}

// marker returns the marker of a key, "" for none.
func (t Table[T]) marker(key string) string {
	if t.Marker == nil {
		return ""
	}
	if m, ok := t.Marker(key); ok {
		return m
	}
	return ""
}

// contents returns what a marker vouches for; false when key is no marker.
func (t Table[T]) contents(key string) (string, bool) {
	if t.Contents == nil {
		return "", false
	}
	return t.Contents(key)
}

// directory returns a key up to its last slash.
func directory(key string) string {
	return key[:strings.LastIndexByte(key, '/')+1]
}
