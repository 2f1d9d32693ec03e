package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/deploy/lab/echo"
)

// connections reads "short START END POD" or "long …", times in milliseconds
// from the fault, POD "-" for one that nobody answered; "!" at the end fails.
func connections(s string) (out []echo.Connection) {
	at := time.Unix(1000, 0)
	for part := range strings.SplitSeq(s, ", ") {
		var kind, pod, failed string
		var start, end int
		fmt.Sscan(part, &kind, &start, &end, &pod, &failed)
		c := echo.Connection{Long: kind == "long", Start: at.Add(time.Duration(start) * time.Millisecond),
			End: at.Add(time.Duration(end) * time.Millisecond)}
		if pod != "-" {
			c.Pod = echo.Pod{Pod: pod, Cluster: pod[:4]}
		}
		if failed == "!" {
			c.Error = "timeout"
		}
		out = append(out, c)
	}
	return out
}

func TestJudge(t *testing.T) {
	q := question{fault: time.Unix(1000, 0), end: time.Unix(1005, 0),
		lost: func(p echo.Pod) bool { return p.Cluster == "west" }}
	for _, c := range []struct{ name, all, want string }{
		{"all is well", "short -10 -5 west-1, short 10 12 east-1, long -900 5000 east-1", "new 0s long 0s failed 0 broken 0 stray 0 hung 0"},
		{"failures before do not count", "short -10 -5 - !, long -900 -5 west-1 !", "new 0s long 0s failed 0 broken 0 stray 0 hung 0"},
		{"under way when it happened", "short -10 1990 - !", "new 0s long 0s failed 1 broken 0 stray 0 hung 0"},
		{"the last that began", "short 100 2100 - !, short 300 2300 - !, short 200 2200 - !", "new 300ms long 0s failed 3 broken 0 stray 0 hung 0"},
		{"long ones are told", "long -900 700 west-1 !, long -900 800 west-2 !, long -900 5000 east-1", "new 0s long 800ms failed 0 broken 2 stray 0 hung 0"},
		{"one is not", "long -900 700 west-1 !, long -900 5000 west-2", "new 0s long 5s failed 0 broken 1 stray 0 hung 1"},
		{"one breaks that should not", "long -900 700 east-1 !", "new 0s long 0s failed 0 broken 1 stray 0 hung 0"},
		{"one that never opened", "long 10 700 - !", "new 0s long 0s failed 0 broken 0 stray 0 hung 0"},
		{"one that opened later", "long 10 700 west-1 !", "new 0s long 0s failed 0 broken 1 stray 0 hung 0"},
	} {
		o := q.judge(connections(c.all))
		got := fmt.Sprintf("new %v long %v failed %d broken %d stray %d hung %d", o.New, o.Long, o.Failed, o.Broken, o.Stray, o.Hung)
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	q.strange = func(p echo.Pod) bool { return p.Pod == "west-9" }
	if o := q.judge(connections("short -3 -1 west-9, short 40 44 west-9, short 60 61 east-1")); o.New != 40*time.Millisecond || o.Stray != 1 || o.Failed != 0 {
		t.Errorf("who should not be reached: %+v", o)
	}
}

func TestWhy(t *testing.T) {
	q := question{fault: time.Unix(1000, 0), lost: func(echo.Pod) bool { return false }}
	all := connections("short 100 2100 - !, short 300 2300 - !, short 20 21 - !, short 5 6 east-1")
	all[0].Error, all[1].Error, all[2].Error = "read tcp 10.0.0.1:400->10.0.0.2:80: reset", "read tcp 10.0.0.1:500->10.0.0.2:80: reset", "refused"
	want := "3 failed, from 20ms to 300ms after the fault: 2× read tcp 10.0.0.1:…->10.0.0.2:80: reset; 1× refused"
	if got := q.judge(all).why(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := q.judge(all[3:]).why(); got != "" {
		t.Errorf("nothing failed: %s", got)
	}
}
