package bgp

import (
	"testing"

	"tombolo.io/tombolo/bgp/session"
)

// A router that does not answer makes the speaker Degraded, not unready: it has
// begun its work.
func TestReady(t *testing.T) {
	for _, c := range []struct {
		status Status
		ready  bool
	}{
		{Status{}, false},
		{Status{Source: "store"}, true},
		{Status{Source: "disk"}, true},
		{Status{Source: "store", Peers: []PeerStatus{{Name: "tor", State: string(session.Connecting), Reason: "no route to host"}}}, true},
	} {
		if err := c.status.Ready(); (err == nil) != c.ready {
			t.Errorf("%+v: %v", c.status, err)
		}
	}
}
