package clustermesh

import (
	"net/netip"
	"strings"
	"time"
)

// maxValues bounds the lists of BGP objects and selectors.
const maxValues = 256

func (p *BGPPeer) check(c *checker) {
	c.subdomain("name", p.Name)
	p.checkAddress(c)
	c.asn("ASN", p.ASN)
	c.asn("local ASN", p.LocalASN)
	p.checkTimers(c)
	if p.PasswordFile != "" {
		c.absolute("password file", p.PasswordFile)
	}
	c.selector("node selector", p.NodeSelector)
	c.count("families", len(p.Families), 2)
	for _, f := range p.Families {
		atMost(c, "families", f, IPv6Unicast)
	}
	distinct(c, "families", p.Families[:min(len(p.Families), 2)])
}

func (p *BGPPeer) checkAddress(c *checker) {
	a := p.Address
	switch {
	case !a.IsValid(), a.Is4In6(), a.Zone() != "", a.IsUnspecified(), a.IsMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		c.fail("address", a, "must be one machine's IPv4 or IPv6 address, without a zone")
	case a.IsLinkLocalUnicast() && p.Interface == "":
		c.fail("interface", p.Interface, "must be given with a link-local address")
	}
	// IFNAMSIZ leaves 15 bytes; the kernel refuses these names and characters.
	if n := p.Interface; len(n) > 15 || n == "." || n == ".." || strings.ContainsAny(n, "/: \t\n\v\f\r\x00") {
		c.fail("interface", n, "must be the name of a network device")
	}
}

// asn checks the number of an autonomous system.
func (c *checker) asn(field string, n uint32) {
	switch n {
	case 0, 23456, 65535, 1<<32 - 1: // RFC 7607, RFC 6793 (AS_TRANS), RFC 7300
		c.fail(field, n, "must not be a reserved number")
	}
}

func (p *BGPPeer) checkTimers(c *checker) {
	const longest = 65535 * time.Second
	c.seconds("hold time", p.HoldTime, 3*time.Second, longest)
	c.seconds("keepalive", p.Keepalive, time.Second, longest)
	if p.HoldTime != 0 && p.Keepalive >= p.HoldTime {
		c.fail("keepalive", p.Keepalive, "must be shorter than the hold time, %s", p.HoldTime)
	}
	if d := p.ConnectRetry; d < 0 || d > time.Hour {
		c.fail("connect retry", d, "must be at most an hour")
	}
	c.seconds("restart time", p.RestartTime, time.Second, 4095*time.Second)
}

func (a *BGPAdvertisement) check(c *checker) {
	c.subdomain("name", a.Name)
	c.selector("service selector", a.ServiceSelector)
	c.selector("node selector", a.NodeSelector)
	c.count("peers", len(a.Peers), maxValues)
	peers := a.Peers[:min(len(a.Peers), maxValues)]
	for _, p := range peers {
		c.subdomain("peers", p)
	}
	distinct(c, "peers", peers)
	c.count("communities", len(a.Communities), maxValues)
	communities := a.Communities[:min(len(a.Communities), maxValues)]
	for _, s := range communities {
		if _, err := ParseCommunity(s); err != nil {
			c.fail("communities", s, "must be A:B (16 bits each), A:B:C (32 bits each) or a well-known name")
		}
	}
	distinct(c, "communities", communities)
}

func (c *checker) selector(field string, s Selector) {
	c.enter(field, -1)
	defer c.leave()
	c.labels("labels", s.MatchLabels)
	c.count("expressions", len(s.MatchExpressions), maxValues)
	for i, r := range s.MatchExpressions[:min(len(s.MatchExpressions), maxValues)] {
		c.enter("expressions", i)
		r.check(c)
		c.leave()
	}
}

func (r Requirement) check(c *checker) {
	if !isQualified(r.Key) {
		c.fail("key", r.Key, "must be a qualified name")
	}
	c.count("values", len(r.Values), maxValues)
	for _, v := range r.Values[:min(len(r.Values), maxValues)] {
		c.value("values", v)
	}
	switch r.Operator {
	case OpIn, OpNotIn:
		if len(r.Values) == 0 {
			c.fail("values", r.Values, "must not be empty with %s", r.Operator)
		}
	case OpExists, OpDoesNotExist:
		if len(r.Values) > 0 {
			c.fail("values", r.Values, "must be empty with %s", r.Operator)
		}
	default:
		c.fail("operator", string(r.Operator), "must be In, NotIn, Exists or DoesNotExist")
	}
}
