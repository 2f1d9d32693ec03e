package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"tombolo.io/tombolo/internal/vm/job"
)

// both are the parts of a job: two tests, of which one needs a feature, and one.
var both = job.Job{Parts: []job.Part{
	{Package: "a", Tests: []string{"TestOne", "TestTCX"}, Needs: map[string]string{"TestTCX": "tcx"}},
	{Package: "b", Tests: []string{"TestTwo"}},
}}

// well is a run of both without a fault.
const well = `booted 0 6.1.0
begins 0
begins 1
writes 0 ^=== RUN   TestOne
writes 1 ^=== RUN   TestTwo
writes 0 ^=== RUN   TestOne/sub
writes 1 no end of line^--- PASS: TestTwo (0.01s)
writes 0     ^--- PASS: TestOne/sub (0.01s)
writes 0 ^--- PASS: TestOne (0.01s)
writes 0 ^--- PASS: TestTCX (0.01s)
ends 0 exit status 0
ends 1 exit status 0
done 0 `

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		name     string
		old, new string // of well
		machine  error
		console  string
		want     string // in the complaint; empty when all is well
	}{
		{name: "all is well"},
		{name: "a test failed", old: "PASS: TestTwo", new: "FAIL: TestTwo", want: "b: TestTwo failed"},
		{name: "a test skips itself", old: "PASS: TestOne ", new: "SKIP: TestOne ", want: "a: TestOne skipped itself"},
		{name: "a test did not run", old: "writes 0 ^--- PASS: TestOne (0.01s)\n", want: "a: TestOne did not run"},
		{name: "only its subtest passed", old: "PASS: TestOne (", new: "PASS: TestOne/other (", want: "a: TestOne did not run"},
		{name: "a test says that another passed", old: "^--- PASS: TestTwo", new: "--- PASS: TestTwo", want: "b: TestTwo did not run"},
		{name: "the kernel lacks what a test needs", old: "begins 0\n", new: "lacks 0 tcx\nbegins 0\n"},
		{name: "and the test did not run", old: "begins 0\n", new: "lacks 0 tcx\nbegins 0\n"},
		{name: "what needs a feature did not run though it is there", old: "PASS: TestTCX", new: "PASS: TestNothing", want: "a: TestTCX did not run"},
		{name: "a process fails", old: "ends 1 exit status 0", new: "ends 1 exit status 2", want: "b: exit status 2"},
		{name: "there is no binary", old: "ends 1 exit status 0", new: "ends 1 fork/exec: no such file", want: "no such file"},
		{name: "a part did not run", old: "ends 1 exit status 0\n", want: "b: TestTwo did not run"},
		{name: "the guest gives up", old: "done 0", new: "fails 0 loading veth.ko", want: "loading veth.ko"},
		{name: "the guest is cut off", old: "\ndone 0 ", want: "did not come to its end"},
		{name: "a part of nobody", old: "begins 1", new: "begins 7", want: "part 7 of 2"},
		{name: "a line of nobody", old: "begins 1", new: "Segmentation fault", want: "Segmentation fault"},
		{name: "the machine fails", machine: errors.New("killed"), want: "killed"},
		{name: "the kernel panics", console: "[ 1.0] Kernel panic - not syncing: x\n", want: "not syncing: x"},
		{name: "the kernel warns", console: "[ 1.0] WARNING: CPU: 0 PID: 1 at f.c:3\n", want: "at f.c:3"},
		{name: "the kernel chats", console: "[ 1.0] Warning: unable to open an initial console.\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := well
			if c.old != "" {
				if text = strings.Replace(well, c.old, c.new, 1); text == well {
					t.Fatalf("%q is not in what the guest says", c.old)
				}
			}
			var out strings.Builder
			v := newVerdict(both, &out, false)
			for line := range strings.Lines(strings.ReplaceAll(text, "^", "\x16")) {
				v.line(line)
			}
			err := v.end(c.machine, c.console)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q; it wrote\n%s", err, c.want, &out)
			}
		})
	}
}

// A test that is skipped for want of a feature is named, with the reason.
func TestSkippedIsNamed(t *testing.T) {
	var out strings.Builder
	v := newVerdict(both, &out, false)
	for _, line := range []string{"booted 0 6.1.0", "lacks 0 tcx", "begins 0", "ends 0 exit status 0"} {
		v.line(line)
	}
	if want := "skipped: TestTCX in a: Linux 6.1.0 has no tcx\n"; !strings.Contains(out.String(), want) {
		t.Errorf("it wrote\n%swant %q", &out, want)
	}
}

func TestLines(t *testing.T) {
	for _, l := range []job.Line{{Event: job.Done}, {Event: job.Writes, Part: 3, Text: "  a b "}, {Event: job.Lacks, Text: "tcx"}} {
		got, err := job.ParseLine(l.String())
		if err != nil || got != l {
			t.Errorf("%+v comes back as %+v, %v", l, got, err)
		}
	}
	for _, bad := range []string{"", "panic: x", "begins", fmt.Sprint(1)} {
		if l, err := job.ParseLine(bad); err == nil {
			t.Errorf("%q is taken for %+v", bad, l)
		}
	}
}
