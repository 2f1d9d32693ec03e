package bgp

import (
	"errors"
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

// Values that do not decode are named by their keys, the first few of them.
func TestUnread(t *testing.T) {
	invalid := map[string]error{}
	for _, key := range []string{"g", "b", "a", "c", "f", "d", "e"} {
		invalid[key] = errors.New("not protobuf")
	}
	got := unread(invalid)
	if len(got) != maxReasons+1 || got[0] != "a value in etcd is not used: a: not protobuf" || got[maxReasons] != "and 2 more values in etcd" {
		t.Errorf("%q", got)
	}
	if got := unread(nil); len(got) != 0 {
		t.Errorf("%q", got)
	}
}
