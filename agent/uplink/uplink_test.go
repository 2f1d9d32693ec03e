package uplink

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/bpf/bpftest"
)

func TestChoose(t *testing.T) {
	own := []netip.Addr{netip.MustParseAddr("172.20.1.1"), netip.MustParseAddr("fd00::1")}
	for _, c := range []struct{ name, devices, want string }{
		{"one device has both", "lo/loopback/127.0.0.1 eth0/172.20.1.1/default", "eth0"},
		{"the addresses on one, the routes through others", "eth1/default eth0/default bond0/fd00::1", "bond0 eth0 eth1"},
		{"the addresses on lo", "lo/loopback/172.20.1.1 eth0/default eth1/default", "eth0 eth1"},
		{"pods' devices are none", "eth0/172.20.1.1 veth1/10.1.0.1 veth2", "eth0"},
		{"what is down is none", "eth0/172.20.1.1/down eth1/default/down", ""},
		{"nothing", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var devices []Device
			for _, text := range strings.Fields(c.devices) {
				parts := strings.Split(text, "/")
				d := Device{Name: parts[0], Up: true}
				for _, p := range parts[1:] {
					switch p {
					case "loopback":
						d.Loopback = true
					case "default":
						d.Default = true
					case "down":
						d.Up = false
					default:
						d.Addresses = append(d.Addresses, netip.MustParseAddr(p))
					}
				}
				devices = append(devices, d)
			}
			if got := strings.Join(Choose(devices, own), " "); got != c.want {
				t.Errorf("uplinks are %q, want %q", got, c.want)
			}
		})
	}
}

func TestKeep(t *testing.T) {
	for _, c := range []struct{ chosen, before, existing, want string }{
		{"eth0", "", "eth0 lo", "eth0"},
		{"", "eth0", "eth0 lo", "eth0"},
		{"", "eth0", "lo", ""},
		{"eth1 eth0", "eth0", "eth0 eth1", "eth0 eth1"},
	} {
		var existing []Device
		for _, name := range strings.Fields(c.existing) {
			existing = append(existing, Device{Name: name})
		}
		got := Keep(strings.Fields(c.chosen), strings.Fields(c.before), existing)
		if !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("chosen %q, before %q, existing %q: %v, want %q", c.chosen, c.before, c.existing, got, c.want)
		}
	}
}

// What the kernel has is surveyed, and a change is heard of.
func TestSurvey(t *testing.T) {
	n := bpftest.NewNet(t)
	own := netip.MustParseAddr("172.20.1.1")
	choose := func() (names []string) {
		if err := n.Do(func() error {
			devices, err := Survey()
			names = Choose(devices, []netip.Addr{own})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return names
	}
	var changed <-chan struct{}
	if err := n.Do(func() (err error) { changed, err = Watch(t.Context()); return err }); err != nil {
		t.Fatal(err)
	}
	heard := func(what string) {
		t.Helper()
		select {
		case <-changed:
		case <-time.After(10 * time.Second):
			t.Errorf("%s: not heard of", what)
		}
	}
	n.Wire(t, "eth0", bpftest.NewNet(t), "peer")
	heard("a device")
	n.Address(t, "eth0", netip.PrefixFrom(own, 24))
	if got := choose(); !slices.Equal(got, []string{"eth0"}) {
		t.Errorf("by the address: %v", got)
	}
	n.Wire(t, "eth1", bpftest.NewNet(t), "peer")
	n.Address(t, "eth1", netip.MustParsePrefix("192.168.7.1/24"))
	n.Address(t, "eth1", netip.MustParsePrefix("fd07::1/64"))
	if got := choose(); !slices.Equal(got, []string{"eth0"}) {
		t.Errorf("without a route: %v", got)
	}
	for _, via := range []string{"192.168.7.2", "fd07::2"} {
		a := netip.MustParseAddr(via)
		everything := netip.PrefixFrom(a, 0).Masked()
		n.Route(t, everything, a)
		if got := choose(); !slices.Equal(got, []string{"eth0", "eth1"}) {
			t.Errorf("by the route via %v: %v", via, got)
		}
		n.Unroute(t, everything, a)
	}
	n.Remove(t, "eth0")
	heard("a device that goes")
	if got := choose(); len(got) > 0 {
		t.Errorf("without any: %v", got)
	}
}
