package bpf

import (
	"fmt"
	"net/netip"
)

// Direct is which packets go to a backend's node as they came, in a tunnel, so that the
// backend sees the client and answers it directly ("direct server return").
type Direct uint8

// The protocols, one or both.
const (
	DirectTCP = Direct(packetDirectFlagsDIRECT_TCP)
	DirectUDP = Direct(packetDirectFlagsDIRECT_UDP)
)

// Tunnel is where a node takes tunnels, in each family; a zero Addr is nowhere.
type Tunnel struct {
	V4, V6 netip.Addr
	// Open4 and Open6: new flows go that way. Those that do stay while the address is
	// known.
	Open4, Open6 bool
}

// SetTunnel says where a node takes tunnels, by its number in Nodes.
func (p *Packets) SetTunnel(node uint32, t Tunnel) error {
	var value packetTunnel
	for _, f := range []struct {
		address netip.Addr
		open    bool
		to      *[4]uint32
		flag    packetTunnelOpen
	}{
		{t.V4, t.Open4, &value.V4.Word, packetTunnelOpenTUNNEL_V4}, {t.V6, t.Open6, &value.V6.Word, packetTunnelOpenTUNNEL_V6},
	} {
		if !f.address.IsValid() {
			continue
		}
		if *f.to = words(f.address); f.open {
			value.Open |= uint32(f.flag)
		}
	}
	if err := p.maps[packetMapTunnels].Put(node, &value); err != nil {
		return fmt.Errorf("setting where node %d takes tunnels: %w", node, err)
	}
	return nil
}
