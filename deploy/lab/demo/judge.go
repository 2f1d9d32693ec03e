package demo

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"tombolo.io/tombolo/deploy/lab/echo"
)

// evenly says what is wrong when n requests were not answered by these pods
// alike: each share may stray five standard deviations from the mean, which
// chance does once in about two million demos.
func evenly(r echo.Report, pods []string) error {
	n := float64(r.Requests)
	p := 1 / float64(len(pods))
	stray := 5 * math.Sqrt(n*p*(1-p))
	if r.Failed > 0 {
		return fmt.Errorf("expected no failed request, saw %d: %v", r.Failed, r.Errors)
	}
	for _, pod := range pods {
		if math.Abs(float64(r.Pods[pod])-n*p) > stray {
			return fmt.Errorf("expected %.0f ± %.0f answers of each of %d pods, saw %d of %s", n*p, stray, len(pods), r.Pods[pod], pod)
		}
	}
	for pod := range r.Pods {
		if !slices.Contains(pods, pod) {
			return fmt.Errorf("expected answers of %s, saw one of %s", strings.Join(pods, ", "), pod)
		}
	}
	return nil
}

// turn is how answers went over from one cluster to another.
type turn struct {
	// First is the time from the cause to the end of the first answer of the
	// cluster that they went over to.
	First time.Duration
	// Last is the time from the cause to the start of the last request that
	// another cluster answered, zero when there was none.
	Last time.Duration
	// Failed counts the requests that began after the cause and failed.
	Failed int
	// Stray counts the requests that began after that first answer and were
	// answered by another cluster all the same.
	Stray int
	// After counts the requests that began after that first answer.
	After int
}

// turned looks for the turn to a cluster after a cause; false when there was none.
func turned(samples []echo.Sample, cause time.Time, to string) (turn, bool) {
	var t turn
	var first time.Time
	for _, s := range samples {
		if s.Start.Before(cause) || s.Error != "" || s.Answer.Cluster != to {
			continue
		}
		if first.IsZero() || s.End.Before(first) {
			first = s.End
		}
	}
	for _, s := range samples {
		if s.Start.Before(cause) {
			continue
		}
		wrong := s.Error == "" && s.Answer.Cluster != to
		if s.Error != "" {
			t.Failed++
		}
		if wrong {
			t.Last = max(t.Last, s.Start.Sub(cause))
		}
		if !first.IsZero() && s.Start.After(first) {
			t.After++
			if wrong {
				t.Stray++
			}
		}
	}
	t.First = first.Sub(cause)
	return t, !first.IsZero()
}

// failures says what is wrong when a request failed.
func failures(samples []echo.Sample) error {
	if r := echo.Summarize(samples); r.Failed > 0 {
		return fmt.Errorf("expected no failed request, saw %d of %d: %v", r.Failed, r.Requests, r.Errors)
	}
	return nil
}

// counts writes a count of each name, sorted.
func counts(m map[string]int) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fmt.Sprintf("%s %d", name, m[name]))
	}
	return strings.Join(out, ", ")
}
