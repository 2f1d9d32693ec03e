package loadbalancer

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/bpf/bpftest"
)

func TestMain(m *testing.M) { bpftest.Main(m) }

// kernelMaps are the maps in the kernel, and readers that grace periods wait
// for: to the kernel's own they are no programs.
type kernelMaps struct {
	Target
	d         *bpf.Datapath
	place     *bpftest.Place
	frontends *ebpf.Map
	ranges    *ebpf.Map
	programs  sync.RWMutex
	periods   atomic.Int64
	attached  bool
}

func loadKernelMaps(t testing.TB, sizes bpf.Sizes) *kernelMaps {
	t.Helper()
	env := bpftest.New(t)
	d, err := bpf.Load(bpf.Config{BPFFS: env.BPFFS, Cgroup: env.Cgroup, Sizes: sizes}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	k := &kernelMaps{Target: Kernel(d), d: d, place: env.Place}
	for name, m := range map[string]**ebpf.Map{"frontends": &k.frontends, "ranges": &k.ranges} {
		pins, err := filepath.Glob(filepath.Join(env.BPFFS, "tombolo/lb/*/*", name))
		if err != nil || len(pins) != 1 {
			t.Fatalf("looking for the pinned map of %s: %v, %v", name, pins, err)
		}
		if *m, err = ebpf.LoadPinnedMap(pins[0], nil); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := errors.Join(k.frontends.Close(), k.ranges.Close(), d.Close()); err != nil {
			t.Error(err)
		}
	})
	return k
}

// letsIn looks for the longest prefix as programs do: by the bytes of struct range_key.
func (k *kernelMaps) letsIn(service uint32, client netip.Addr) (bool, error) {
	family := uint32(unix.AF_INET6)
	if client.Is4() {
		family = unix.AF_INET
	}
	key := binary.NativeEndian.AppendUint32(nil, 32+32+128)
	key = binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(key, service), family)
	a := client.As16()
	var value uint32
	err := k.ranges.Lookup(append(key, a[:]...), &value)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return false, nil
	}
	return err == nil && value == service, err
}

// frontend looks one key up as programs do: by the bytes of struct
// frontend_key, which the value repeats.
func (k *kernelMaps) frontend(f Frontend) (uint32, error) {
	key := make([]byte, 20)
	a := f.Address.Addr().As16()
	copy(key, a[:])
	binary.BigEndian.PutUint16(key[16:], f.Address.Port())
	key[18], key[19] = byte(f.Protocol), byte(bpf.ScopeSocket)
	value := make([]byte, 24)
	for range 2 {
		err := k.frontends.Lookup(key, value)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		if string(value[:20]) == string(key) {
			return binary.NativeEndian.Uint32(value[20:]), nil
		}
	}
	return 0, nil
}

func (k *kernelMaps) head(n uint32) uint64 {
	b := k.d.Backends.Read(n)
	return uint64(b.Generation)<<8 | uint64(b.State)
}

func (k *kernelMaps) run(program func()) {
	k.programs.RLock()
	defer k.programs.RUnlock()
	program()
}

// Grace waits for the readers, and every eighth time, since that takes 11 ms
// and more, for a period of the kernel too; always while programs run.
func (k *kernelMaps) Grace() error {
	k.awaitPrograms()
	if k.periods.Add(1)%8 != 0 && !k.attached {
		return nil
	}
	return k.Target.Grace()
}

// awaitPrograms returns when every reader that ran before has ended.
func (k *kernelMaps) awaitPrograms() {
	k.programs.Lock()
	defer k.programs.Unlock()
}

// testSizes are those of testLimits.
func testSizes() bpf.Sizes { return sizesOf(testLimits) }

func sizesOf(l Limits) bpf.Sizes {
	return bpf.Sizes{
		Frontends: cmp.Or(l.Frontends, 64), Services: l.Services, Backends: l.Backends, Nodes: l.Nodes,
		Slots: l.Slots, Clusters: 512, Affinity: 16, Sockets: 1 << 6,
	}
}

func TestFullMapsInTheKernel(t *testing.T) {
	for which, limits := range fullWorlds {
		t.Run(which, func(t *testing.T) { fullSteps(t, which, 100, 50, loadKernelMaps(t, sizesOf(limits))) })
	}
}

func TestRandomStepsInTheKernel(t *testing.T) {
	for seed := range uint64(steps(4)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { randomSteps(t, 100+seed, steps(300), loadKernelMaps(t, testSizes())) })
	}
}

// steps is how many of n random steps are made: with -short few, as in an emulated
// machine, where each takes forty times as long.
func steps(n int) int {
	if testing.Short() {
		return max(1, n/10)
	}
	return n
}
