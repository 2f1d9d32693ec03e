package translate

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"tombolo.io/tombolo/api/v1alpha1"
	"tombolo.io/tombolo/clustermesh"
)

// maxPoolAddresses bounds the list of a pool, as the schema does.
const maxPoolAddresses = 64

// AddressPool translates an AddressPool.
func AddressPool(p *v1alpha1.AddressPool) (*clustermesh.Pool, error) {
	c := &checker{}
	c.name(&p.ObjectMeta, false)
	spec := &p.Spec
	out := &clustermesh.Pool{
		Name:              p.Name,
		Created:           p.CreationTimestamp.UTC().Truncate(time.Second),
		ServiceSelector:   c.selector("spec.serviceSelector", spec.ServiceSelector),
		NamespaceSelector: c.selector("spec.namespaceSelector", spec.NamespaceSelector),
		AvoidBuggy:        spec.AvoidBuggyIPs,
		Scope:             c.poolScope(spec.Scope),
	}
	out.AutoAssign = out.Scope == clustermesh.PoolCluster
	if a := spec.AutoAssign; a != nil {
		out.AutoAssign = *a
	}
	if out.AutoAssign && out.Scope == clustermesh.PoolMesh {
		c.wrong("spec.autoAssign", "cannot be true with scope mesh, where users name the addresses: remove it")
	}
	if len(spec.Addresses) == 0 {
		c.wrong("spec.addresses", "is empty; name at least one CIDR or range, such as 192.0.2.0/24")
	}
	c.atMost("spec.addresses", len(spec.Addresses), maxPoolAddresses)
	var ranges []clustermesh.AddrRange
	for i, s := range spec.Addresses {
		if r, ok := c.addresses(at("spec.addresses", i), string(s)); ok {
			ranges = append(ranges, r)
		}
	}
	out.Ranges = clustermesh.JoinRanges(ranges)
	c.valid(out)
	if err := c.err(); err != nil {
		return nil, err
	}
	return out, nil
}

func (c *checker) poolScope(s *v1alpha1.PoolScope) clustermesh.PoolScope {
	switch {
	case s == nil || *s == v1alpha1.ScopeCluster:
		return clustermesh.PoolCluster
	case *s == v1alpha1.ScopeMesh:
		return clustermesh.PoolMesh
	}
	c.wrong("spec.scope", "%q is not cluster or mesh", *s)
	return clustermesh.PoolCluster
}

// reserved are the networks into which no pool may reach, as in the schema.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/3"), netip.MustParsePrefix("::/8"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("ff00::/8"),
}

const notReserved = "%q must not reach into loopback, link-local, multicast or reserved addresses"

// addresses reads a CIDR or a range.
func (c *checker) addresses(path, s string) (r clustermesh.AddrRange, ok bool) {
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return c.addressRange(path, s)
	}
	switch {
	case p != p.Masked():
		c.wrong(path, "%q has bits set behind its length; %s was meant?", s, p.Masked())
	case slices.ContainsFunc(reserved, p.Overlaps):
		c.wrong(path, notReserved, s)
	default:
		return clustermesh.Range(p), true
	}
	return r, false
}

// rangeForm is how a range is written: without spaces, and IPv6 without IPv4.
var rangeForm = regexp.MustCompile(`^([0-9.]+-[0-9.]+|[0-9A-Fa-f:]+-[0-9A-Fa-f:]+)$`)

// addressRange reads a range. The schema cannot compare addresses of more than
// one block of this size.
func (c *checker) addressRange(path, s string) (r clustermesh.AddrRange, ok bool) {
	first, last, _ := strings.Cut(s, "-")
	var errs [2]error
	r.First, errs[0] = netip.ParseAddr(first)
	r.Last, errs[1] = netip.ParseAddr(last)
	if !rangeForm.MatchString(s) || errs[0] != nil || errs[1] != nil || r.First.Is4In6() || r.Last.Is4In6() {
		c.wrong(path, "%q is not a CIDR or a range, such as 192.0.2.0/24, 2001:db8::/112 or 192.0.2.10-192.0.2.20; one address is 192.0.2.1/32", s)
		return r, false
	}
	bits := 16
	if r.First.Is6() {
		bits = 112
	}
	within := func(p netip.Prefix) bool { return p.Contains(r.First) }
	switch block := netip.PrefixFrom(r.First, bits); {
	case r.Last.Less(r.First), !block.Masked().Contains(r.Last):
		c.wrong(path, "%q does not lead from a first to a last address of one /16 (IPv4) or /112 (IPv6): turn it round, or write larger blocks as CIDRs", s)
	case slices.ContainsFunc(reserved, within):
		c.wrong(path, notReserved, s)
	default:
		return r, true
	}
	return r, false
}
