package main

import (
	"strings"
	"testing"

	"tombolo.io/tombolo/deploy/lab/plan"
)

func testPlan(t *testing.T) plan.Plan {
	t.Helper()
	p, err := plan.New(plan.Config{Lab: "x", Dir: "/run/x", Clusters: 2, Nodes: 2, Pods: 1, Router: "builtin"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// seen reads what was seen, in the notation of a wish.
func seen(t *testing.T, text string) held {
	t.Helper()
	w, err := readWish(testPlan(t), text)
	if err != nil {
		t.Fatal(err)
	}
	return w.held
}

func TestWishAgainstWhatWasSeen(t *testing.T) {
	for _, c := range []struct{ name, want, got, wrong string }{
		{"nothing happens", "", "", ""},
		{"a verdict without a reason", "", "west-1: east-1", "west-1 held east-1 for down"},
		{"a death that all see", "*: west-2; west-2: ?", "east: west-2; west-1: west-2", ""},
		{"the dead may think what they like", "*: west-2; west-2: ?", "east: west-2; west-1: west-2; west-2: east east-1", ""},
		{"one did not see it", "*: west-2; west-2: ?", "east: west-2", "west-1 never held west-2 for down"},
		{"a bystander dies too", "*: west-2; west-2: ?", "east: west-2; west-1: west-2 east-1", "west-1 held east-1 for down"},
		{"a cluster dies of one node", "east: west-2", "east-1: west-2; east-2: west west-2", "east-2 held west for down"},
		{"who is blind judges nobody", "*: west-2; west-2:", "east: west-2; west-1: west-2; west-2: west-1", "west-2 held west-1 for down"},
		{"a partition", parted, "east: west west-1 west-2; west: east east-1 east-2", ""},
		{"a cluster that is not down as one", parted, "east-1: west west-1 west-2; east-2: west-1 west-2; west: east east-1 east-2", "east-2 never held west for down"},
	} {
		w, err := readWish(testPlan(t), c.want)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(w.wrong(seen(t, c.got)), "; "); got != c.wrong {
			t.Errorf("%s: %q, want %q", c.name, got, c.wrong)
		}
	}
}

func TestWishOfNobody(t *testing.T) {
	for _, text := range []string{"nord: west", "east: nord", "east", "east west-1"} {
		if _, err := readWish(testPlan(t), text); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}

// What the rows say of their labs is known before one of them is made.
func TestWishesOfFaultsAreReadable(t *testing.T) {
	for _, f := range faults {
		size := f.size("x", "ipv4")
		size.Dir = "/run/x"
		p, err := plan.New(size)
		for n := range f.repeat(1) {
			if err == nil && f.down != nil {
				_, err = readWish(p, f.down(&trial{variant: f.variant(n)}))
			}
		}
		if err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
	}
}

func TestVariantsAreAllPlayed(t *testing.T) {
	f := fault{name: "x", variants: []string{"a", "b"}}
	var got []string
	for n := range f.repeat(1) {
		got = append(got, f.title(f.variant(n)))
	}
	if f.repeat(10) != 10 || strings.Join(got, " ") != "x/a x/b" {
		t.Errorf("%d trials of 10; of 1: %v", f.repeat(10), got)
	}
	if f = (fault{name: "y", trials: 3}); f.repeat(10) != 3 || f.repeat(1) != 1 || f.title(f.variant(2)) != "y" {
		t.Errorf("%d, %d trials of %s", f.repeat(10), f.repeat(1), f.title(f.variant(2)))
	}
}
