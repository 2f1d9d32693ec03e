package health

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
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

// The three are nodes that services use while there are so many, else others as well,
// and follow services that come and go; the share in all the others stays.
func TestNodesThatServicesUse(t *testing.T) {
	w := newWorld(t, 1, 20, 40)
	m := w.agents[node1("a", 1)].machine
	watched := func() (out []string) {
		for _, n := range m.clusters["b"].nodes {
			if n.watched {
				out = append(out, n.Node)
			}
		}
		slices.Sort(out)
		return out
	}
	before := watched()
	var unwatched []string // by what falls to this node
	for _, n := range m.clusters["b"].nodes {
		if !n.share && !n.watched {
			unwatched = append(unwatched, n.Node)
		}
	}
	slices.Sort(unwatched)
	use := func(nodes ...string) {
		used := map[Name]struct{}{{"a", "a-2"}: {}, {"c", "c-1"}: {}} // of no other cluster that there is
		for _, n := range nodes {
			used[Name{"b", n}] = struct{}{}
		}
		m.SetUsed(used)
	}
	// expect takes those whom services use of which want many are watched.
	expect := func(when string, want int, used []string) {
		t.Helper()
		n, others := 0, 0
		for _, name := range watched() {
			if node := m.clusters["b"].nodes[name]; slices.Contains(used, name) {
				n++
			} else if !node.share {
				others++
			}
		}
		if n != want || others > 3-want {
			t.Errorf("%s: of those used %d are watched, want %d, and of others that are not ours to watch %d", when, n, want, others)
		}
		for _, node := range m.clusters["b"].nodes {
			if node.share && !node.watched {
				t.Errorf("%s: %s is watched no more, although it falls to us", when, node.Node)
			}
		}
	}
	use(unwatched[:2]...)
	expect("two are used", 2, unwatched[:2])
	use(unwatched[:10]...)
	expect("ten are used", 3, unwatched[:10])
	use(unwatched[10:13]...)
	expect("three others", 3, unwatched[10:13])
	if m.SetMembers(w.membersOf("a")[:19]); len(watched()) == 0 {
		t.Error("nobody is watched")
	}
	expect("a member left", 3, unwatched[10:13])
	m.SetMembers(w.membersOf("a"))
	use()
	if got := watched(); !slices.Equal(got, before) {
		t.Errorf("none is used: %v are watched, want %v as before", got, before)
	}
}

// Which nodes services use is asked once a second, of other clusters.
func TestFollowsWhatServicesUse(t *testing.T) {
	uses := map[uint16][]string{1: {"east-2"}, 2: {"west-1", "west-2"}, 9: {"nix"}}
	h := New(Config{}, Deps{Uses: func() map[uint16][]string { return uses }})
	h.mesh = mesh{self: Name{"east", "east-1"}, ids: map[string]uint16{"east": 1, "west": 2}}
	h.machine = NewMachine(DefaultKnobs(), h.mesh.self)
	look := func(after time.Duration, want ...Name) {
		t.Helper()
		h.use(epoch.Add(after))
		got := slices.SortedFunc(maps.Keys(h.machine.used), func(a, b Name) int { return cmp.Compare(a.Node, b.Node) })
		if !slices.Equal(got, want) {
			t.Errorf("after %v: %v are used, want %v", after, got, want)
		}
	}
	look(0, Name{"west", "west-1"}, Name{"west", "west-2"})
	uses = map[uint16][]string{2: {"west-3"}}
	look(useEvery-1, Name{"west", "west-1"}, Name{"west", "west-2"})
	look(useEvery, Name{"west", "west-3"})
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
