package gossip

import (
	"context"
	"net"
	"net/netip"
)

// pings is how often a member is asked, each time half a second: with 30 % loss each
// way none is answered by chance in 3 of 100 cases.
const pings = 5

// Where returns where a node of a cluster gossips; it is invalid if the cluster is
// another, this pool does not run, or the node is this one or none of the pool's.
func (p *Pool) Where(cluster, node string) netip.AddrPort {
	r := p.roster.Load()
	if r == nil || p.list.Load() == nil || r.cluster != cluster || node == r.self {
		return netip.AddrPort{}
	}
	return r.members[node].at
}

// Answers reports whether a member answers a datagram, whatever the pool thinks of it.
func (p *Pool) Answers(ctx context.Context, node string) bool {
	for range pings {
		r, list := p.roster.Load(), p.list.Load()
		if r == nil || list == nil || !r.members[node].at.IsValid() || ctx.Err() != nil {
			return false
		}
		if _, err := list.Ping(node, net.UDPAddrFromAddrPort(r.members[node].at)); err == nil {
			return true
		}
	}
	return false
}

// Greeting is how a stream of a cluster's gossip begins (memberlist's label header).
// One that ends behind it is of nobody who is to be refused.
func Greeting(cluster string) []byte {
	return append([]byte{244, byte(len(cluster))}, cluster...)
}
