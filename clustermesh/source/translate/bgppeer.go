package translate

import (
	"math"
	"net/netip"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"tombolo.io/tombolo/api/v1alpha1"
	"tombolo.io/tombolo/clustermesh"
)

// Defaults of a BGPPeer. The hold time is RFC 4271's (section 10), the restart
// time what routers use.
const (
	defaultBGPPort      = 179
	defaultHoldTime     = 90 * time.Second
	defaultConnectRetry = 5 * time.Second
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
		ASN:          between[uint32](c, "spec.asn", spec.ASN, 1, math.MaxUint32),
		LocalASN:     between[uint32](c, "spec.localASN", spec.LocalASN, 1, math.MaxUint32),
		Interface:    spec.Interface,
		PasswordFile: spec.PasswordFile,
		Multihop:     between[uint8](c, "spec.multihop", int64(spec.Multihop), 0, 255),
		NodeSelector: c.selector("spec.nodeSelector", spec.NodeSelector),
		Families:     c.families(spec.Families),
	}
	if spec.Port != 0 {
		out.Port = between[uint16](c, "spec.port", int64(spec.Port), 1, 65535)
	}
	// RFC 4271, 4.2: a hold time is at least three seconds. Zero, "never", would
	// keep a dead session for good and is refused here.
	out.HoldTime = c.seconds("spec.holdTime", spec.HoldTime, defaultHoldTime, 3, 65535)
	out.Keepalive = c.seconds("spec.keepalive", spec.Keepalive, out.HoldTime/3, 1, 21845)
	if out.Keepalive >= out.HoldTime && out.HoldTime > 0 {
		c.wrong("spec.keepalive", "%v is not shorter than the hold time, %v", out.Keepalive, out.HoldTime)
	}
	out.ConnectRetry = c.seconds("spec.connectRetry", spec.ConnectRetry, defaultConnectRetry, 1, 3600)
	// RFC 4724, 3: twelve bits of seconds.
	out.RestartTime = c.seconds("spec.restartTime", spec.RestartTime, defaultRestartTime, 1, 4095)
	c.valid(out)
	if err := c.err(); err != nil {
		return nil, err
	}
	return out, nil
}

func (c *checker) router(spec *v1alpha1.BGPPeerSpec) netip.Addr {
	a, ok := c.addr("spec.address", spec.Address)
	if ok && a.IsLinkLocalUnicast() && spec.Interface == "" {
		c.wrong("spec.interface", "is missing; the link-local address %s needs it", a)
	}
	return a
}

// seconds reads a duration of whole seconds within bounds.
func (c *checker) seconds(path string, d *metav1.Duration, otherwise time.Duration, lo, hi int) time.Duration {
	if d == nil {
		return otherwise.Truncate(time.Second)
	}
	v := d.Duration
	if v%time.Second != 0 || v < time.Duration(lo)*time.Second || v > time.Duration(hi)*time.Second {
		c.wrong(path, "%v is not a number of whole seconds from %ds to %ds", v, lo, hi)
		return 0
	}
	return v
}

func (c *checker) families(in []v1alpha1.Family) []clustermesh.Family {
	if len(in) == 0 {
		return []clustermesh.Family{clustermesh.IPv4Unicast, clustermesh.IPv6Unicast}
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
	slices.Sort(out)
	return slices.Compact(out)
}
