package inspect

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"sigs.k8s.io/yaml"

	"tombolo.io/tombolo/etcd"
)

// Printer writes entries in one of the formats that people ask for: table,
// json (an object a line) or yaml (a document an entry).
type Printer struct {
	out    io.Writer
	format string
	// table is nil in the other formats; printed counts entries.
	table   *tabwriter.Writer
	printed int
}

// NewPrinter returns a printer; a format that it does not know is an error.
func NewPrinter(out io.Writer, format string) (*Printer, error) {
	p := &Printer{out: out, format: format}
	switch format {
	case "table":
		p.table = tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	case "json", "yaml":
	default:
		return nil, fmt.Errorf("unknown output format %q: table, json and yaml are known", format)
	}
	return p, nil
}

// Entry prints an entry. A table appears on Close.
func (p *Printer) Entry(e Entry) error {
	if p.table == nil {
		return p.value(e)
	}
	p.head()
	_, err := fmt.Fprintf(p.table, "%s\t%d\t%d\t%s\n", e.Key, e.Revision, e.Size, e.Error)
	return err
}

// head begins a table.
func (p *Printer) head() {
	if p.printed++; p.printed == 1 {
		fmt.Fprintln(p.table, "KEY\tREVISION\tBYTES\tERROR")
	}
}

// change is an entry with what happened to it.
type change struct {
	Op string `json:"op"`
	Entry
}

// Change prints an entry at once, with what happened to it.
func (p *Printer) Change(op etcd.Op, e Entry) error {
	if p.table == nil {
		return p.value(change{op.String(), e})
	}
	_, err := fmt.Fprintf(p.out, "%-6s  %10d  %s  %s\n", op, e.Revision, e.Key, e.Error)
	return err
}

func (p *Printer) value(v any) error {
	if p.format == "json" {
		return json.NewEncoder(p.out).Encode(v)
	}
	text, err := yaml.Marshal(v)
	if err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	if p.printed++; p.printed > 1 {
		text = append([]byte("---\n"), text...)
	}
	_, err = p.out.Write(text)
	return err
}

// Close prints what is left to print after the last Entry: a table, of which there
// is a head even when it has no entry.
func (p *Printer) Close() error {
	if p.table == nil {
		return nil
	}
	p.head()
	return p.table.Flush()
}
