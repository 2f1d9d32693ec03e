package pods

import (
	"net/netip"
	"testing"
)

// TestSilent holds what is said of pods while their source is silent: that those live
// who did, that those ended who did by the kernel's word, and of others nothing, also at
// an address that is another's by what was known.
func TestSilent(t *testing.T) {
	at := netip.MustParseAddr
	f := Finding{
		Pods: map[string]Pod{
			"a":     {UID: "a", Addresses: []netip.Addr{at("10.1.0.1")}},
			"proxy": {UID: "proxy", HostNetwork: true},
		},
		Host:  map[netip.Addr]struct{}{at("192.0.2.1"): {}},
		Ended: map[string][]netip.Addr{"dead": {at("10.1.0.2")}},
	}
	for _, c := range []struct {
		address, uid  string
		heard, silent State
	}{
		{"10.1.0.1", "a", Lives, Lives},
		{"192.0.2.1", "proxy", Lives, Lives},
		{"10.1.0.2", "dead", Ended, Ended},
		{"10.1.0.3", "dead", Ended, Unknown}, // it may have been made anew
		{"10.1.0.4", "new", Ended, Unknown},
		{"10.1.0.1", "new", Reused, Unknown},
		{"192.0.2.1", "new", Ended, Unknown},
		{"10.1.0.5", "a", Ended, Unknown},
	} {
		for silent, want := range map[bool]State{false: c.heard, true: c.silent} {
			f.Silent = silent
			if got := setOf(f).State(at(c.address), c.uid); got != want {
				t.Errorf("silent %v: %s under %s is %v, want %v", silent, c.uid, c.address, got, want)
			}
		}
	}
}
