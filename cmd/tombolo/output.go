package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// output is the form in which a command prints what it found.
type output struct{ format string }

// formats are those of most commands; a table may have a wide form.
var formats = []string{"table", "json", "yaml"}

// add gives a command -o; more are formats besides the usual.
func (o *output) add(c *cobra.Command, more ...string) {
	all := append(slices.Clone(formats), more...)
	c.Flags().StringVarP(&o.format, "output", "o", "table", strings.Join(all, ", "))
	complete := cobra.FixedCompletions(all, cobra.ShellCompDirectiveNoFileComp)
	if err := c.RegisterFlagCompletionFunc("output", complete); err != nil {
		panic(err) // the flag was added one line above
	}
	c.PreRunE = func(*cobra.Command, []string) error {
		if !slices.Contains(all, o.format) {
			return fmt.Errorf("output %q: want one of %s", o.format, strings.Join(all, ", "))
		}
		return nil
	}
}

// table is what people read: a header and rows of as many cells.
type table struct {
	header []string
	rows   [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// print writes v as JSON or YAML, or the table that tab makes of it.
func (o *output) print(w io.Writer, v any, tab func(wide bool) table) error {
	if r := reflect.ValueOf(v); r.Kind() == reflect.Slice && r.IsNil() {
		v = []any{} // an empty list, not null
	}
	switch o.format {
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(v)
	case "yaml":
		b, err := yaml.Marshal(v)
		if err != nil {
			return fmt.Errorf("writing YAML: %w", err)
		}
		_, err = w.Write(b)
		return err
	}
	return tab(o.format == "wide").print(w)
}

func (t table) print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, row := range append([][]string{t.header}, t.rows...) {
		cells := make([]string, len(row))
		for i, c := range row {
			if cells[i] = c; c == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(tw, strings.Join(cells, "\t"))
	}
	return tw.Flush()
}

// joined lists values in a cell.
func joined[T any](values []T) string {
	var out []string
	for _, v := range values {
		out = append(out, fmt.Sprint(v))
	}
	return strings.Join(out, ",")
}

// labels lists labels in a cell, sorted.
func labels(m map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k+"="+m[k])
	}
	return strings.Join(out, ",")
}

// number is n, or nothing for zero.
func number(n uint32) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}
