package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"tombolo.io/tombolo/internal/vm/job"
)

// result matches how a test ended; the mark before it is that of -test.v=test2json,
// which no test writes.
var result = regexp.MustCompile("\x16 *--- (PASS|FAIL|SKIP): ([^ /]+) ")

// complaint matches what a kernel says only when something is wrong with it.
var complaint = regexp.MustCompile(`(?m)^.*(Kernel panic|BUG:|Oops|WARNING: CPU|general protection fault).*$`)

// verdict is what becomes of a job, told line by line.
type verdict struct {
	out     io.Writer
	verbose bool

	kernel         string
	lacks          map[string]bool
	parts          []progress
	passed, spared int
	done           bool
	problems       []string
}

// progress is what is known of a part.
type progress struct {
	job.Part
	since    time.Time
	lines    []string
	ended    map[string]string // tests, how
	finished bool
}

func newVerdict(j job.Job, out io.Writer, verbose bool) *verdict {
	v := &verdict{out: out, verbose: verbose, lacks: map[string]bool{}}
	for _, p := range j.Parts {
		v.parts = append(v.parts, progress{Part: p, ended: map[string]string{}})
	}
	return v
}

func (v *verdict) tell(format string, args ...any) { fmt.Fprintf(v.out, "vm: "+format+"\n", args...) }

func (v *verdict) accuse(format string, args ...any) {
	v.problems = append(v.problems, fmt.Sprintf(format, args...))
}

// line takes a line of the guest.
func (v *verdict) line(text string) {
	l, err := job.ParseLine(text)
	if err == nil && (l.Part < 0 || l.Part >= len(v.parts)) {
		err = fmt.Errorf("the guest speaks of part %d of %d", l.Part, len(v.parts))
	}
	if err != nil {
		v.accuse("%v", err)
		return
	}
	p := &v.parts[l.Part]
	switch l.Event {
	case job.Booted:
		v.kernel = l.Text
		v.tell("Linux %s is up", v.kernel)
	case job.Lacks:
		v.lacks[l.Text] = true
	case job.Begins:
		p.since = time.Now()
	case job.Writes:
		v.write(p, l.Text)
	case job.Ends:
		v.judge(p, l.Text)
	case job.Fails:
		v.accuse("the guest: %s", l.Text)
	case job.Done:
		v.done = true
	default:
		v.accuse("the guest wrote %q", text)
	}
}

// write takes a line of a part's tests.
func (v *verdict) write(p *progress, text string) {
	if m := result.FindStringSubmatch(text); m != nil {
		p.ended[m[2]] = m[1]
	}
	text = strings.ReplaceAll(text, "\x16", "")
	p.lines = append(p.lines, text)
	if v.verbose {
		fmt.Fprintf(v.out, "%s: %s\n", p.Package, text)
	}
}

// judge compares what a part did with what it was to do.
func (v *verdict) judge(p *progress, how string) {
	p.finished = true
	before, passed := len(v.problems), 0
	if how != "exit status 0" {
		v.accuse("%s: %s", p.Package, how)
	}
	for _, test := range p.Tests {
		switch end, need := p.ended[test], p.Needs[test]; {
		case need != "" && v.lacks[need]:
			v.spared++
			v.tell("skipped: %s in %s: Linux %s has no %s", test, p.Package, v.kernel, need)
		case end == "PASS":
			passed++
		case end == "SKIP":
			v.accuse("%s: %s skipped itself", p.Package, test)
		case end == "FAIL":
			v.accuse("%s: %s failed", p.Package, test)
		default:
			v.accuse("%s: %s did not run, or did not end", p.Package, test)
		}
	}
	v.passed += passed
	word := "ok"
	if len(v.problems) > before {
		word = "FAIL"
		v.show(p)
	}
	v.tell("%-4s %-20s %d of %d tests in %.0f s: %s", word, p.Package, passed, len(p.Tests),
		time.Since(p.since).Seconds(), strings.Join(p.Tests, " "))
}

// show writes what a part wrote, if that was not seen yet.
func (v *verdict) show(p *progress) {
	if !v.verbose && len(p.lines) > 0 {
		fmt.Fprintln(v.out, strings.Join(p.lines, "\n"))
	}
}

// end returns what is wrong, after the machine ended with an error or without; console
// is what its kernel said.
func (v *verdict) end(machine error, console string) error {
	if machine != nil {
		v.accuse("the machine: %v", machine)
	}
	for _, line := range complaint.FindAllString(console, -1) {
		v.accuse("the kernel: %s", strings.TrimSpace(line))
	}
	if !v.done {
		v.accuse("the guest did not come to its end")
	}
	for i := range v.parts {
		if p := &v.parts[i]; !p.finished {
			v.accuse("%s: %s did not run, or did not end", p.Package, strings.Join(p.Tests, ", "))
			v.show(p)
		}
	}
	v.tell("%d tests passed in Linux %s, %d were skipped", v.passed, v.kernel, v.spared)
	if len(v.problems) == 0 {
		return nil
	}
	if !v.verbose && (!v.done || complaint.MatchString(console)) {
		fmt.Fprintln(v.out, console)
	}
	return errors.New(strings.Join(v.problems, "\n    "))
}
