package loadbalancer

import (
	"errors"
	"slices"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh/view"
)

// TestStaleAfter holds that endpoints of a mirror that is too old leave the tables
// when it gets so, without anything else that happens, while others remain; and
// that they are back when it is fresh.
func TestStaleAfter(t *testing.T) {
	h := newHarness(t, 1, newRAM(testLimits))
	h.l.config.StaleAfter = time.Hour
	h.w.half(false, -1)
	h.tell(true)
	h.converge()
	f := worldFrontends()[0]
	all := h.clustersIn(f)
	if len(all) < 2 || all[0] != 1 {
		t.Fatalf("the clusters %v show nothing", all)
	}
	began := h.now
	is := func(what string, want []uint16) {
		t.Helper()
		h.drain(20)
		if got := h.clustersIn(f); !slices.Equal(got, want) {
			t.Errorf("%s: clusters %v, want %v", what, got, want)
		}
	}
	h.l.take(view.Batch{Stale: began.Add(-59 * time.Minute), Err: errors.New("away")})
	is("not too old yet", all)
	if wait := h.l.nextWake(began); wait > time.Minute {
		t.Errorf("it wakes after %v", wait)
	}
	h.l.take(view.Batch{Stale: began.Add(-61 * time.Minute), Err: errors.New("away")})
	is("too old", []uint16{1})
	h.l.judge(Verdict{Cluster: 1, Down: ClusterDown, Known: Everything})
	is("and nobody else is left", all)
	h.l.judge(Verdict{Cluster: 1, Down: 0, Known: Everything})
	h.l.take(view.Batch{})
	is("fresh", all)
}
