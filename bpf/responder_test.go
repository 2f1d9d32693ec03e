package bpf

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"tombolo.io/tombolo/bpf/bpftest"
)

// uplinked is a node with an uplink to where an asker is.
type uplinked struct {
	asker, node *bpftest.Net
	bpffs       string
	clsact      bool
	wire        wiring
}

func newUplinked(t *testing.T) *uplinked {
	t.Helper()
	return newUplinkedBy(t, wire)
}

// newUplinkedBy is newUplinked by a wire of some kind.
func newUplinkedBy(t *testing.T, w wiring) *uplinked {
	t.Helper()
	u := &uplinked{asker: bpftest.NewNet(t), node: bpftest.NewNet(t), bpffs: bpftest.MountBPFFS(t), wire: w}
	u.connect(t)
	return u
}

// connect makes the wire between the two, eth0 on the node.
func (u *uplinked) connect(t *testing.T) {
	t.Helper()
	u.wire(t, u.asker, u.node)
	for _, a := range []netip.Addr{asker4, asker6} {
		u.asker.Address(t, "eth0", network(a))
	}
	for _, a := range []netip.Addr{node4, node6} {
		u.node.Address(t, "eth0", network(a))
	}
	for i, p := range podsOf {
		u.asker.Route(t, p, []netip.Addr{node4, node6}[i])
	}
}

// network is an address in a network that asker and node are both in.
func network(a netip.Addr) netip.Prefix {
	if a.Is4() {
		return netip.PrefixFrom(a, 16)
	}
	return netip.PrefixFrom(a, 32)
}

// load loads a responder in the node that knows who asks and what is asked.
func (u *uplinked) load(t *testing.T) *Responder {
	t.Helper()
	r, err := LoadResponder(ResponderConfig{BPFFS: u.bpffs, Clsact: u.clsact})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.SetAskers([]netip.Addr{asker4, asker6}), r.SetLocal([]netip.Addr{node4, node6}, podsOf)); err != nil {
		t.Fatal(err)
	}
	return r
}

// attach attaches in the node.
func (u *uplinked) attach(t *testing.T, r *Responder, devices ...string) []Uplink {
	t.Helper()
	var got []Uplink
	err := u.node.Do(func() (err error) { got, err = r.Attach(devices); return err })
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// patience is how long a test waits for what should be so: on a busy machine
// neighbours are discovered late, and the kernel detaches when it finds the time.
const patience = 10 * time.Second

// until asks until a question has the wanted answer, and returns the last one.
func (u *uplinked) until(t *testing.T, kind ProbeKind, to netip.Addr, wanted func(Probe, error) bool) (Probe, error) {
	t.Helper()
	pause := time.NewTicker(5 * time.Millisecond)
	defer pause.Stop()
	for deadline := time.Now().Add(patience); ; <-pause.C {
		got, err := u.ask(t, kind, to)
		if wanted(got, err) || time.Now().After(deadline) {
			return got, err
		}
	}
}

// ask sends one probe from the asker, and returns what comes back within 0.3 s.
func (u *uplinked) ask(t *testing.T, kind ProbeKind, to netip.Addr) (Probe, error) {
	t.Helper()
	var got Probe
	err := u.asker.Do(func() error {
		family := unix.AF_INET
		if to.Is6() {
			family = unix.AF_INET6
		}
		fd, err := unix.Socket(family, unix.SOCK_DGRAM, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		// The patience of a test for what should come; what should not come is
		// waited for as long.
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 300_000}); err != nil {
			return err
		}
		if err := unix.Connect(fd, bpftest.Sockaddr(netip.AddrPortFrom(to, DefaultProbePort), to.Is6())); err != nil {
			return err
		}
		request := Probe{Kind: kind, Nonce: 5}.Append(nil)
		if _, err := unix.Write(fd, request); err != nil {
			return err
		}
		reply := make([]byte, 2000)
		n, err := unix.Read(fd, reply)
		if err != nil {
			return err
		}
		if n > len(request) {
			t.Errorf("a reply of %d bytes to a request of %d", n, len(request))
		}
		got, err = ParseProbe(reply[:n])
		return err
	})
	return got, err
}

// answers asks for every kind in every family.
func (u *uplinked) answers(t *testing.T, when string, epoch uint64) {
	t.Helper()
	boot, err := ThisBoot()
	if err != nil {
		t.Fatal(err)
	}
	for to, kind := range map[netip.Addr]ProbeKind{node4: ProbeNode, node6: ProbeNode, pod4: ProbePods, pod6: ProbePods} {
		want := Probe{Reply: true, Kind: kind, Nonce: 5, Target: to, BootID: boot, Epoch: epoch}
		got, err := u.until(t, kind, to, func(p Probe, err error) bool { return err == nil && p == want })
		if err != nil || got != want {
			t.Errorf("%s: %v of %v: %+v, %v, want %+v", when, to, kind, got, err, want)
		}
	}
}

func (u *uplinked) silent(t *testing.T, when string) {
	t.Helper()
	for to, kind := range map[netip.Addr]ProbeKind{node4: ProbeNode, pod6: ProbePods} {
		got, err := u.until(t, kind, to, func(_ Probe, err error) bool { return err != nil })
		if err == nil {
			t.Errorf("%s: %v of %v: %+v", when, to, kind, got)
		}
	}
}

// both runs a test with tcx and with clsact.
func both(t *testing.T, test func(*testing.T, *uplinked)) {
	for _, hook := range []string{hookTCX, hookClsact} {
		t.Run(hook, func(t *testing.T) {
			u := newUplinked(t)
			u.clsact = hook == hookClsact
			test(t, u)
		})
	}
}

// The kernel answers over a wire, goes on when its process is gone, answers on
// with the next one, and stops when it is uninstalled.
func TestResponderOutlivesItsProcess(t *testing.T) {
	both(t, func(t *testing.T, u *uplinked) {
		u.silent(t, "before")
		r := u.load(t)
		r.SetEpoch(7)
		if got := u.attach(t, r, "eth0"); got[0].Err != nil {
			t.Fatalf("uplinks: %+v", got)
		}
		u.answers(t, "attached", 7)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		u.answers(t, "without a process", 7)

		r = u.load(t)
		if !r.Restored() || r.Epoch() != 7 {
			t.Errorf("loaded again: restored %v, epoch %d", r.Restored(), r.Epoch())
		}
		r.SetEpoch(8)
		u.answers(t, "loaded again", 8)
		u.attach(t, r, "eth0")
		u.answers(t, "attached again", 8)
		if err := UninstallResponder(u.bpffs); !errors.Is(err, ErrInUse) {
			t.Errorf("uninstalling under a process: %v", err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if err := u.node.Do(func() error { return UninstallResponder(u.bpffs) }); err != nil {
			t.Fatal(err)
		}
		u.silent(t, "uninstalled")
		if _, err := os.Stat(responderRoot(u.bpffs)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("what is pinned: %v", err)
		}
		if n := u.qdiscs(t); n != 0 {
			t.Errorf("%d clsact qdiscs are left", n)
		}
	})
}

func (u *uplinked) qdiscs(t *testing.T) (n int) {
	t.Helper()
	err := u.node.Do(func() error {
		d, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		all, err := netlink.QdiscList(d)
		for _, q := range all {
			if q.Type() == "clsact" {
				n++
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A device that goes and comes back is attached to again; one that is no uplink
// any more is left.
func TestResponderFollowsDevices(t *testing.T) {
	both(t, func(t *testing.T, u *uplinked) {
		r := u.load(t)
		defer r.Close()
		r.SetEpoch(1)
		u.attach(t, r, "eth0")
		u.answers(t, "at first", 1)
		u.node.Remove(t, "eth0")
		if got := u.attach(t, r, "eth0"); got[0].Err == nil || got[0].Hook != "" {
			t.Errorf("without the device: %+v", got)
		}
		u.connect(t)
		u.silent(t, "with a new device")
		u.attach(t, r, "eth0")
		u.answers(t, "after it was attached to", 1)
		u.attach(t, r)
		u.silent(t, "after it was left")
	})
}

// From one way of attaching to the other, as after an upgrade of the kernel or a
// changed flag: nothing is left behind.
func TestResponderChangesHook(t *testing.T) {
	u := newUplinked(t)
	for _, clsact := range []bool{false, true, false} {
		u.clsact = clsact
		r := u.load(t)
		r.SetEpoch(1)
		got := u.attach(t, r, "eth0")
		u.answers(t, got[0].Hook, 1)
		links, err := r.tap.links()
		if err != nil {
			t.Fatal(err)
		}
		if n := u.qdiscs(t); (n == 1) != clsact || (len(links) == 0) != clsact {
			t.Errorf("clsact %v: %d qdiscs, links %v", clsact, n, links)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := u.node.Do(func() error { return UninstallResponder(u.bpffs) }); err != nil {
		t.Fatal(err)
	}
}

// lo and tunnels have no Ethernet header to turn round.
func TestResponderRefusesOtherDevices(t *testing.T) {
	u := newUplinked(t)
	r := u.load(t)
	defer r.Close()
	got := u.attach(t, r, "lo", "eth0", "eth9")
	if !errors.Is(got[0].Err, ErrNoEthernet) || got[1].Err != nil || got[2].Err == nil {
		t.Errorf("uplinks: %+v", got)
	}
	u.answers(t, "on the one that is", r.Epoch())
}

// Programs of others stay where they are, and see what is not ours.
func TestResponderLeavesOthers(t *testing.T) {
	u := newUplinked(t)
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "other", Type: ebpf.SchedCLS, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, int32(dropped)), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer prog.Close()
	err = u.node.Do(func() error {
		d, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		l, err := link.AttachTCX(link.TCXOptions{Interface: d.Attrs().Index, Program: prog, Attach: ebpf.AttachTCXIngress})
		if err == nil {
			t.Cleanup(func() { l.Close() })
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	r := u.load(t)
	// The other drops the neighbour discovery, too.
	u.neighbours(t)
	u.attach(t, r, "eth0")
	u.answers(t, "before another's program", r.Epoch())
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := u.node.Do(func() error { return UninstallResponder(u.bpffs) }); err != nil {
		t.Fatal(err)
	}
	u.silent(t, "uninstalled")
	var ids []ebpf.ProgramID
	err = u.node.Do(func() error {
		d, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		res, err := link.QueryPrograms(link.QueryOptions{Target: d.Attrs().Index, Attach: ebpf.AttachTCXIngress})
		if err == nil {
			for _, p := range res.Programs {
				ids = append(ids, p.ID)
			}
		}
		return err
	})
	info, infoErr := prog.Info()
	if err := errors.Join(err, infoErr); err != nil {
		t.Fatal(err)
	}
	if id, _ := info.ID(); !slices.Equal(ids, []ebpf.ProgramID{id}) {
		t.Errorf("attached are %v, want %d", ids, id)
	}
}

// neighbours tells each end the other's MAC address.
func (u *uplinked) neighbours(t *testing.T) {
	t.Helper()
	macs := map[*bpftest.Net]netlink.Link{}
	for _, n := range []*bpftest.Net{u.asker, u.node} {
		if err := n.Do(func() (err error) { macs[n], err = netlink.LinkByName("eth0"); return err }); err != nil {
			t.Fatal(err)
		}
	}
	err := u.asker.Do(func() error {
		for _, a := range []netip.Addr{node4, node6} {
			err := netlink.NeighSet(&netlink.Neigh{
				LinkIndex: macs[u.asker].Attrs().Index, State: netlink.NUD_PERMANENT,
				IP: a.AsSlice(), HardwareAddr: macs[u.node].Attrs().HardwareAddr,
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
