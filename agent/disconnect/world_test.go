package disconnect

import (
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/bpf/bpftest"
)

func TestMain(m *testing.M) { bpftest.Main(m) }

// The service's backends: dying is on node 7 of cluster 1, staying on node 8 of
// cluster 2.
const (
	service      = 1
	dying        = 1
	staying      = 2
	dyingCluster = 1
	dyingNode    = 7
	table        = 251
	backlog      = 8
)

// world is a data path with a service of two backends, and a disconnector.
type world struct {
	*testing.T
	*bpftest.Env
	*bpf.Datapath
	place *bpftest.Place
	*Disconnector
}

func newWorld(t *testing.T) *world { return newSizedWorld(t, bpf.SmallSizes()) }

// newCrowdedWorld makes one that has no place for sockets but for those of others.
func newCrowdedWorld(t *testing.T) *world {
	const ways = 8 // the fewest places that there are
	sizes := bpf.SmallSizes()
	sizes.Sockets = ways
	w := newSizedWorld(t, sizes)
	f := frontend("10.96.0.99:80", unix.IPPROTO_UDP)
	w.Backends.Write(staying+1, bpf.Backend{Service: service + 1, Address: netip.MustParseAddrPort("127.0.0.1:9"), Protocol: f.Protocol, State: bpf.Active})
	slots := slices.Repeat([]uint32{staying + 1}, table)
	w.Slots.Write(table, slots)
	w.Services.Write(service+1, bpf.Service{Primary: bpf.Extent{Offset: table, Size: table}})
	if err := w.Frontends.Put(map[bpf.Frontend]uint32{f: service + 1}); err != nil {
		t.Fatal(err)
	}
	for range ways {
		w.connect(f.Address, staying+1, unix.AF_INET, unix.SOCK_DGRAM)
	}
	return w
}

func newSizedWorld(t *testing.T, sizes bpf.Sizes) *world {
	env := bpftest.New(t)
	cfg := bpf.Config{BPFFS: env.BPFFS, Cgroup: env.Cgroup, Sizes: sizes}
	d, err := bpf.Load(cfg, slog.New(slog.DiscardHandler))
	if err == nil {
		err = d.Attach()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(d.Close(), bpf.Uninstall(cfg)); err != nil {
			t.Error(err)
		}
	})
	return &world{T: t, Env: env, Datapath: d, place: env.Place, Disconnector: newDisconnector(d)}
}

func newDisconnector(d *bpf.Datapath) *Disconnector {
	return New(Config{Proc: "/proc"}, d, slog.New(slog.DiscardHandler))
}

// serve makes the service at a frontend, with a backend of each kind of address.
func (w *world) serve(f bpf.Frontend, dies, stays netip.AddrPort, kind bpf.Kind) {
	w.Helper()
	w.Backends.Write(dying, bpf.Backend{Service: service, Address: dies, Protocol: f.Protocol, State: bpf.Active, Kind: kind, Cluster: dyingCluster, Node: dyingNode})
	w.Backends.Write(staying, bpf.Backend{Service: service, Address: stays, Protocol: f.Protocol, State: bpf.Active, Kind: kind, Cluster: 2, Node: 8})
	slots := make([]uint32, table)
	for i := range slots {
		slots[i] = uint32(dying + i%2)
	}
	w.Slots.Write(0, slots)
	w.Services.Write(service, bpf.Service{Primary: bpf.Extent{Size: table}})
	if err := w.Frontends.Put(map[bpf.Frontend]uint32{f: service}); err != nil {
		w.Fatal(err)
	}
}

// listener accepts nobody: whoever connects is connected until the queue is full.
func (w *world) listener(at string, queue int) netip.AddrPort {
	w.Helper()
	address := netip.MustParseAddrPort(at)
	family := unix.AF_INET
	if address.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd := w.place.Socket(w.T, family, unix.SOCK_STREAM, 0)
	if err := errors.Join(unix.Bind(fd, bpftest.Sockaddr(address, address.Addr().Is6())), unix.Listen(fd, queue)); err != nil {
		w.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		w.Fatal(err)
	}
	return bpftest.AddrPort(sa)
}

// connect connects new sockets until one has this backend, and returns it.
func (w *world) connect(to netip.AddrPort, number uint32, family, kind int) int {
	w.Helper()
	for range 100 {
		fd, err := w.place.NewSocket(family, kind|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			w.Fatal(err)
		}
		err = unix.Connect(fd, bpftest.Sockaddr(to, family == unix.AF_INET6))
		if err != nil && !errors.Is(err, unix.EINPROGRESS) {
			w.Fatalf("connecting to %v: %v", to, err)
		}
		if s, ok := w.find(fd); !ok || s.Frontend != to {
			w.Fatalf("connected to %v, in the maps is %+v (%v)", to, s, ok)
		} else if s.Number == number {
			w.Cleanup(func() { unix.Close(fd) })
			return fd
		}
		unix.Close(fd)
	}
	w.Fatalf("of 100 connections none went to backend %d", number)
	return -1
}

// find returns what the maps have of a socket.
func (w *world) find(fd int) (bpf.Socket, bool) {
	w.Helper()
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE)
	if err != nil {
		w.Fatal(err)
	}
	sockets, err := w.Sockets.All()
	if err != nil {
		w.Fatal(err)
	}
	for s := range sockets {
		if s.Cookie == cookie {
			return s, true
		}
	}
	return bpf.Socket{}, false
}

// ended reports whether a socket was told that its connection was ended.
func (w *world) ended(fd int) bool {
	w.Helper()
	errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		w.Fatal(err)
	}
	if e := unix.Errno(errno); errno != 0 && e != unix.ECONNABORTED {
		w.Errorf("the socket was told %v", e)
	}
	return errno != 0
}

// run runs the disconnector until the test ends.
func (w *world) run() {
	done := make(chan error, 1)
	go func() { done <- w.Disconnector.Run(w.Context()) }()
	w.Cleanup(func() { // before the maps are closed
		if err := <-done; err != nil {
			w.Error(err)
		}
	})
}

// until waits for something that Run does, for ten seconds.
func (w *world) until(what string, ok func() bool) {
	w.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("not within ten seconds: %s", what)
		}
	}
}
