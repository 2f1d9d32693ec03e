package main

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// slack is by how much the bounds of a test exceed the figures: what else the
// machine does must not fail it.
const slack = 5

// TestPromises plays each variant of each fault once, in a lab of its own, with
// outages of 20 s. Its load is a fifth of the benchmark's, of which three labs side by
// side leave the machine something to do the rest with.
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
			b.name = fmt.Sprintf("%sx%d", b.name, labs)
			t.Run(f.title(variant), func(t *testing.T) {
				t.Parallel()
				o, err := b.run(t.Context(), f, variant)
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%+v", o)
				f.hold(t, o)
			})
		}
	}
}

// hold compares an outcome with what the fault should cost.
func (f fault) hold(t *testing.T, o Outcome) {
	t.Helper()
	if f.newWorst > 0 && o.New > slack*f.newWorst {
		t.Errorf("new connections failed for %v, want at most %v", o.New, slack*f.newWorst)
	}
	if f.longWorst > 0 && (o.Long > slack*f.longWorst || o.Hung > 0) {
		t.Errorf("long connections ended after %v, %d never, want %v at most", o.Long, o.Hung, slack*f.longWorst)
	}
	if f.never && o.Stray > 0 {
		t.Errorf("%d connections reached who they should not", o.Stray)
	}
	if f.harmless && o.Failed > 0 {
		t.Errorf("new connections failed: %s", o.why())
	}
	if (f.harmless || f.kept) && o.Broken > 0 {
		t.Errorf("%d long connections broke", o.Broken)
	}
	for _, w := range o.Wrong {
		t.Error(w)
	}
}
