package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"tombolo.io/tombolo/e2e/figure"
)

// report says what the trials of a fault came to, and how many of those that were
// wanted could be played.
func (f fault) report(r *figure.Report, all []Outcome, wanted int) {
	r.All(f.name+"_trials", len(all), wanted)
	var fresh, long []time.Duration
	var failed, broken, stray, hung, wrong int
	for _, o := range all {
		fresh, long = append(fresh, o.New), append(long, o.Long)
		failed, broken, stray = failed+o.Failed, broken+o.Broken, stray+o.Stray
		hung, wrong = hung+o.Hung, wrong+len(o.Wrong)
	}
	goal := func(name string, value, most time.Duration) {
		if most == 0 {
			r.State(name, ms(value), "ms")
			return
		}
		r.Below(name, ms(value), "ms", ms(most))
	}
	if f.newWorst > 0 || f.peer {
		goal(f.name+"_new_median", figure.Median(fresh), f.newMedian)
		goal(f.name+"_new_worst", figure.Quantile(fresh, 1), f.newWorst)
	}
	if f.longWorst > 0 || f.peer {
		goal(f.name+"_long_median", figure.Median(long), 0)
		goal(f.name+"_long_worst", figure.Quantile(long, 1), f.longWorst)
	}
	switch {
	case f.peer:
		r.State(f.name+"_long_never_told", float64(hung), "count")
	case f.longWorst > 0:
		r.None(f.name+"_long_never_told", hung)
	}
	if f.harmless {
		r.None(f.name+"_failed", failed)
	}
	if f.harmless || f.kept {
		r.None(f.name+"_long_broken", broken)
	}
	if f.counted {
		r.State(f.name+"_failed", float64(failed), "count")
	}
	switch {
	case f.never:
		r.None(f.name+"_stray", stray)
	case f.strange != nil:
		r.State(f.name+"_stray", float64(stray), "count")
	}
	r.None(f.name+"_wrong", wrong)
}

// short is an error that names the figures that are, nil when none is.
func short(all []figure.Figure) error {
	var names []string
	for _, f := range all {
		if !f.OK {
			names = append(names, f.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("short of their goals: %s", strings.Join(names, ", "))
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// The marks between which a page has the figures.
const (
	begins = "<!-- make bench-failover: begin -->\n"
	ends   = "<!-- make bench-failover: end -->\n"
)

// writePage puts the figures between the marks of a page.
func writePage(path string, all []figure.Figure) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the page for the figures: %w", err)
	}
	page, err := insert(string(raw), all)
	if err != nil {
		return fmt.Errorf("page %s: %w", path, err)
	}
	return os.WriteFile(path, []byte(page), 0o644)
}

func insert(page string, all []figure.Figure) (string, error) {
	head, rest, ok := strings.Cut(page, begins)
	_, tail, closed := strings.Cut(rest, ends)
	if !ok || !closed {
		return "", fmt.Errorf("it lacks the lines %q and %q", strings.TrimSpace(begins), strings.TrimSpace(ends))
	}
	var b strings.Builder
	for _, f := range all {
		fmt.Fprintln(&b, f)
	}
	return head + begins + "```\n" + b.String() + "```\n" + ends + tail, nil
}
