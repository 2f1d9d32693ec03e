// Package job is what the two halves of a run in another kernel tell each other:
// the host what there is to do, as a file in the initramfs, and the guest what comes
// of it, as lines on a serial port.
package job

import (
	"fmt"
	"strconv"
	"strings"
)

// File is where the guest finds its Job, as JSON.
const File = "/job.json"

// Job is what the guest does.
type Job struct {
	// Modules are the paths of the kernel's modules, each after those it needs.
	Modules []string
	// Parts are done in this order, two at a time.
	Parts []Part
}

// Part are tests of a package that a process runs.
type Part struct {
	// Package is its path below the module's.
	Package string
	// Tests are the names of all that run, but for those of Needs.
	Tests []string
	// Needs are the features that tests need, by the names of both. Where the kernel
	// has not a feature, its tests do not run.
	Needs map[string]string
}

// Dir is where the guest runs a package's tests.
func (p Part) Dir() string { return "/tests/" + p.Package }

// Binary is where the guest finds them.
func (p Part) Binary() string { return p.Dir() + "/run.test" }

// Event is the first word of a line.
type Event string

// The events, and what their lines say.
const (
	Booted Event = "booted" // the kernel's version
	Lacks  Event = "lacks"  // a feature
	Begins Event = "begins" // of a part
	Writes Event = "writes" // of a part: a line of its output
	Ends   Event = "ends"   // of a part: how its process ended, "exit status 0"
	Fails  Event = "fails"  // why the guest gave up
	Done   Event = "done"
)

// Line is what the guest tells in a line.
type Line struct {
	Event Event
	Part  int // its index, for events of parts
	Text  string
}

// String is the line as it is sent.
func (l Line) String() string { return fmt.Sprintf("%s %d %s\n", l.Event, l.Part, l.Text) }

// ParseLine is the reverse of String.
func ParseLine(line string) (Line, error) {
	event, rest, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
	number, text, _ := strings.Cut(rest, " ")
	part, err := strconv.Atoi(number)
	if err != nil {
		return Line{}, fmt.Errorf("the guest wrote %q, which is no line of its own", line)
	}
	return Line{Event(event), part, text}, nil
}
