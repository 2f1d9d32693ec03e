package bpf

import (
	"errors"
	"log/slog"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
	"tombolo.io/tombolo/bpf/bpftest"
)

func TestMain(m *testing.M) { bpftest.Main(m) }

// world is a data path in an environment of its own, with what the test put in.
type world struct {
	*bpftest.Env
	*Datapath
	backends, slots uint32 // the next free ones
}

// newWorld makes a world whose programs are attached.
func newWorld(t *testing.T) *world {
	t.Helper()
	env := bpftest.New(t)
	w := &world{Env: env, Datapath: load(t, env, SmallSizes()), backends: 1}
	if err := errors.Join(w.Attach(), w.Hear(true)); err != nil {
		t.Fatal(err)
	}
	return w
}

// load loads a data path, which is closed after the test, and whose pins are removed.
func load(t testing.TB, env *bpftest.Env, sizes Sizes) *Datapath {
	t.Helper()
	d, err := Load(Config{BPFFS: env.BPFFS, Cgroup: env.Cgroup, Sizes: sizes}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
		if err := Uninstall(d.cfg); err != nil {
			t.Errorf("uninstalling: %v", err)
		}
	})
	return d
}

// table is the size of the tables here.
const table = 251

// put makes a service with one frontend and a table of these backends in turn;
// none gives no table. It returns the backends' numbers.
func (w *world) put(t testing.TB, n uint32, at Frontend, backends ...Backend) []uint32 {
	t.Helper()
	numbers, extent := w.table(n, at.Protocol, backends...)
	w.Services.Write(n, Service{Primary: extent})
	if err := w.Frontends.Put(map[Frontend]uint32{at: n}); err != nil {
		t.Fatal(err)
	}
	return numbers
}

// table writes backends and a table of them.
func (w *world) table(service uint32, protocol uint8, backends ...Backend) ([]uint32, Extent) {
	if len(backends) == 0 {
		return nil, Extent{}
	}
	var numbers []uint32
	for _, b := range backends {
		b.Service, b.Protocol = service, protocol
		w.Backends.Write(w.backends, b)
		numbers = append(numbers, w.backends)
		w.backends++
	}
	slots := make([]uint32, table)
	for i := range slots {
		slots[i] = numbers[i%len(numbers)]
	}
	extent := Extent{Offset: w.slots, Size: table}
	w.Slots.Write(extent.Offset, slots)
	w.slots += table
	return numbers, extent
}

func active(a netip.AddrPort) Backend { return Backend{Address: a, State: Active} }

func tcp(address string) Frontend {
	return Frontend{Address: netip.MustParseAddrPort(address), Protocol: unix.IPPROTO_TCP}
}

func udp(address string) Frontend {
	return Frontend{Address: netip.MustParseAddrPort(address), Protocol: unix.IPPROTO_UDP}
}

// local is a free port of the loopback in both families.
var local = map[bool]netip.AddrPort{
	false: netip.MustParseAddrPort("127.0.0.1:0"),
	true:  netip.MustParseAddrPort("[::1]:0"),
}

// ask connects and returns who answers.
func (w *world) ask(t *testing.T, p *bpftest.Place, f Frontend) string {
	t.Helper()
	fd, err := p.Connect(t, f.Address)
	if err != nil {
		t.Fatalf("connecting to %s: %v", f, err)
	}
	defer unix.Shutdown(fd, unix.SHUT_RDWR)
	return bpftest.Read(t, fd)
}

// asks counts who answers n connections.
func (w *world) asks(t *testing.T, p *bpftest.Place, f Frontend, n int) map[string]int {
	t.Helper()
	seen := make(map[string]int)
	for range n {
		seen[w.ask(t, p, f)]++
	}
	return seen
}

// counters returns the counters.
func (w *world) counters(t *testing.T) Counters {
	t.Helper()
	c, err := w.Counters()
	if err != nil {
		t.Fatal(err)
	}
	return c
}
