package main

import (
	"bytes"
	"io"
	"sync"

	"tombolo.io/tombolo/internal/vm/job"
)

// reporter sends lines to the host.
type reporter struct {
	mu  sync.Mutex // a serial port takes a line from one goroutine at a time
	out io.Writer
}

func (r *reporter) say(l job.Line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = io.WriteString(r.out, l.String()) // nobody else could be told
}

// output is what a part's process writes, told line by line. One goroutine writes.
type output struct {
	*reporter
	part int
	rest []byte // of a line without its end
}

func (o *output) Write(b []byte) (int, error) {
	o.rest = append(o.rest, b...)
	for {
		line, rest, found := bytes.Cut(o.rest, []byte("\n"))
		if !found {
			return len(b), nil
		}
		o.rest = rest
		o.say(job.Line{Event: job.Writes, Part: o.part, Text: string(line)})
	}
}

func (o *output) flush() {
	if len(o.rest) > 0 {
		_, _ = o.Write([]byte("\n"))
	}
}
