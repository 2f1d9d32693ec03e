package agent

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/agent/health/probe"
	"tombolo.io/tombolo/agent/packets"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/clustermesh"
)

// Forwarding is how packets from outside go to backends on other nodes of the cluster.
type Forwarding string

// The ways, in the words of Cilium. To backends in other clusters they always go by SNAT.
const (
	// SNAT gives them an address of this node, to which the answers come.
	SNAT Forwarding = "snat"
	// DSR sends them as they came, in tunnels: the backend sees the client, and its node
	// answers from the frontend's address ("direct server return").
	DSR Forwarding = "dsr"
	// Hybrid is DSR for TCP and SNAT for UDP.
	Hybrid Forwarding = "hybrid"
)

// direct returns which protocols go in tunnels.
func (f Forwarding) direct() (bpf.Direct, error) {
	switch f {
	case SNAT, "":
		return 0, nil
	case DSR:
		return bpf.DirectTCP | bpf.DirectUDP, nil
	case Hybrid:
		return bpf.DirectTCP, nil
	}
	return 0, fmt.Errorf("--packet-forwarding %q: want %s, %s or %s", f, SNAT, DSR, Hybrid)
}

// takesTunnels says whether this node takes packets of others in tunnels, and sends such.
func (c Config) takesTunnels() bool {
	direct, err := c.Forwarding.direct()
	return err == nil && direct != 0
}

// askTunnels returns what asks other nodes whether tunnels come through; nil where none
// are used.
func (a *Agent) askTunnels() func([]netip.Addr) (packets.Asker, error) {
	if !a.config.takesTunnels() {
		return nil
	}
	return func(sources []netip.Addr) (packets.Asker, error) {
		return probe.Open(probe.Config{Sources: sources, Port: a.config.ProbePort, Tunnel: true})
	}
}

// closedTunnels say to which nodes that answer packets go from this node's address although
// they are to go in tunnels.
func closedTunnels(p *Packets, cluster string, f *Failover, now time.Time) []string {
	if p == nil {
		return nil
	}
	up := map[string]bool{}
	for _, v := range f.Verdicts {
		up[v.Node] = up[v.Node] || v.Cluster == cluster && v.State == clustermesh.VerdictUp
	}
	closed := slices.DeleteFunc(slices.Clone(p.Tunnels), func(t packets.Tunnel) bool {
		return t.Open || now.Sub(t.Since) < settling || !up[t.Node]
	})
	return listed(len(closed), func(i int) string {
		protocol := unix.IPPROTO_IPIP
		if closed[i].Address.Is6() {
			protocol = unix.IPPROTO_IPV6
		}
		return fmt.Sprintf("packets to backends on node %s go from this node's address: probes in tunnels to %v do not come back; its agent is to have --packet-forwarding=%s, and the network to pass IP protocol %d",
			closed[i].Node, closed[i].Address, p.Forwarding, protocol)
	})
}
