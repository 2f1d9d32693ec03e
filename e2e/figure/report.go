// Package figure reports what was measured: a line a figure, `name value unit
// goal ok|short`, and the same as JSON in the file that BENCH_JSON names.
package figure

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
)

// Figure is one measured number and what it should be.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// Goal is the bound in words ("< 2", "> 1"), empty where the figure is only stated.
	Goal string `json:"goal"`
	OK   bool   `json:"ok"`
}

// Report collects figures and prints each as it comes.
type Report struct {
	out     io.Writer
	figures []Figure
}

// New returns a report that prints to out.
func New(out io.Writer) *Report { return &Report{out: out} }

// Below reports a value that should stay below a goal of the same unit.
func (r *Report) Below(name string, value float64, unit string, goal float64) {
	r.add(Figure{name, value, unit, fmt.Sprintf("< %g", goal), value < goal})
}

// Above reports a value that should stay above a goal of the same unit.
func (r *Report) Above(name string, value float64, unit string, goal float64) {
	r.add(Figure{name, value, unit, fmt.Sprintf("> %g", goal), value > goal})
}

// None reports a number of things that should not be.
func (r *Report) None(name string, n int) { r.All(name, n, 0) }

// All reports a number of things, and how many there should be.
func (r *Report) All(name string, n, want int) {
	r.add(Figure{name, float64(n), "count", strconv.Itoa(want), n == want})
}

// State reports a value without a goal.
func (r *Report) State(name string, value float64, unit string) {
	r.add(Figure{name, value, unit, "", true})
}

func (r *Report) add(f Figure) {
	r.figures = append(r.figures, f)
	fmt.Fprintln(r.out, f)
}

// String is the line of a figure.
func (f Figure) String() string {
	verdict, goal := "ok", f.Goal
	if !f.OK {
		verdict = "short"
	}
	if goal == "" {
		goal = "-"
	}
	return fmt.Sprintf("%-52s %12.3f %-8s %-10s %s", f.Name, f.Value, f.Unit, goal, verdict)
}

// Figures returns what was reported so far.
func (r *Report) Figures() []Figure { return slices.Clone(r.figures) }

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

// Median returns the middle value; of an even number the lower of the two.
func Median[T cmp.Ordered](values []T) T { return Quantile(values, 0.5) }

// Quantile returns the value below which the share q of the values lies.
func Quantile[T cmp.Ordered](values []T, q float64) (none T) {
	if len(values) == 0 {
		return none
	}
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return sorted[min(int(q*float64(len(sorted)-1)+0.5), len(sorted)-1)]
}
