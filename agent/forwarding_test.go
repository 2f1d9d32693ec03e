package agent

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/agent/packets"
	"tombolo.io/tombolo/clustermesh"
)

// TestClosedTunnels holds that a node is named that answers probes, and none in tunnels;
// not one that is down, of another cluster, or asked only now.
func TestClosedTunnels(t *testing.T) {
	now := time.Unix(1e9, 0)
	before := now.Add(-time.Minute)
	verdict := func(cluster, node string, state clustermesh.VerdictState) health.Verdict {
		return health.Verdict{Verdict: clustermesh.Verdict{Cluster: cluster, Node: node, State: state}}
	}
	f := &Failover{}
	f.Verdicts = []health.Verdict{
		verdict("east", "n2", clustermesh.VerdictUp), verdict("east", "n3", clustermesh.VerdictDown),
		verdict("east", "n4", clustermesh.VerdictUp), verdict("west", "n3", clustermesh.VerdictUp), verdict("east", "n5", clustermesh.VerdictUp),
	}
	way := func(node, address string, open bool, since time.Time) packets.Tunnel {
		return packets.Tunnel{Node: node, Address: netip.MustParseAddr(address), Open: open, Since: since}
	}
	p := &Packets{Forwarding: DSR, Tunnels: []packets.Tunnel{
		way("n2", "172.20.1.2", true, before), way("n2", "fd00:20:1::2", false, before), way("n3", "172.20.1.3", false, before),
		way("n4", "172.20.1.4", false, now), way("n5", "172.20.1.5", false, before),
	}}
	got := closedTunnels(p, "east", f, now)
	if len(got) != 2 || !strings.Contains(got[0], "node n2 ") || !strings.Contains(got[0], "protocol 41") || !strings.Contains(got[1], "node n5 ") || !strings.Contains(got[1], "protocol 4") {
		t.Errorf("%q", got)
	}
	if got := closedTunnels(nil, "east", f, now); got != nil {
		t.Errorf("where no packets are led: %q", got)
	}
}
