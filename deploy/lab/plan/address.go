package plan

import "net/netip"

// Addrs is an address of each family.
type Addrs struct {
	IPv4 netip.Addr `json:"ipv4"`
	IPv6 netip.Addr `json:"ipv6"`
}

// List returns both, IPv4 first.
func (a Addrs) List() []netip.Addr { return []netip.Addr{a.IPv4, a.IPv6} }

// in returns the addresses with the lengths of these prefixes.
func (a Addrs) in(n Nets) []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(a.IPv4, n.IPv4.Bits()), netip.PrefixFrom(a.IPv6, n.IPv6.Bits())}
}

// hosts returns the addresses as prefixes of one address.
func (a Addrs) hosts() []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(a.IPv4, 32), netip.PrefixFrom(a.IPv6, 128)}
}

// Nets is a prefix of each family.
type Nets struct {
	IPv4 netip.Prefix `json:"ipv4"`
	IPv6 netip.Prefix `json:"ipv6"`
}

// List returns both, IPv4 first.
func (n Nets) List() []netip.Prefix { return []netip.Prefix{n.IPv4, n.IPv6} }

func nets(v4, v6 string) Nets { return Nets{IPv4: prefix(v4), IPv6: prefix(v6)} }

// Addr returns the addresses whose last byte is host.
func (n Nets) Addr(host uint8) Addrs { return n.addrs(int(host)) }

// addrs sets the last byte: no network of a lab is longer than what leaves
// these hosts their place.
func (n Nets) addrs(host int) Addrs {
	v4 := n.IPv4.Addr().As4()
	v4[3] += byte(host)
	v6 := n.IPv6.Addr().As16()
	v6[15] += byte(host)
	return Addrs{IPv4: netip.AddrFrom4(v4), IPv6: netip.AddrFrom16(v6)}
}
