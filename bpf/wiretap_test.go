package bpf

import (
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/bpf/bpftest"
)

// newWireCity returns a city of which XDP leads packets, over devices that do as if they
// had wires.
func newWireCity(t *testing.T, mode XDP) *city {
	t.Helper()
	c := newCity(t, PacketsConfig{XDP: mode})
	c.client.Wired(t, "eth0")
	c.remote.Wired(t, "eth0")
	c.router.Wired(t, "eth0")
	return c
}

// attaches attaches to the uplink, and returns how.
func (r *road) attaches(t *testing.T) Uplink {
	t.Helper()
	var uplinks []Uplink
	if err := r.ns.Do(func() (err error) { uplinks, err = r.Packets.Attach([]string{"eth0"}); return err }); err != nil {
		t.Fatal(err)
	}
	if len(uplinks) != 1 || uplinks[0].Err != nil {
		t.Fatalf("attached: %+v", uplinks)
	}
	return uplinks[0]
}

// xdpOf returns the number of the program that a device has there, 0 for none, and the
// kernel's word for how.
func (r *road) xdpOf(t *testing.T) (program, mode uint32) {
	t.Helper()
	if err := r.ns.Do(func() error {
		l, err := netlink.LinkByName("eth0")
		if err == nil && l.Attrs().Xdp != nil && l.Attrs().Xdp.Attached {
			program, mode = l.Attrs().Xdp.ProgId, l.Attrs().Xdp.AttachMode
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return program, mode
}

// Real connections and datagrams, of which XDP leads what goes on.
func TestWireTraffic(t *testing.T) {
	for _, mode := range []XDP{XDPNative, XDPGeneric} {
		t.Run(string(mode), func(t *testing.T) {
			c := newWireCity(t, mode)
			if u := c.attaches(t); u.XDP != string(mode) || u.XDPErr != nil {
				t.Fatalf("attached: %+v", u)
			}
			c.traffic(t)
			if n := c.counts(t); n.XDP < 50 {
				t.Errorf("XDP led %d packets: %+v", n.XDP, n)
			}
		})
	}
}

// A connection lives on while the programs are swapped, while no process has them, and
// while XDP comes and goes.
func TestWireTakeOver(t *testing.T) {
	c := newWireCity(t, XDPNative)
	f := families[1]
	echoes(t, c.remote, netip.AddrPortFrom(f.remote, pod))
	conn, err := dial(t, c.client, "tcp", netip.AddrPortFrom(f.service, elsewhere))
	if err != nil {
		t.Fatal(err)
	}
	says(t, conn, []byte("hello"))
	echo := func(when string) {
		t.Helper()
		b := make([]byte, 5)
		conn.SetDeadline(time.Now().Add(patience)) // loading may take long
		for range 10 {
			if _, err := conn.Write([]byte("again")); err != nil {
				t.Fatalf("%s: %v", when, err)
			}
			if _, err := io.ReadFull(conn, b); err != nil {
				t.Fatalf("%s: %v", when, err)
			}
		}
	}
	echo("at first")
	old, _ := c.xdpOf(t)
	if err := c.Packets.Close(); err != nil {
		t.Fatal(err)
	}
	echo("without a process")
	for _, row := range []struct {
		mode XDP
		want uint32 // the kernel's word
	}{{XDPNative, 1}, {XDPGeneric, 2}, {XDPNative, 1}, {XDPAuto, 0}, {XDPNative, 1}, {XDPOff, 0}} {
		c.load(t, PacketsConfig{XDP: row.mode})
		u := c.attaches(t)
		now, mode := c.xdpOf(t)
		if mode != row.want || now == old || u.XDP == "" && now != 0 {
			t.Errorf("%s: program %d by mode %d, before it was %d; %+v", row.mode, now, mode, old, u)
		}
		if row.mode == XDPAuto && !errors.Is(u.XDPErr, ErrXDPRefused) {
			t.Errorf("one end of a pair: %v", u.XDPErr)
		}
		old = max(now, 1)
		echo(string(row.mode))
		if err := c.Packets.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Where somebody else has XDP, they keep it, are named, and tc leads all packets.
func TestWireTaken(t *testing.T) {
	r := newRoad(t, PacketsConfig{XDP: XDPNative})
	other, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "somebody", Type: ebpf.XDP, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, xdpPass), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var theirs link.Link
	if err := r.ns.Do(func() (err error) {
		theirs, err = link.AttachXDP(link.XDPOptions{Program: other, Interface: r.uplink.Attrs().Index, Flags: link.XDPDriverMode})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.ns.Do(func() error { return UninstallPackets(r.BPFFS) }); err != nil {
			t.Error(err)
		}
	})
	had, _ := r.xdpOf(t)
	u := r.attaches(t)
	if now, _ := r.xdpOf(t); now != had || u.Hook == "" || u.XDP != "" || u.XDPErr == nil || !strings.Contains(u.XDPErr.Error(), "somebody") {
		t.Errorf("program %d, before %d; %+v", now, had, u)
	}
	theirs.Close()
	if u := r.attaches(t); u.XDP != "" {
		t.Errorf("at once after it failed: %+v", u)
	}
	for index, f := range r.wires.failed {
		f.at = f.at.Add(-wireRetry)
		r.wires.failed[index] = f
	}
	if u := r.attaches(t); u.XDP != string(XDPNative) {
		t.Errorf("after they left: %+v", u)
	}
	r.Packets.Close()
	if err := r.ns.Do(func() error { return UninstallPackets(r.BPFFS) }); err != nil {
		t.Error(err)
	}
	if now, _ := r.xdpOf(t); now != 0 {
		t.Errorf("program %d after removal", now)
	}
}

// A frame leaves by another device where that has the program too, with its addresses.
func TestWireToAnotherDevice(t *testing.T) {
	r := newWire(t)
	f := families[0]
	there := bpftest.NewNet(t)
	r.ns.Wire(t, "eth1", there, "eth0")
	gateway := netip.MustParseAddr("192.0.3.254")
	r.ns.Address(t, "eth1", netip.PrefixFrom(netip.MustParseAddr("192.0.3.1"), 24))
	r.ns.Neighbour(t, "eth1", gateway, someMAC)
	r.ns.Unroute(t, f.networks[1], f.gateway)
	r.ns.Route(t, f.networks[1], gateway)
	in := r.converses(t, f, unix.IPPROTO_TCP, 42400)
	b := r.toUplink(in)
	if verdict, _ := r.arrives(t, b); verdict != xdpPass {
		t.Errorf("verdict %d while eth1 has no program", verdict)
	}
	var eth1 netlink.Link
	if err := r.ns.Do(func() (err error) { eth1, err = netlink.LinkByName("eth1"); return err }); err != nil {
		t.Fatal(err)
	}
	for _, l := range []netlink.Link{r.uplink, eth1} {
		if err := r.wires.wires.Put(uint32(l.Attrs().Index), wireOf(l.Attrs().HardwareAddr)); err != nil {
			t.Fatal(err)
		}
	}
	verdict, out := r.arrives(t, b)
	if verdict != xdpRedirect || string(out[:6]) != string(someMAC) || string(out[6:12]) != string(eth1.Attrs().HardwareAddr) {
		t.Errorf("verdict %d, % x", verdict, out[:14])
	}
	b[5]++
	if verdict, _ := r.arrives(t, b); verdict != xdpPass {
		t.Errorf("verdict %d for another station", verdict)
	}
}

// A device that cannot be asked what it is like keeps what it has, as this process's program;
// what is refused has none.
func TestWireKeepsWhatItCannotAsk(t *testing.T) {
	r := newRoad(t, PacketsConfig{XDP: XDPNative})
	r.attaches(t)
	old, _ := r.xdpOf(t)
	r.Packets.Close()
	r.load(t, PacketsConfig{XDP: XDPAuto})
	gone := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: "tombolo-gone", Index: r.uplink.Attrs().Index,
		Xdp: &netlink.LinkXdp{Attached: true, AttachMode: nl.XDP_ATTACHED_DRV}}}
	keep := map[int]string{}
	mode, err := r.wires.attachTo(gone, keep)
	if now, _ := r.xdpOf(t); mode != string(XDPNative) || err != nil || keep[gone.Index] == "" || now == old || now == 0 {
		t.Errorf("mode %q, error %v, kept %v; program %d, before %d", mode, err, keep, now, old)
	}
	never := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: "tombolo-gone", Index: 1 << 20}}
	if mode, err := r.wires.attachTo(never, keep); mode != "" || err == nil || errors.Is(err, ErrXDPRefused) || keep[1<<20] != "" {
		t.Errorf("without a program: mode %q, error %v, kept %v", mode, err, keep)
	}
	for _, device := range []netlink.Link{&netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: "lo", Index: 1}},
		&netlink.Bond{LinkAttrs: netlink.LinkAttrs{Name: "bond0", Index: 1 << 21}}} {
		if mode, err := r.wires.attachTo(device, keep); mode != "" || !errors.Is(err, ErrXDPRefused) || keep[device.Attrs().Index] != "" {
			t.Errorf("of %s: mode %q, error %v, kept %v", device.Attrs().Name, mode, err, keep)
		}
	}
	if err := r.ns.Do(func() error { return errors.Join(r.Packets.Close(), UninstallPackets(r.BPFFS)) }); err != nil {
		t.Error(err)
	}
}

// XDP that is not wanted any more goes when the programs are loaded: nothing waits for it.
func TestWireOff(t *testing.T) {
	r := newRoad(t, PacketsConfig{XDP: XDPNative})
	r.attaches(t)
	r.Packets.Close()
	if err := r.ns.Do(func() error { r.load(t, PacketsConfig{}); return nil }); err != nil {
		t.Fatal(err)
	}
	if now, _ := r.xdpOf(t); now != 0 {
		t.Errorf("program %d", now)
	}
	if err := r.ns.Do(func() error { return errors.Join(r.Packets.Close(), UninstallPackets(r.BPFFS)) }); err != nil {
		t.Error(err)
	}
}

// A device that fails is none to which packets may go.
func TestWireFails(t *testing.T) {
	r := newRoad(t, PacketsConfig{XDP: XDPNative})
	r.attaches(t)
	index := uint32(r.uplink.Attrs().Index)
	var address wireAddress
	if err := r.wires.wires.Lookup(index, &address); err != nil {
		t.Fatal(err)
	}
	r.wires.failed[int(index)] = wireFailure{time.Now(), errors.New("on purpose")}
	if u := r.attaches(t); u.XDP != "" || u.XDPErr == nil {
		t.Errorf("attached: %+v", u)
	}
	if err := r.wires.wires.Lookup(index, &address); !errors.Is(err, ebpf.ErrKeyNotExist) {
		t.Errorf("looking the device up: %v", err)
	}
	if err := r.ns.Do(func() error { return errors.Join(r.Packets.Close(), UninstallPackets(r.BPFFS)) }); err != nil {
		t.Error(err)
	}
}
