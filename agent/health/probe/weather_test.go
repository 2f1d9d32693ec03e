//go:build vm

package probe

import (
	"testing"
	"time"

	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/bpf/bpftest"
)

// With 30 % loss each way, by the kernel's own measure, a burst to a node that lives is
// answered: all 20 probes fail once in a million times.
func TestBurstInBadWeather(t *testing.T) {
	w := newWorld(t, Config{})
	w.respond()
	w.send(Target{there4, bpf.ProbeNode}) // finds the neighbour
	w.collect(1)
	for _, n := range []*bpftest.Net{w.here, w.there} {
		n.Impair(t, "eth0", bpftest.Weather{Loss: 30, Delay: 20 * time.Millisecond, Jitter: 10 * time.Millisecond})
	}
	for range 20 {
		w.send(Target{there4, bpf.ProbeNode})
	}
	for _, r := range w.collect(1) {
		// The jitter of two ways may take away no more than twice itself.
		if r.RTT() < 20*time.Millisecond {
			t.Errorf("a reply after %v, by a line that takes 20 to 60 ms", r.RTT())
		}
	}
}
