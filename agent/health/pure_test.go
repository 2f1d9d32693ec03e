package health

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// obviousWatchers sorts all by weight and takes the first.
func obviousWatchers(members []string, watched Name, n int, own bool) []string {
	all := slices.DeleteFunc(slices.Clone(members), func(m string) bool { return own && m == watched.Node })
	slices.SortFunc(all, func(a, b string) int {
		return cmp.Or(cmp.Compare(weigh(b, watched), weigh(a, watched)), cmp.Compare(a, b))
	})
	return all[:min(n, len(all))]
}

func names(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("node-%d", i))
	}
	return out
}

func TestWatchers(t *testing.T) {
	for _, size := range []int{1, 2, 5, 6, 50} {
		all := names(size)
		for _, watched := range all {
			who := Name{"a", watched}
			want := obviousWatchers(all, who, 5, true)
			var got []string
			for _, m := range all {
				if m != watched && watches(m, membersOf(all), who, 5, true) {
					got = append(got, m)
				}
			}
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%d members: %s is watched by %v, want %v", size, watched, got, want)
			}
		}
	}
}

// One who leaves is replaced where it watched, and nothing else changes; the load
// is shared.
func TestWatchersAreStable(t *testing.T) {
	all := names(200)
	load := map[string]int{}
	for _, watched := range all[1:] {
		before := obviousWatchers(all, Name{"a", watched}, 5, true)
		after := obviousWatchers(all[1:], Name{"a", watched}, 5, true)
		for _, m := range before {
			load[m]++
			if m != all[0] && !slices.Contains(after, m) {
				t.Errorf("%s watches %s no more", m, watched)
			}
		}
	}
	for _, m := range all {
		if load[m] > 20 {
			t.Errorf("%s watches %d", m, load[m])
		}
	}
}

// Everybody of another cluster is watched by somebody, and everybody has an eye on
// three.
func TestOtherClusterIsCovered(t *testing.T) {
	w := newWorld(t, 20, 20, 40)
	seen := map[string]int{}
	for i := 1; i <= 20; i++ {
		n := 0
		for _, b := range w.agents[node1("a", i)].machine.clusters["b"].nodes {
			if b.watched {
				seen[b.Node]++
				n++
			}
		}
		if n < 3 {
			t.Errorf("a-%d watches %d", i, n)
		}
	}
	if len(seen) != 40 {
		t.Errorf("%d of 40 are watched", len(seen))
	}
}

func TestReport(t *testing.T) {
	long := strings.Repeat("x", maxName)
	for _, r := range []Report{{Name: Name{"a", "b"}, State: Suspected}, {Name: Name{"east", long}, State: Down}} {
		got, err := ParseReport(r.Append(nil))
		if err != nil || got != r {
			t.Errorf("%v is read as %v, %v", r, got, err)
		}
	}
	good := Report{Name: Name{"a", "b"}, State: Down}.Append(nil)
	for what, b := range map[string][]byte{
		"empty": nil, "cut": good[:5], "more behind": append(slices.Clone(good), 0), "state": {1, 4, 1, 'a', 1, 'b'},
		"no node": {1, 1, 1, 'a', 0}, "long": Report{Name: Name{"a", long + "x"}, State: Down}.Append(nil),
	} {
		if r, err := ParseReport(b); err == nil || errors.Is(err, ErrVersion) {
			t.Errorf("%s: %v, %v", what, r, err)
		}
	}
	if _, err := ParseReport([]byte{2, 9}); !errors.Is(err, ErrVersion) {
		t.Errorf("another version: %v", err)
	}
}

func FuzzReport(f *testing.F) {
	f.Add(Report{Name: Name{"east", "east-1"}, State: Suspected}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := ParseReport(b); err == nil && !bytes.Equal(r.Append(nil), b) {
			t.Errorf("%x is read as %v", b, r)
		}
	})
}
