package bpf

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"tombolo.io/tombolo/bpf/bpftest"
)

// A TCP connect() to a frontend, and straight to its backend without any
// program attached and with them, in turns: medians, and what the frontend costs;
// last, of a service that is told of failures, with the program that looks on.
func BenchmarkConnect(b *testing.B) {
	for _, services := range []int{1, 1000, 10000} {
		b.Run(fmt.Sprint(services), func(b *testing.B) { benchmarkConnect(b, services) })
	}
}

func benchmarkConnect(b *testing.B, services int) {
	env := bpftest.New(b)
	d, err := Load(Config{BPFFS: env.BPFFS, Cgroup: env.Cgroup}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		d.Close()
		if err := Uninstall(d.cfg); err != nil {
			b.Error(err)
		}
	}()
	outside := bpftest.NewPlace(b, bpftest.NewCgroup(b, env.Above))
	backend := env.Serve(b, netip.MustParseAddrPort("127.0.0.1:0"), "x")
	outside.Serve(b, backend, "x")
	frontend := fill(b, d, backend, services)
	watched := watchToo(b, d, services)
	if err := d.Attach(); err != nil {
		b.Fatal(err)
	}
	ways := []struct {
		name  string
		place *bpftest.Place
		to    netip.AddrPort
		hear  bool
		took  []time.Duration
	}{
		{name: "without", place: outside, to: backend},
		{name: "direct", place: env.Place, to: backend},
		{name: "frontend", place: env.Place, to: frontend},
		{name: "watched", place: env.Place, to: watched, hear: true},
	}
	const turn = 200 // to attach a program disturbs the machine more than it costs
	for n := 0; b.Loop(); n++ {
		hear := n/turn%2 == 1
		if n%turn == 0 {
			if err := d.Hear(hear); err != nil {
				b.Fatal(err)
			}
		}
		for i := range ways {
			w := &ways[i]
			if w.hear != hear {
				continue
			}
			w.took = append(w.took, timeConnect(b, w.place, w.to))
		}
	}
	median := func(i int) float64 {
		slices.Sort(ways[i].took)
		return float64(ways[i].took[len(ways[i].took)/2])
	}
	for i, w := range ways {
		b.ReportMetric(median(i), w.name+"-ns")
	}
	b.ReportMetric(median(2)-median(0), "over-ns")
	b.ReportMetric(median(3)-median(2), "watch-ns")
	b.ReportMetric(0, "ns/op")
}

// fill writes as many services, of ten backends and 1021 slots, and returns the
// frontend of the last, whose backends are all the one that listens.
func fill(b *testing.B, d *Datapath, backend netip.AddrPort, services int) netip.AddrPort {
	b.Helper()
	const size, each = 1021, 10
	slots := make([]uint32, size)
	put := make(map[Frontend]uint32)
	var last Frontend
	for s := uint32(1); s <= uint32(services); s++ {
		for i := range uint32(each) {
			d.Backends.Write(s*each+i, Backend{Service: s, Address: backend, Protocol: unix.IPPROTO_TCP, State: Active})
		}
		for i := range slots {
			slots[i] = s*each + uint32(i)%each
		}
		d.Slots.Write(s*size, slots)
		d.Services.Write(s, Service{Primary: Extent{Offset: s * size, Size: size}})
		last = tcp(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 96, byte(s >> 8), byte(s)}), 80).String())
		put[last] = s
	}
	if err := d.Frontends.Put(put); err != nil {
		b.Fatal(err)
	}
	return last.Address
}

// watchToo makes a service with the backends of the last one, which is told of
// failures, and returns its frontend.
func watchToo(b *testing.B, d *Datapath, services int) netip.AddrPort {
	b.Helper()
	n := uint32(services + 1)
	last := d.Services.Read(n - 1)
	slots := make([]uint32, last.Primary.Size)
	for i, old := range d.Slots.Read(last.Primary) {
		slots[i] = old + 10
		be := d.Backends.Read(old)
		be.Service = n
		d.Backends.Write(old+10, be)
	}
	extent := Extent{Offset: last.Primary.Offset + last.Primary.Size, Size: last.Primary.Size}
	d.Slots.Write(extent.Offset, slots)
	d.Services.Write(n, Service{Primary: extent, Outliers: true})
	f := tcp("10.97.0.1:80")
	if err := d.Frontends.Put(map[Frontend]uint32{f: n}); err != nil {
		b.Fatal(err)
	}
	return f.Address
}

// timeConnect measures connect() alone. The socket is reset, not closed, so
// that none waits in TIME_WAIT.
func timeConnect(b *testing.B, place *bpftest.Place, to netip.AddrPort) time.Duration {
	fd, err := place.NewSocket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		b.Fatal(err)
	}
	sa := bpftest.Sockaddr(to, false)
	start := time.Now()
	err = unix.Connect(fd, sa)
	took := time.Since(start)
	if err != nil {
		b.Fatal(err)
	}
	return took
}
