package loadbalancer

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/bpf/bpftest"
	"tombolo.io/tombolo/clustermesh"
)

// TestRandomStepsUnderPrograms runs the programs themselves while the world
// changes: a client connects again and again, and what it reaches says which
// address it has.
func TestRandomStepsUnderPrograms(t *testing.T) {
	k := loadKernelMaps(t, testSizes())
	if err := k.d.Attach(); err != nil {
		t.Fatal(err)
	}
	k.attached = true
	k.place.Own(t, netip.MustParsePrefix("10.0.0.1/8"))
	echo(t, k.place, 8081)
	h := newHarness(t, 200, k)
	for c := range h.w.services {
		for i := range h.w.services[c] {
			h.w.services[c][i].ports = 2 // the client dials the second
		}
	}
	h.tell(true)
	h.converge()
	stop := h.connect(k.place)
	h.steps(steps(120))
	stop()
	if c, err := k.d.Counters(); err != nil || c.Selected+c.Rehashed+c.Backup == 0 || c.OtherKey > 0 {
		t.Errorf("the programs counted %+v, %v", c, err)
	}
}

// echo answers datagrams to any address of the place with the address they were
// sent to, and from there.
func echo(t *testing.T, p *bpftest.Place, port int) {
	t.Helper()
	fd := p.Socket(t, unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err := errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1), unix.Bind(fd, &unix.SockaddrInet4{Port: port})); err != nil {
		t.Fatal(err)
	}
	var ended sync.WaitGroup
	ended.Go(func() {
		var data [16]byte
		control := make([]byte, unix.CmsgSpace(unix.SizeofInet4Pktinfo))
		for {
			_, n, _, from, err := unix.Recvmsg(fd, data[:], control, 0)
			if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
				continue // Place's sockets wait for a limited time
			}
			if err != nil || from == nil {
				return
			}
			info, err := unix.ParseSocketControlMessage(control[:n])
			if err != nil || len(info) != 1 {
				t.Errorf("a datagram came without the address it was sent to: %v", err)
				return
			}
			to := [4]byte(info[0].Data[8:12]) // struct in_pktinfo: ifindex, spec_dst, addr
			source := unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: to})
			if err := unix.Sendmsg(fd, to[:], source, from, 0); err != nil {
				return
			}
		}
	})
	t.Cleanup(func() {
		_ = unix.Shutdown(fd, unix.SHUT_RDWR) // wakes the reader; an unconnected socket says ENOTCONN
		ended.Wait()
	})
}

// connect lets a client connect until stop.
func (h *harness) connect(p *bpftest.Place) (stop func()) {
	var done atomic.Bool
	var reached, refused atomic.Int64
	var running sync.WaitGroup
	running.Go(func() {
		for i := 0; !done.Load() && !h.Failed(); i++ {
			h.pass()
			f := Frontend{netip.AddrPortFrom(vip(i%worldVIPs, false), 81), clustermesh.UDP, Sockets}
			var owner int
			var err error
			allowed := h.claims[reach{f, worldPod}].during(func() { owner, err = dial(p, f.Address) })
			switch {
			case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EPERM):
				refused.Add(1) // no backend, no service, or not for pods
			case err != nil:
				h.Errorf("%v: %v", f, err)
			case allowed&(1<<owner) == 0:
				h.Errorf("%v led to a backend of s%d; wanted by %b", f, owner, allowed)
			default:
				reached.Add(1)
			}
		}
	})
	return func() {
		done.Store(true)
		running.Wait()
		h.Logf("%d connections reached a backend, %d were refused", reached.Load(), refused.Load())
		if reached.Load() == 0 {
			h.Error("no connection reached a backend")
		}
	}
}

// dial connects a datagram socket and returns the service whose backend answers.
func dial(p *bpftest.Place, to netip.AddrPort) (service int, err error) {
	fd, err := p.NewSocket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, bpftest.Sockaddr(to, false)); err != nil {
		return 0, err
	}
	if _, err := unix.Write(fd, []byte("?")); err != nil {
		return 0, err
	}
	answer, _, err := bpftest.Receive(fd)
	if err != nil {
		return 0, err
	}
	return serviceOf(netip.AddrFrom4([4]byte([]byte(answer)))), nil
}
