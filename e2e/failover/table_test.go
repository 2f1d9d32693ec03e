package main

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/e2e/figure"
)

func TestFiguresOfAFault(t *testing.T) {
	var out bytes.Buffer
	r := figure.New(&out)
	f := fault{name: "x", newWorst: time.Second, newMedian: 700 * time.Millisecond, longWorst: 1200 * time.Millisecond, harmless: true}
	f.report(r, []Outcome{{New: 600 * time.Millisecond, Failed: 3}, {New: 1500 * time.Millisecond, Hung: 1, Long: time.Second}, {New: 650 * time.Millisecond, Wrong: []string{"west-1 held east-1 for down"}}}, 4)
	got := strings.Join(strings.Fields(out.String()), " ")
	want := "x_trials 3.000 count 4 short x_new_median 650.000 ms < 700 ok x_new_worst 1500.000 ms < 1000 short " +
		"x_long_median 0.000 ms - ok x_long_worst 1000.000 ms < 1200 ok x_long_never_told 1.000 count 0 short " +
		"x_failed 3.000 count 0 short x_long_broken 0.000 count 0 ok x_wrong 1.000 count 0 short"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestShort(t *testing.T) {
	r := figure.New(io.Discard)
	r.Below("fast", 1, "ms", 2)
	r.All("trials", 10, 10)
	r.State("stated", 5, "count")
	if err := short(r.Figures()); err != nil {
		t.Errorf("all is well: %v", err)
	}
	r.All("few", 9, 10)
	r.None("some", 1)
	if err := short(r.Figures()); err == nil || !strings.HasSuffix(err.Error(), ": few, some") {
		t.Errorf("two are short: %v", err)
	}
}

func TestThePageHasAPlaceForThem(t *testing.T) {
	page, err := os.ReadFile("../../docs/failover.md")
	if err != nil {
		t.Fatal(err)
	}
	all := []figure.Figure{{Name: "x", Value: 1, Unit: "ms", OK: true}}
	once, err := insert(string(page), all)
	if err != nil {
		t.Fatal(err)
	}
	twice, err := insert(once, all)
	if err != nil || twice != once || strings.Count(once, all[0].String()) != 1 {
		t.Errorf("%v\n%s", err, twice)
	}
	if _, err := insert("a page without marks", all); err == nil {
		t.Error("a page without marks is taken")
	}
}

func TestFaultsSayWhatTheyShouldCost(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range faults {
		if seen[f.name] || f.what == "" || f.span(time.Minute) == 0 || f.play == nil {
			t.Errorf("%+v", f)
		}
		seen[f.name] = true
		if f.longWorst > 0 && f.lost == nil {
			t.Errorf("%s says not whose long connections are lost", f.name)
		}
	}
}
