package reconcile

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// A key that is put off is due at its time, of several at the last, also when it was
// marked, or failed, in between.
func TestLater(t *testing.T) {
	q, start := New[string](Backoff{Min: time.Second, Max: time.Minute}), time.Unix(1000, 0)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	takes := func(seconds int, want ...string) {
		t.Helper()
		if got := q.Take(at(seconds)); !slices.Equal(got, want) {
			t.Errorf("after %d s: %v, want %v", seconds, got, want)
		}
	}
	q.Later("a", at(5))
	q.Later("a", at(10))
	q.Later("a", at(10))
	q.Later("b", at(7))
	if next, ok := q.Next(); !ok || !next.Equal(at(7)) {
		t.Errorf("next at %v, %v", next, ok)
	}
	takes(4)
	q.Mark("a")
	takes(5, "a")
	q.Done("a", errors.New("no"), at(5))
	takes(6, "a") // its failure
	q.Done("a", nil, at(6))
	takes(7, "b")
	takes(9)
	takes(10, "a")
	takes(100)
	if _, ok := q.Next(); ok {
		t.Error("something is left")
	}
}
