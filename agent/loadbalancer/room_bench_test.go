package loadbalancer

import (
	"log/slog"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// inMemory returns a LoadBalancer over maps in memory.
func inMemory(b *testing.B, l Limits) *LoadBalancer {
	lb := New(Config{Node: "n"}, newRAM(l), slog.New(slog.DiscardHandler))
	if err := lb.restore(); err != nil {
		b.Fatal(err)
	}
	return lb
}

// BenchmarkWithoutRoom tries all services again for nine of ten of which there is no
// room, as at the end of each grace period.
func BenchmarkWithoutRoom(b *testing.B) {
	l := inMemory(b, Limits{Services: benchServices / 10, Slots: 1 << 24, Backends: 1 << 18, Nodes: 1 << 12})
	l.take(benchBatch(benchObjects()))
	l.settle(time.Now())
	if n := len(l.state.owed); n < benchServices*8/10 {
		b.Fatalf("only %d services have no room", n)
	}
	for b.Loop() {
		for k := range l.starving {
			l.queue.Mark(k)
		}
		l.settle(time.Now())
	}
	b.StopTimer()
	finish(l)
}

// BenchmarkLeftOut grows a service to 10,000 backends, for one in twenty of which the
// slots have room.
func BenchmarkLeftOut(b *testing.B) {
	const many, room = 10_000, 509
	name := clustermesh.ServiceName{Namespace: "shop", Name: "web"}
	d := wide(many, 16381)
	shares := d.tiers[Primary]
	for b.Loop() {
		b.StopTimer()
		l := inMemory(b, Limits{Services: 8, Slots: room, Backends: many + 1, Nodes: 8})
		d.tiers[Primary], d.size = append([]share(nil), shares[:500]...), room
		if err := l.state.apply(name, d, l.missing); err != nil {
			b.Fatal(err)
		}
		d.tiers[Primary], d.size = append([]share(nil), shares...), 16381
		b.StartTimer()
		if err := l.state.apply(name, d, l.missing); err == nil || len(l.state.byName[name][0].backends) != room {
			b.Fatalf("%v, %d backends", err, len(l.state.byName[name][0].backends))
		}
	}
}
