package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/deploy/lab/echo"
)

// samples reads "start-end cluster" and "start-end !error", in milliseconds
// after the epoch of the test.
func samples(t *testing.T, text string) []echo.Sample {
	t.Helper()
	var out []echo.Sample
	for _, item := range strings.Split(text, ",") {
		var from, to int
		var who string
		if _, err := fmt.Sscanf(strings.TrimSpace(item), "%d-%d %s", &from, &to, &who); err != nil {
			t.Fatalf("%q: %v", item, err)
		}
		s := echo.Sample{Start: at(from), End: at(to)}
		if failure, ok := strings.CutPrefix(who, "!"); ok {
			s.Error = failure
		} else {
			s.Answer.Cluster = who
		}
		out = append(out, s)
	}
	return out
}

func at(ms int) time.Time { return time.Unix(1000, 0).Add(time.Duration(ms) * time.Millisecond) }

func TestTurned(t *testing.T) {
	for _, c := range []struct {
		name, samples, want string
	}{
		{"a clean turn", "0-1 east, 11-12 east, 13-15 west, 16-17 west, 18-19 west",
			"first 5ms last 1ms failed 0 stray 0 after 2"},
		{"answers before the cause do not count", "0-1 west, 5-12 west, 14-15 west, 16-17 west",
			"first 5ms last 0s failed 0 stray 0 after 1"},
		{"a failure before the cause does not count, later ones do", "0-1 !refused, 11-12 !refused, 13-14 west, 15-16 !timeout, 17-18 west",
			"first 4ms last 0s failed 2 stray 0 after 2"},
		{"the other cluster still answers", "13-14 west, 15-16 east, 17-18 west",
			"first 4ms last 5ms failed 0 stray 1 after 2"},
		{"a request that began before the first answer is no stray", "12-20 east, 13-14 west, 17-18 west",
			"first 4ms last 2ms failed 0 stray 0 after 1"},
		{"the first to end is first, whoever was noted first", "13-19 west, 13-15 west, 20-21 west",
			"first 5ms last 0s failed 0 stray 0 after 1"},
		{"never", "11-12 east, 13-14 !refused", "none"},
	} {
		got := "none"
		if r, ok := turned(samples(t, c.samples), at(10), "west"); ok {
			got = fmt.Sprintf("first %v last %v failed %d stray %d after %d", r.First, r.Last, r.Failed, r.Stray, r.After)
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestEvenly(t *testing.T) {
	pods := []string{"a", "b", "c", "d"}
	for _, c := range []struct {
		pods   map[string]int
		failed int
		want   string
	}{
		{map[string]int{"a": 250, "b": 250, "c": 250, "d": 250}, 0, ""},
		{map[string]int{"a": 300, "b": 200, "c": 250, "d": 250}, 0, ""},
		{map[string]int{"a": 330, "b": 190, "c": 240, "d": 240}, 0, "expected 250 ± 68 answers of each of 4 pods, saw 330 of a"},
		{map[string]int{"a": 333, "b": 333, "c": 334}, 0, "saw 333 of a"},
		{map[string]int{"a": 250, "b": 250, "c": 250, "d": 249, "x": 1}, 0, "saw one of x"},
		{map[string]int{"a": 250, "b": 250, "c": 250, "d": 249}, 1, "expected no failed request, saw 1"},
	} {
		err := evenly(echo.Report{Requests: 1000, Failed: c.failed, Pods: c.pods}, pods)
		if c.want == "" && err == nil {
			continue
		}
		if err == nil || c.want == "" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q in it", c.pods, err, c.want)
		}
	}
}

func TestFailures(t *testing.T) {
	if err := failures(samples(t, "0-1 east, 1-2 west")); err != nil {
		t.Error(err)
	}
	if err := failures(samples(t, "0-1 east, 1-2 !refused")); err == nil || !strings.Contains(err.Error(), "saw 1 of 2: map[refused:1]") {
		t.Errorf("got %v", err)
	}
}

// A step that does not hold does not keep the others from being played, and
// the demo has not held.
func TestPlay(t *testing.T) {
	var out bytes.Buffer
	d := &Demo{Config: Config{Out: &out}}
	var played []string
	made := func(name string, err error) step {
		return step{name, func(context.Context, *Demo) error {
			played = append(played, name)
			return err
		}}
	}
	good, bad := made("good", nil), made("bad", errors.New("expected 1, saw 2"))
	if err := d.play(t.Context(), []step{good, good}); err != nil {
		t.Error(err)
	}
	if err := d.play(t.Context(), []step{bad, good}); !errors.Is(err, ErrNotHeld) {
		t.Errorf("got %v, want %v", err, ErrNotHeld)
	}
	if got := strings.Join(played, " "); got != "good good bad good" {
		t.Errorf("played %s", got)
	}
	for _, want := range []string{"2 of 2 steps held", "1 of 2 steps held", "\n1  bad\n   NOT HELD: expected 1, saw 2\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

func TestInterruptedDemoHasNotHeld(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	d := &Demo{Config: Config{Out: &bytes.Buffer{}}}
	stop := step{"stop", func(context.Context, *Demo) error { cancel(); return nil }}
	if err := d.play(ctx, []step{stop, stop}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
