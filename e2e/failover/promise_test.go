package main

import (
	"fmt"
	"os"
	"testing"
	"time"

	"tombolo.io/tombolo/deploy/lab/echo"
)

// slack is by how much the bounds of a test exceed the figures: what else the
// machine does must not fail it.
const slack = 5

// shortest is up to which bound a fault is played alone: beside labs whose etcd is killed
// and restored, the disk alone may take as long.
const shortest = time.Second

// TestPromises plays each variant of each fault once, in a lab of its own, with
// outages of 20 s. Its load is mostly a fifth of the benchmark's, of which three labs side
// by side leave the machine something to do the rest with. Those of short bounds come first,
// one by one.
func TestPromises(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("this test makes labs: run it as root")
	}
	b := bench{family: "ipv4", rate: 100, outage: 20 * time.Second}
	if err := b.prepare(t.Context(), t.TempDir()); err != nil {
		t.Fatal(err)
	}
	labs := 0
	for _, f := range faults {
		if !f.promised {
			continue
		}
		for n := range f.repeat(1) {
			variant, b := f.variant(n), b
			labs++
			if f.often {
				b.rate = rate
			}
			b.name = fmt.Sprintf("%sx%d", b.name, labs)
			t.Run(f.title(variant), func(t *testing.T) {
				if slack*f.newWorst == 0 || slack*f.newWorst > shortest {
					t.Parallel()
				}
				o, err := b.run(t.Context(), f.patient(), variant)
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%+v", o)
				for _, b := range f.broken(o) {
					t.Error(b)
				}
			})
		}
	}
}

// patient is the fault played for long enough to break its bounds. New connections
// that the end of the load cuts off are left out, so what begins just after the bound
// has to have its timeout before that.
func (f fault) patient() fault {
	if f.newWorst > 0 {
		f.lasts = max(f.lasts, slack*f.newWorst+timeout+time.Second)
	}
	return f
}

// broken says which promises of the fault an outcome breaks.
func (f fault) broken(o Outcome) (out []string) {
	breaks := func(is bool, format string, args ...any) {
		if is {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	breaks(f.newWorst > 0 && o.New > slack*f.newWorst,
		"new connections failed for %v, want at most %v", o.New, slack*f.newWorst)
	breaks(f.longWorst > 0 && (o.Long > slack*f.longWorst || o.Hung > 0),
		"long connections ended after %v, %d never, want %v at most", o.Long, o.Hung, slack*f.longWorst)
	breaks(f.never && o.Stray > 0, "%d connections reached who they should not", o.Stray)
	breaks(f.harmless && o.Failed > 0, "new connections failed: %s", o.why())
	breaks((f.harmless || f.kept) && o.Broken > 0, "%d long connections broke", o.Broken)
	return append(out, o.Wrong...)
}

// A fault that nobody mends breaks every bound.
func TestPromisesCanBeBroken(t *testing.T) {
	for _, f := range faults {
		if !f.promised {
			continue
		}
		f = f.patient()
		q := question{fault: time.Unix(1000, 0), lost: func(echo.Pod) bool { return true }}
		q.end = q.fault.Add(f.lasts)
		if o := q.judge(silence(q)); f.newWorst > 0 && len(f.broken(o)) == 0 {
			t.Errorf("%s: new connections that fail to the end, the last after %v, are taken", f.name, o.New)
		}
		untold := echo.Connection{Long: true, Start: q.fault.Add(-time.Second), End: q.end, Pod: echo.Pod{Pod: "west-1-a"}}
		if o := q.judge([]echo.Connection{untold}); f.longWorst > 0 && len(f.broken(o)) == 0 {
			t.Errorf("%s: a long connection that is never told is taken", f.name)
		}
	}
}

// silence is what a load says of new connections that nobody answers, to its end.
func silence(q question) (out []echo.Connection) {
	for start := q.fault; !start.Add(timeout).After(q.end); start = start.Add(10 * time.Millisecond) {
		out = append(out, echo.Connection{Start: start, End: start.Add(timeout), Error: "timeout"})
	}
	return out
}
