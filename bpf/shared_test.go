package bpf

import (
	"bytes"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// What comes to an address that services share with others is theirs, as it came, unless
// a service has the port.
func TestPacketShared(t *testing.T) {
	r := newRoad(t, PacketsConfig{})
	owned := map[netip.Addr]Owned{}
	for _, f := range families {
		owned[f.node], owned[f.service] = NodeAddress, ServiceAddress|Pinged|SharedAddress
	}
	if err := r.SetOwned(owned); err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, f family, protocol uint8) {
		in := f.to(elsewhere, protocol)
		checkLed(t, f, in, r.forwards(t, in), false)
		back := r.forwards(t, answers(r.forwards(t, in)))
		if back.from != in.dst || back.dst != in.from {
			t.Errorf("the answer goes from %v to %v", back.from, back.dst)
		}
		strangers := map[string]frame{"a port that no service has": f.to(99, protocol), "another protocol": f.to(80, unix.IPPROTO_GRE)}
		echo := f.to(80, unix.IPPROTO_ICMP)
		echo.payload = []byte{8, 0, 0, 0, 0, 1, 0, 1}
		if !f.service.Is4() {
			echo.protocol, echo.payload[0] = unix.IPPROTO_ICMPV6, 128
		}
		strangers["an echo request"] = echo
		later := f.to(99, unix.IPPROTO_UDP)
		later.id, later.offset = 78, 64
		strangers["a later fragment"] = later
		for name, s := range strangers {
			s.to = [6]byte(r.uplink.Attrs().HardwareAddr)
			b := s.bytes()
			if verdict, out := r.sends(t, r.in.program, bytes.Clone(b)); verdict != passed || !bytes.Equal(b, out) {
				t.Errorf("%s: verdict %d\n% x became\n% x", name, int32(verdict), b, out)
			}
		}
	})
}
