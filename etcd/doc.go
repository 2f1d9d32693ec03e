// Package etcd reads and writes typed tables in etcd so that a reader never
// takes an empty, restored or half-written store for the truth.
//
// A Table says how the keys below a prefix decode and which marker vouches
// for each of them. Table.Watch lists and then follows it: the tracker, a pure
// state machine, turns listings and watch responses into events, the watcher
// around it keeps the connection, and the feeder hands batches to a reader
// that may be slow. While the store is out of reach, an examiner finds out why, and
// the feeder hands that on too. A table's contents reach the reader only while its marker
// is present, names the epoch that the store has now and, after the store
// went back, was written after that; until then the reader keeps what it
// has. When the marker vouches again, the difference is delivered.
//
// A Writer holds the other end: it stages puts and deletes, writes what
// differs in as few transactions as possible, and every transaction fails
// when another leader was elected (ErrDeposed) or when the store has lost a
// transaction of this writer (ErrRewound).
//
// A leader's term goes: NewWriter; RenewEpoch if the store has no epoch, or
// the last writer returned ErrRewound; a complete pass of Put and Delete, or
// Replace; Mark; Flush. From then on each change is staged and flushed, and
// Refresh is called some seconds after the pass and every 30 s, because readers
// that come back to a store that went back wait for markers written after they
// came.
//
// The package knows keys and bytes, and nothing of what they mean.
package etcd
