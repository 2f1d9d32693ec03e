package clustermesh

import (
	"net/netip"
	"time"
)

// BGPPeer is a router with which nodes keep a BGP session.
type BGPPeer struct {
	Name    string
	Address netip.Addr
	// Port is the router's; zero means 179.
	Port uint16
	// ASN is the router's, LocalASN ours.
	ASN, LocalASN uint32
	// Interface binds the session to a device; needed for a link-local address.
	Interface string
	// HoldTime and Keepalive are whole seconds, the former at least 3 (RFC 4271
	// 4.2) and longer than the latter. Zero means the speaker's default, for
	// Keepalive a third of HoldTime; a session that never expires is not offered.
	HoldTime, Keepalive time.Duration
	// ConnectRetry is the time between two attempts to connect; zero means the
	// speaker's default.
	ConnectRetry time.Duration
	// RestartTime is how long the router keeps our routes while the session is
	// down (RFC 4724): whole seconds, 1 to 4095; zero means the speaker's default.
	RestartTime time.Duration
	// PasswordFile holds the key of TCP MD5 (RFC 2385); empty is none.
	PasswordFile string
	// Multihop is the TTL of packets to a router that is not on the link; 0 is direct.
	Multihop uint8
	// NodeSelector picks the nodes that peer.
	NodeSelector Selector
	// Families are those offered; both by default.
	Families []Family
}

// Family is an address family of BGP.
type Family uint8

// The address families.
const (
	IPv4Unicast Family = iota
	IPv6Unicast
)

// BGPAdvertisement says what is advertised, and how.
type BGPAdvertisement struct {
	Name string
	// PodCIDRs advertises the prefixes of the node's pods.
	PodCIDRs bool
	// LoadBalancerIPs advertises the addresses of LoadBalancer services that
	// ServiceSelector picks.
	LoadBalancerIPs bool
	ServiceSelector Selector
	// Peers names the BGPPeers this holds for; empty means all.
	Peers []string
	// NodeSelector picks the nodes that advertise.
	NodeSelector Selector
	// Communities are attached to every path: "65000:1" (RFC 1997),
	// "65000:1:2" (RFC 8092), or a well-known name such as no-export.
	Communities []string
	// LocalPref is sent to iBGP peers; zero leaves it to the default.
	LocalPref uint32
}
