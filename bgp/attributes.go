package bgp

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"tombolo.io/tombolo/bgp/session"
	"tombolo.io/tombolo/clustermesh"
)

// defaultPort is BGP's (RFC 4271 4.2).
const defaultPort = 179

// configure returns the configuration of a session with a router, or why there
// can be none.
func configure(peer *clustermesh.BGPPeer, password string, leg session.Server) (session.Config, error) {
	conf := session.Config{
		Router: netip.AddrPortFrom(peer.Address, peer.Port), Device: peer.Interface, Password: password,
		ASN: peer.ASN, ConnectRetry: timersOf(peer).retry, TTL: peer.Multihop,
		Server: leg,
		Deaf:   true, // a speaker advertises; what routers know is the kernel's business
	}
	if peer.Port == 0 {
		conf.Router = netip.AddrPortFrom(peer.Address, defaultPort)
	}
	if peer.Address.IsLinkLocalUnicast() && peer.Interface != "" {
		conf.Router = netip.AddrPortFrom(peer.Address.WithZone(peer.Interface), conf.Router.Port())
	}
	if peer.Multihop == 0 && peer.ASN != peer.LocalASN {
		conf.TTL = 1 // an eBGP router is on the link, unless it is said not to be
	}
	if err := conf.Validate(); err != nil {
		return conf, fmt.Errorf("checking BGPPeer %s: %w", peer.Name, err)
	}
	return conf, nil
}

// passwordOf reads a router's MD5 key; it is empty where none is asked for.
// Without a key that is asked for there is no session: one without MD5 is not
// what was wanted.
func passwordOf(peer *clustermesh.BGPPeer) (string, error) {
	if peer.PasswordFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(peer.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("reading the MD5 key of BGPPeer %s: %w", peer.Name, err)
	}
	password := strings.TrimRight(string(text), "\r\n")
	if password == "" {
		return "", fmt.Errorf("reading the MD5 key of BGPPeer %s: %s is empty", peer.Name, peer.PasswordFile)
	}
	return password, nil
}

// freePort returns a port of loopback on which nobody listens at the moment.
func freePort() (netip.AddrPort, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("finding a free port on loopback: %w", err)
	}
	at := l.Addr().(*net.TCPAddr).AddrPort()
	return at, l.Close()
}
