//go:build vm

package bpf

import (
	"testing"

	"tombolo.io/tombolo/bpf/bpftest"
)

// tagged is a wiring whose eth0 is VLAN 10 on the device trunk.
func tagged(t *testing.T, here, there *bpftest.Net) {
	t.Helper()
	here.Wire(t, "trunk", there, "trunk")
	for _, n := range []*bpftest.Net{here, there} {
		n.VLAN(t, "trunk", "eth0", 10)
	}
}

// Packets are led on the device of a VLAN as on any other.
func TestPacketTrafficOfAVLAN(t *testing.T) {
	newCityOn(t, newRoadBy(t, PacketsConfig{}, tagged)).traffic(t)
}

// The frames of a VLAN on its trunk are not those of the trunk: nothing happens to them
// where the trunk is an uplink, and all that should where the VLAN's device is, or both.
func TestResponderOnVLAN(t *testing.T) {
	u := newUplinkedBy(t, tagged)
	r := u.load(t)
	defer r.Close()
	r.SetEpoch(3)
	u.attach(t, r, "trunk")
	u.silent(t, "on the trunk alone")
	u.attach(t, r, "trunk", "eth0")
	u.answers(t, "on both", 3)
	u.attach(t, r, "eth0")
	u.answers(t, "on the VLAN's device", 3)
}
