// Package reconcile keeps account of which keys of a target are due: the one
// mechanism that every shell of Tombolo shares.
//
// A shell marks the keys that an input touched, takes those that are due,
// decides what each should be, applies the difference, and reports the result
// back. A key that failed comes back after its own backoff and delays no other
// key; a changed input makes it due at once. The queue starts no goroutine and
// reads no clock: its owner passes the time.
package reconcile

import (
	"cmp"
	"container/heap"
	"maps"
	"slices"
	"time"
)

// Backoff bounds the wait of a key that failed: Min after the first failure,
// doubled after each further one, at most Max.
type Backoff struct{ Min, Max time.Duration }

// Failure is a key whose last attempt failed.
type Failure[K comparable] struct {
	Key      K
	Err      error
	Attempts int
	Since    time.Time // of the first failure in a row
	Retry    time.Time // of the next attempt
}

// Queue holds dirty keys. It is owned by one goroutine.
type Queue[K comparable] struct {
	backoff Backoff
	due     []K
	dueSet  map[K]struct{}
	failed  map[K]*Failure[K]
	// later are keys that wait for a time, without having failed.
	later   map[K]time.Time
	waiting retries[K]
}

// New returns an empty queue.
func New[K comparable](b Backoff) *Queue[K] {
	return &Queue[K]{backoff: b, dueSet: map[K]struct{}{}, failed: map[K]*Failure[K]{}, later: map[K]time.Time{}}
}

// Mark makes a key due, whatever its backoff.
func (q *Queue[K]) Mark(k K) {
	if _, ok := q.dueSet[k]; ok {
		return
	}
	q.dueSet[k] = struct{}{}
	q.due = append(q.due, k)
}

// Later makes a key due at a time, whatever else does so before; of several times the
// last counts.
func (q *Queue[K]) Later(k K, at time.Time) {
	if !q.later[k].Equal(at) {
		q.later[k] = at
		heap.Push(&q.waiting, retry[K]{k, at})
	}
}

// Take returns the keys that are due at now, those marked first in the order
// of their marks. The caller owes a Done for each.
func (q *Queue[K]) Take(now time.Time) []K {
	for len(q.waiting) > 0 && !q.waiting[0].at.After(now) {
		r := heap.Pop(&q.waiting).(retry[K])
		if q.stands(r) {
			q.Mark(r.key)
		}
		if q.later[r.key].Equal(r.at) {
			delete(q.later, r.key)
		}
	}
	out := q.due
	q.due = nil
	clear(q.dueSet)
	return out
}

// Done reports how a key that Take returned went. An error makes it due again
// after its backoff; nil forgets its failures.
func (q *Queue[K]) Done(k K, err error, now time.Time) {
	if err == nil {
		delete(q.failed, k)
		return
	}
	f := q.failed[k]
	if f == nil {
		f = &Failure[K]{Key: k, Since: now}
		q.failed[k] = f
	}
	f.Attempts++
	f.Err = err
	f.Retry = now.Add(q.wait(f.Attempts))
	heap.Push(&q.waiting, retry[K]{k, f.Retry})
}

func (q *Queue[K]) wait(attempts int) time.Duration {
	d := q.backoff.Min
	for i := 1; i < attempts && d < q.backoff.Max; i++ {
		d *= 2
	}
	return min(d, q.backoff.Max)
}

// stands says whether a key still waits for that time.
func (q *Queue[K]) stands(r retry[K]) bool {
	f := q.failed[r.key]
	at, ok := q.later[r.key]
	return f != nil && f.Retry.Equal(r.at) || ok && at.Equal(r.at)
}

// Next returns when a key is due that failed, or was put off; false when none waits.
func (q *Queue[K]) Next() (time.Time, bool) {
	for len(q.waiting) > 0 {
		r := q.waiting[0]
		if q.stands(r) {
			return r.at, true
		}
		heap.Pop(&q.waiting)
	}
	return time.Time{}, false
}

// Len returns how many keys are due now.
func (q *Queue[K]) Len() int { return len(q.due) }

// Failures returns the keys whose last attempt failed, the oldest first.
func (q *Queue[K]) Failures() []Failure[K] {
	out := make([]Failure[K], 0, len(q.failed))
	for f := range maps.Values(q.failed) {
		out = append(out, *f)
	}
	slices.SortFunc(out, func(a, b Failure[K]) int { return cmp.Compare(a.Since.UnixNano(), b.Since.UnixNano()) })
	return out
}

type retry[K comparable] struct {
	key K
	at  time.Time
}

// retries is a heap by time. An entry that no longer matches what its key waits for is
// stale and skipped.
type retries[K comparable] []retry[K]

func (r retries[K]) Len() int           { return len(r) }
func (r retries[K]) Less(i, j int) bool { return r[i].at.Before(r[j].at) }
func (r retries[K]) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
func (r *retries[K]) Push(x any)        { *r = append(*r, x.(retry[K])) }
func (r *retries[K]) Pop() any {
	old := *r
	x := old[len(old)-1]
	*r = old[:len(old)-1]
	return x
}
