package source

import (
	"testing"
	"time"
)

func TestShrinkSuspect(t *testing.T) {
	for _, c := range []struct {
		name       string
		rule       Shrink
		held, gone int
		want       bool
	}{
		{"few objects may all go", Shrink{}, 19, 19, false},
		{"at the floor all may not", Shrink{}, 20, 20, true},
		{"half may go", Shrink{}, 20, 10, false},
		{"more than half may not", Shrink{}, 20, 11, true},
		{"odd number, the smaller half", Shrink{}, 21, 10, false},
		{"odd number, the bigger half", Shrink{}, 21, 11, true},
		{"nothing held", Shrink{}, 0, 0, false},
		{"allowed", Shrink{Allow: true}, 1000, 1000, false},
		{"a hold time changes nothing of it", Shrink{Hold: time.Minute}, 1000, 1000, true},
	} {
		if got := c.rule.Suspect(c.held, c.gone); got != c.want {
			t.Errorf("%s: Suspect(%d, %d) = %v", c.name, c.held, c.gone, got)
		}
	}
}

// A row of a guard's life: what it is asked, and when, and what it answers.
func TestGuardAdmit(t *testing.T) {
	type row struct {
		at, held, gone int // at in seconds
		ok             bool
		until          int // 0: no time
	}
	for _, c := range []struct {
		name string
		rule Shrink
		rows []row
	}{
		{"waits, then passes", Shrink{Hold: 10 * time.Second}, []row{
			{1, 40, 40, false, 11}, {5, 40, 40, false, 11}, {11, 40, 40, true, 0},
		}},
		{"once passed, the next waits anew", Shrink{Hold: 10 * time.Second}, []row{
			{1, 40, 30, false, 11}, {11, 40, 30, true, 0}, {12, 40, 30, false, 22},
		}},
		{"a pass that is no longer suspect ends the wait", Shrink{Hold: 10 * time.Second}, []row{
			{1, 40, 40, false, 11}, {5, 40, 3, true, 0}, {6, 40, 40, false, 16},
		}},
		{"without a hold time only Allow helps", Shrink{}, []row{
			{1, 40, 40, false, 0}, {1_000_000, 40, 40, false, 0},
		}},
		{"allowed", Shrink{Allow: true}, []row{{1, 40, 40, true, 0}}},
	} {
		g := Guard{Rule: c.rule}
		for _, r := range c.rows {
			ok, at := g.Admit(r.held, r.gone, time.Unix(int64(r.at), 0))
			var until int
			if !at.IsZero() {
				until = int(at.Unix())
			}
			if ok != r.ok || until != r.until {
				t.Errorf("%s: at %d: got %v until %d, want %v until %d", c.name, r.at, ok, until, r.ok, r.until)
			}
		}
	}
}
