package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// Figure is one measured number and what it should be.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// Goal is the bound in words ("< 2"), empty where the figure is only stated.
	Goal string `json:"goal"`
	OK   bool   `json:"ok"`
}

// Report collects figures and prints each as it comes.
type Report struct {
	out     io.Writer
	figures []Figure
}

// Below reports a value that should stay below a goal of the same unit.
func (r *Report) Below(name string, value float64, unit string, goal float64) {
	r.add(Figure{name, value, unit, fmt.Sprintf("< %g", goal), value < goal})
}

// State reports a value without a goal.
func (r *Report) State(name string, value float64, unit string) {
	r.add(Figure{name, value, unit, "", true})
}

func (r *Report) add(f Figure) {
	r.figures = append(r.figures, f)
	verdict := "ok"
	if !f.OK {
		verdict = "short"
	}
	goal := f.Goal
	if goal == "" {
		goal = "-"
	}
	fmt.Fprintf(r.out, "%-52s %12.3f %-8s %-10s %s\n", f.Name, f.Value, f.Unit, goal, verdict)
}

// Write stores the figures as a JSON array in the file that BENCH_JSON names;
// without that it writes nothing.
func (r *Report) Write() error {
	path := os.Getenv("BENCH_JSON")
	if path == "" {
		return nil
	}
	text, err := json.MarshalIndent(r.figures, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the figures: %w", err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing the figures: %w", err)
	}
	return nil
}

// median returns the middle value; of an even number the lower of the two.
func median(values []time.Duration) time.Duration { return quantile(values, 0.5) }

// quantile returns the value below which the share q of the values lies.
func quantile(values []time.Duration, q float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return sorted[min(int(q*float64(len(sorted)-1)+0.5), len(sorted)-1)]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
