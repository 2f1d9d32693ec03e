package identity

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

const grace = 15 * time.Minute

// at is a time of the tests, in seconds.
func at(s int) time.Time { return time.Unix(int64(s), 0) }

func set(s string) map[string]string { return map[string]string{"app": s} }

func acquire(t *testing.T, a *Allocator, s string) clustermesh.IdentityID {
	t.Helper()
	id, err := a.Acquire(set(s))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestAllocatorGivesEqualSetsOneNumber(t *testing.T) {
	a := NewAllocator(7, grace)
	x, y := acquire(t, a, "x"), acquire(t, a, "y")
	if x == y || x.Cluster() != 7 || y.Cluster() != 7 || x.Local() == 0 {
		t.Errorf("got %d and %d", x, y)
	}
	if again := acquire(t, a, "x"); again != x {
		t.Errorf("the same labels got %d, then %d", x, again)
	}
	if i := a.Identity(x); i == nil || i.Labels["app"] != "x" || i.ID != x {
		t.Errorf("%d means %v", x, i)
	}
	if i := a.Identity(clustermesh.NewIdentityID(8, x.Local())); i != nil {
		t.Errorf("a number of another cluster means %v", i)
	}
}

func TestNumberKeepsItsMeaningForTheGraceTime(t *testing.T) {
	a := NewAllocator(1, grace)
	x := acquire(t, a, "x")
	acquire(t, a, "x")
	a.Release(x, at(0))
	if next, ok := a.Next(); ok {
		t.Errorf("a number in use is due at %v", next)
	}
	a.Release(x, at(10))
	if next, ok := a.Next(); !ok || !next.Equal(at(10).Add(grace)) {
		t.Errorf("due at %v, %v", next, ok)
	}
	if gone := a.Expire(at(9).Add(grace)); len(gone) != 0 || a.Identity(x) == nil {
		t.Errorf("%v went early", gone)
	}
	if again := acquire(t, a, "x"); again != x {
		t.Errorf("labels that came back got %d, want %d", again, x)
	}
	a.Release(x, at(20))
	if gone := a.Expire(at(20).Add(grace)); len(gone) != 1 || gone[0] != x || a.Identity(x) != nil {
		t.Errorf("freed %v, want %d", gone, x)
	}
	if again := acquire(t, a, "x"); again != x {
		t.Errorf("the hash of the labels gives %d, then %d", x, again)
	}
}

func TestLearnedNumbersStay(t *testing.T) {
	a := NewAllocator(1, grace)
	odd := clustermesh.NewIdentityID(1, 4711)
	for range 2 {
		if err := a.Learn(odd, set("x"), at(0)); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Learn(clustermesh.NewIdentityID(1, 4712), set("x"), at(0)); err != nil {
		t.Fatal(err)
	}
	if got := acquire(t, a, "x"); got != odd {
		t.Errorf("got %d, want the learned %d", got, odd)
	}
	for _, id := range []clustermesh.IdentityID{clustermesh.NewIdentityID(2, 1), clustermesh.NewIdentityID(1, 0)} {
		if err := a.Learn(id, set("x"), at(0)); err == nil {
			t.Errorf("%d was learned", id)
		}
	}
	if gone := a.Expire(at(0).Add(grace)); len(gone) != 1 || gone[0].Local() != 4712 {
		t.Errorf("freed %v, want the second number of the labels", gone)
	}
	if got := acquire(t, a, "x"); got != odd {
		t.Errorf("got %d after the second number went, want %d", got, odd)
	}
}

func TestContestedNumberMeansNothing(t *testing.T) {
	a := NewAllocator(1, grace)
	// The number that the hash of "x" prefers, so that it would be taken.
	n := acquire(t, NewAllocator(1, grace), "x")
	if err := a.Learn(n, set("x"), at(0)); err != nil {
		t.Fatal(err)
	}
	if err := a.Learn(n, set("y"), at(100)); err == nil {
		t.Fatal("a number with two meanings is learned silently")
	}
	if i := a.Identity(n); i != nil {
		t.Errorf("it means %v", i)
	}
	for _, s := range []string{"x", "y"} {
		if got := acquire(t, a, s); got == n {
			t.Errorf("the contested number was given to %s", s)
		}
	}
	if gone := a.Expire(at(99).Add(grace)); len(gone) != 0 {
		t.Errorf("%v is free while it may be in use", gone)
	}
	if gone := a.Expire(at(100).Add(grace)); len(gone) != 1 || gone[0] != n {
		t.Errorf("freed %v, want %d", gone, n)
	}
	used := acquire(t, a, "z")
	if err := a.Learn(used, set("other"), at(200)); err == nil || a.Identity(used).Labels["app"] != "z" {
		t.Errorf("a number in use came to mean %v, %v", a.Identity(used), err)
	}
}

func TestExhausted(t *testing.T) {
	a := NewAllocator(1, grace)
	a.last = 1000
	seen := map[clustermesh.IdentityID]bool{}
	for i := range 1000 {
		id := acquire(t, a, fmt.Sprint(i))
		if seen[id] || id.Local() == 0 {
			t.Fatalf("%d was given twice or is zero", id)
		}
		seen[id] = true
	}
	if id, err := a.Acquire(set("one more")); !errors.Is(err, ErrExhausted) {
		t.Fatalf("got %d, %v", id, err)
	}
	if id, err := a.Acquire(set("7")); err != nil || !seen[id] {
		t.Errorf("labels that have a number got %d, %v", id, err)
	}
	first := acquire(t, a, "0")
	a.Release(first, at(0))
	a.Release(first, at(0))
	a.Expire(at(0).Add(grace))
	if id := acquire(t, a, "one more"); id != first {
		t.Errorf("got %d, want the one that is free, %d", id, first)
	}
}

// The last free number of all is found, wherever it lies.
func TestLastFreeNumber(t *testing.T) {
	a := NewAllocator(1, grace)
	for n := 1; n <= math.MaxUint16; n++ {
		a.byNumber[uint16(n)] = &holding{users: 1}
	}
	for _, n := range []uint16{1, 2, 32768, 65534, 65535} {
		delete(a.byNumber, n)
		if got := acquire(t, a, fmt.Sprint(n)); got.Local() != n {
			t.Errorf("got %d, want %d", got.Local(), n)
		}
	}
}

// Without any memory, labels get their numbers again, in whatever order they
// come: all but those whose hashes propose the same number.
func TestNumbersComeBackWithoutMemory(t *testing.T) {
	const n = 1000
	before, after := NewAllocator(1, grace), NewAllocator(1, grace)
	ids := make([]clustermesh.IdentityID, n)
	for i := range n {
		ids[i] = acquire(t, before, fmt.Sprint(i))
	}
	moved := 0
	for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(n) {
		if acquire(t, after, fmt.Sprint(i)) != ids[i] {
			moved++
		}
	}
	if moved > n/50 {
		t.Errorf("%d of %d got another number", moved, n)
	}
}

// Random steps against a slow model: whoever holds a number, or gave it back
// less than the grace time ago, never sees it with another meaning.
func TestNumbersNeverChangeTheirMeaningInUse(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	a := NewAllocator(1, 100*time.Second)
	a.last = 40 // so few that most numbers go to other labels in time
	type use struct {
		set  string
		last time.Time // of the last use
		held int
	}
	uses := map[clustermesh.IdentityID]*use{}
	reused := 0
	for step := range 50_000 {
		now := at(step)
		switch id := randomKey(r, uses); {
		case r.IntN(2) == 0:
			s := fmt.Sprint(r.IntN(60))
			id, err := a.Acquire(set(s))
			if err != nil {
				continue
			}
			if u := uses[id]; u != nil && u.set != s && (u.held > 0 || now.Sub(u.last) < 100*time.Second) {
				t.Fatalf("step %d: %d goes from %s to %s, held %d, last used %v ago", step, id, u.set, s, u.held, now.Sub(u.last))
			} else if u == nil || u.set != s {
				reused++
				uses[id] = &use{set: s}
			}
			uses[id].held++
		case id != 0 && uses[id].held > 0:
			a.Release(id, now)
			uses[id].held--
			uses[id].last = now
		default:
			a.Expire(now)
		}
	}
	if reused < 100 {
		t.Errorf("only %d times did a number get a meaning", reused)
	}
}

func randomKey[V any](r *rand.Rand, m map[clustermesh.IdentityID]V) clustermesh.IdentityID {
	if len(m) == 0 {
		return 0
	}
	skip := r.IntN(len(m))
	for k := range m {
		if skip == 0 {
			return k
		}
		skip--
	}
	return 0
}
