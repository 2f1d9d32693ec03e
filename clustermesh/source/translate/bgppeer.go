package translate

import (
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tombolo.io/tombolo/api/v1alpha1"
	"tombolo.io/tombolo/clustermesh"
)

// Defaults of a BGPPeer, those of its schema.
const (
	defaultBGPPort      = 179
	defaultHoldTime     = 9 * time.Second
	defaultConnectRetry = time.Second
	defaultRestartTime  = 120 * time.Second
)

// BGPPeer translates a BGPPeer.
func BGPPeer(p *v1alpha1.BGPPeer) (*clustermesh.BGPPeer, error) {
	c := &checker{}
	c.name(&p.ObjectMeta, false)
	spec := &p.Spec
	out := &clustermesh.BGPPeer{
		Name:         p.Name,
		Address:      c.router(spec),
		Port:         defaultBGPPort,
		ASN:          c.asn("spec.asn", spec.ASN),
		LocalASN:     c.asn("spec.localASN", spec.LocalASN),
		Interface:    spec.Interface,
		PasswordFile: string(spec.PasswordFile),
		Multihop:     between[uint8](c, "spec.multihop", int64(spec.Multihop), 0, 255),
		NodeSelector: c.selector("spec.nodeSelector", spec.NodeSelector),
		Families:     c.families(spec.Families),
	}
	c.device("spec.interface", spec.Interface)
	if spec.PasswordFile != "" {
		c.file("spec.passwordFile", spec.PasswordFile)
	}
	if spec.Port != nil {
		out.Port = between[uint16](c, "spec.port", int64(*spec.Port), 1, 65535)
	}
	c.timers(spec, out)
	c.valid(out)
	if err := c.err(); err != nil {
		return nil, err
	}
	return out, nil
}

// timers reads the times of a session.
func (c *checker) timers(spec *v1alpha1.BGPPeerSpec, out *clustermesh.BGPPeer) {
	// RFC 4271, 4.2: a hold time is at least three seconds. Zero, "never", would
	// keep a dead session for good and is refused here.
	out.HoldTime = c.seconds("spec.holdTime", spec.HoldTime, defaultHoldTime, 3, 65535)
	// RFC 4271, 4.4: a third of it is the most that is reasonable between two.
	out.Keepalive = c.seconds("spec.keepalive", spec.Keepalive, out.HoldTime/3, 1, 21845)
	if out.Keepalive*3 > out.HoldTime && out.HoldTime > 0 {
		c.wrong("spec.keepalive", "%v is more than a third of the hold time, %v; shorten it, raise holdTime, or leave it out", out.Keepalive, out.HoldTime)
	}
	out.ConnectRetry = c.seconds("spec.connectRetry", spec.ConnectRetry, defaultConnectRetry, 1, 3600)
	// RFC 4724, 3: twelve bits of seconds.
	out.RestartTime = c.seconds("spec.restartTime", spec.RestartTime, defaultRestartTime, 1, 4095)
}

// router reads the address of the router.
func (c *checker) router(spec *v1alpha1.BGPPeerSpec) netip.Addr {
	a, ok := c.addr("spec.address", spec.Address)
	switch {
	case !ok:
	case strings.Contains(spec.Address, ":") && a.Is4():
		c.wrong("spec.address", "%q is IPv4 and must be written so: %s", spec.Address, a)
	case a == broadcast:
		c.wrong("spec.address", "%q is not the address of one host, such as 10.1.2.3 or fd00::1", spec.Address)
	case a.IsLinkLocalUnicast() && spec.Interface == "":
		c.wrong("spec.interface", "is missing; the link-local address %s needs it", a)
	}
	return a
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// asn reads the number of an autonomous system that is not reserved.
func (c *checker) asn(path string, n v1alpha1.ASN) uint32 {
	switch n {
	case 23456, 65535, math.MaxUint32: // RFC 6793 (AS_TRANS), RFC 7300
		c.wrong(path, "%d is reserved; private ones are 64512 to 65534 and 4200000000 to 4294967294", n)
		return 0
	}
	return between[uint32](c, path, int64(n), 1, math.MaxUint32)
}

// device checks the name of a network device, if there is one: IFNAMSIZ leaves
// 15 bytes, and the kernel refuses these names and characters.
func (c *checker) device(path, name string) {
	if len(name) > 15 || name == "." || name == ".." || strings.ContainsAny(name, "/: \t\n\v\f\r\x00") {
		c.wrong(path, "%q is not the name of a network device: at most 15 bytes, without '/', ':' and spaces", name)
	}
}

// seconds reads a time of whole seconds within bounds.
func (c *checker) seconds(path string, s *v1alpha1.Seconds, otherwise time.Duration, lo, hi int) time.Duration {
	if s == nil {
		return otherwise.Truncate(time.Second)
	}
	d, err := s.Duration()
	if err != nil {
		c.wrong(path, "%v", err)
		return 0
	}
	if d < time.Duration(lo)*time.Second || d > time.Duration(hi)*time.Second {
		c.wrong(path, "%s is not between %ds and %ds", *s, lo, hi)
		return 0
	}
	return d
}

// families reads address families; those that are not given are both.
func (c *checker) families(in []v1alpha1.Family) []clustermesh.Family {
	if in == nil {
		return []clustermesh.Family{clustermesh.IPv4Unicast, clustermesh.IPv6Unicast}
	}
	if len(in) == 0 {
		c.wrong("spec.families", "is empty; name ipv4, ipv6 or both, or remove it")
	}
	var out []clustermesh.Family
	for i, f := range in {
		switch f {
		case v1alpha1.IPv4:
			out = append(out, clustermesh.IPv4Unicast)
		case v1alpha1.IPv6:
			out = append(out, clustermesh.IPv6Unicast)
		default:
			c.wrong(at("spec.families", i), "%q is not ipv4 or ipv6", f)
		}
	}
	once(c, "spec.families", in)
	slices.Sort(out)
	return out
}
