package loadbalancer

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
)

// kernel is a Target that a test can also read as programs do.
type kernel interface {
	Target
	// frontend looks one key up, 0 for none.
	frontend(f Frontend) (uint32, error)
	// letsIn says whether an address is in the ranges of a service.
	letsIn(service uint32, a netip.Addr) (bool, error)
	// head returns a backend's generation and state as one number.
	head(backend uint32) uint64
	// run runs a reader in such a way that grace periods wait for it.
	run(program func())
}

var (
	errFlaky = errors.New("the kernel has no memory just now")
	errCrash = errors.New("killed")
)

// flaky passes on to a kernel, and fails or kills the caller as it is told.
type flaky struct {
	kernel
	r *rand.Rand
	// failing is the share of calls that fail, in percent.
	failing int
	// failGrace is read by the goroutine of a grace period.
	failGrace atomic.Bool
	// crashIn kills the caller before the so many-th write; 0 does not.
	crashIn int
	// stuck: no frontend is let go.
	stuck bool
	// wrote is called after every write that programs may come to see at once; nil is
	// nobody.
	wrote func()
	// refused are those of which the last change failed.
	refused map[Frontend]bool
}

// write is called before every write.
func (f *flaky) write() {
	if f.crashIn == 0 {
		return
	}
	if f.crashIn--; f.crashIn == 0 {
		panic(errCrash)
	}
}

func (f *flaky) call() error {
	f.write()
	if f.r.IntN(100) < f.failing {
		return errFlaky
	}
	return nil
}

func (f *flaky) PutFrontend(x Frontend, n uint32) error {
	err := f.call()
	if err == nil {
		err = f.kernel.PutFrontend(x, n)
	}
	f.seen()
	f.refused[x] = err != nil
	return err
}

func (f *flaky) DeleteFrontend(x Frontend) error {
	err := f.call()
	if f.stuck {
		err = errFlaky
	}
	if err == nil {
		err = f.kernel.DeleteFrontend(x)
	}
	f.seen()
	f.refused[x] = err != nil
	return err
}

func (f *flaky) PutRange(r Range) error {
	if err := f.call(); err != nil {
		return err
	}
	defer f.seen()
	return f.kernel.PutRange(r)
}

func (f *flaky) DeleteRange(r Range) error {
	if err := f.call(); err != nil {
		return err
	}
	defer f.seen()
	return f.kernel.DeleteRange(r)
}

func (f *flaky) PutService(n uint32, s Service) {
	f.write()
	f.kernel.PutService(n, s)
	f.seen()
}

func (f *flaky) seen() {
	if f.wrote != nil {
		f.wrote()
	}
}

func (f *flaky) PutSlots(offset uint32, table []uint32) {
	f.write()
	f.kernel.PutSlots(offset, table)
}

func (f *flaky) ReplaceSlots(offset uint32, table []uint32) {
	for i := range table { // killed in the middle, it leaves some of both
		f.write()
		f.kernel.ReplaceSlots(offset+uint32(i), table[i:i+1])
	}
}

func (f *flaky) PutBackend(n uint32, b Backend) {
	f.write()
	f.kernel.PutBackend(n, b)
}

func (f *flaky) SetStanding(n uint32, s Standing) {
	f.write()
	f.kernel.SetStanding(n, s)
}

func (f *flaky) DropBackend(n uint32) {
	f.write()
	f.kernel.DropBackend(n)
}

func (f *flaky) Grace() error {
	if f.failGrace.Load() {
		return errFlaky
	}
	return f.kernel.Grace()
}
