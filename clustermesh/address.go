package clustermesh

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// AddressRequest is what a service of type LoadBalancer says about the
// addresses that pools are to give it.
type AddressRequest struct {
	// Addresses are those that it names, in its order; none leaves the choice to
	// the pools.
	Addresses []netip.Addr
	// Families are those in which it wants an address; none is any one family.
	Families Families
	// Required: of several families it wants all or none.
	Required bool
	// SharingKey lets services with the same key have one address together, as
	// far as their ports differ; empty shares with nobody.
	SharingKey string
	// SharingNamespaces are other namespaces whose services may share, "*" for
	// all. Both sides must allow each other.
	SharingNamespaces []string
}

// AnyNamespace in AddressRequest.SharingNamespaces is every namespace.
const AnyNamespace = "*"

// Bounds of what a service says about addresses.
const (
	maxAddresses         = 64
	maxSharingNamespaces = 64
	maxClaims            = 1000
)

func (r *AddressRequest) check(c *checker) {
	c.addresses("addresses", r.Addresses, maxAddresses)
	if r.Families&^AllFamilies != 0 {
		c.fail("families", uint8(r.Families), "must be IPv4, IPv6 or both")
	}
	c.token("sharing key", r.SharingKey)
	c.count("sharing namespaces", len(r.SharingNamespaces), maxSharingNamespaces)
	for _, ns := range r.SharingNamespaces[:min(len(r.SharingNamespaces), maxSharingNamespaces)] {
		if ns != AnyNamespace {
			c.label("sharing namespaces", ns)
		}
	}
}

// isZero says whether nothing is asked for.
func (r *AddressRequest) isZero() bool {
	return len(r.Addresses)+len(r.SharingNamespaces) == 0 && r.Families == 0 && !r.Required && r.SharingKey == ""
}

// Address is an address of a pool that services of one cluster have or claim,
// or that rests since it was given back. That of a pool with PoolMesh lies in
// export/, so that other clusters see who claims it; any other in private/.
type Address struct {
	Address netip.Addr
	// Pool is the one that it came from, which may have lost it since.
	Pool string
	// Claims are those of services, the oldest first.
	Claims []AddressClaim
	// Released is when the last service that had it gave it back, and Last which
	// that was: it rests then for a while. Zero while a service has it.
	Released time.Time
	Last     ServiceName
}

// AddressClaim says that a service has an address, or wants it.
type AddressClaim struct {
	Service ServiceName
	// Since is when it began to claim; the older claim has the address.
	Since time.Time
	// Created is the service's, which decides between claims of the same time.
	Created time.Time
	// Holds: the service has the address.
	Holds bool
	// Named: the service asked for this address, and not for any of a pool.
	Named bool
	// SharingKey, SharingNamespaces and Ports are the service's, and Exclusive
	// that it can share with nobody: they say who may have the address besides.
	SharingKey        string
	SharingNamespaces []string
	Exclusive         bool
	Ports             []ClaimedPort
}

// ClaimedPort is a port of a claim.
type ClaimedPort struct {
	Protocol Protocol
	Port     uint16
}

// Compare is negative if c is older than d.
func (c *AddressClaim) Compare(d *AddressClaim) int {
	return cmp.Or(c.Since.Compare(d.Since), Age{c.Created, c.Service}.Compare(Age{d.Created, d.Service}))
}

// Shares says why two services cannot have one address together, or nothing.
func (c *AddressClaim) Shares(d *AddressClaim) (whyNot string) {
	switch {
	case c.SharingKey == "" || c.SharingKey != d.SharingKey:
		return "they have no sharing key in common"
	case !c.lets(d.Service.Namespace) || !d.lets(c.Service.Namespace):
		return "they do not let each other's namespace share"
	case c.Exclusive || d.Exclusive:
		return "externalTrafficPolicy Local does not share"
	}
	for _, p := range c.Ports {
		if slices.Contains(d.Ports, p) {
			return "they have a port in common"
		}
	}
	return ""
}

// lets says whether services of a namespace may share.
func (c *AddressClaim) lets(namespace string) bool {
	return namespace == c.Service.Namespace || slices.Contains(c.SharingNamespaces, namespace) ||
		slices.Contains(c.SharingNamespaces, AnyNamespace)
}

func (a *Address) check(c *checker) {
	c.address("address", a.Address)
	if a.Pool != "" {
		c.subdomain("pool", a.Pool)
	}
	if len(a.Claims) == 0 && a.Released.IsZero() {
		c.fail("released", a.Released, "must be given where there is no claim")
	}
	if !a.Released.IsZero() {
		c.enter("last", -1)
		a.Last.check(c)
		c.leave()
	}
	c.count("claims", len(a.Claims), maxClaims)
	for i := range a.Claims[:min(len(a.Claims), maxClaims)] {
		c.enter("claims", i)
		a.Claims[i].check(c)
		if i > 0 && a.Claims[i-1].Compare(&a.Claims[i]) >= 0 {
			c.fail("since", a.Claims[i].Since, "must be in the order of age, each service once")
		}
		c.leave()
	}
}

func (a *AddressClaim) check(c *checker) {
	c.enter("service", -1)
	a.Service.check(c)
	c.leave()
	if a.Since.IsZero() {
		c.fail("since", a.Since, "must not be empty")
	}
	r := AddressRequest{SharingKey: a.SharingKey, SharingNamespaces: a.SharingNamespaces}
	r.check(c)
	c.count("ports", len(a.Ports), maxPorts)
	for _, p := range a.Ports[:min(len(a.Ports), maxPorts)] {
		c.protocol(p.Protocol)
		c.nonZero("port", p.Port)
	}
}
