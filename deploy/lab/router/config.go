package router

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"time"
)

// Kind is which software a router runs.
type Kind string

// The kinds.
const (
	Builtin Kind = "builtin"
	FRR     Kind = "frr"
	BIRD    Kind = "bird"
)

// Config is one router, whatever software it runs.
type Config struct {
	// Name is the router's own.
	Name string `json:"name"`
	// Dir holds configuration, sockets and process ids of this router alone.
	// A socket's path has at most 107 bytes.
	Dir string `json:"dir"`
	ASN uint32 `json:"asn"`
	// ID is the BGP identifier, an IPv4 address.
	ID netip.Addr `json:"id"`
	// Port is where it listens, 179 when zero.
	Port uint16 `json:"port,omitempty"`
	// Nodes are the networks whose addresses may open a session. Such a
	// session carries both families.
	Nodes []netip.Prefix `json:"nodes,omitempty"`
	// NodeASN is the AS that nodes must have; zero takes any but the router's.
	NodeASN uint32 `json:"nodeASN,omitempty"`
	// Password is the key of TCP MD5 (RFC 2385) that nodes must have; empty is none.
	Password string `json:"password,omitempty"`
	// Links are sessions with other routers; all that is known goes over them.
	Links []Link `json:"links,omitempty"`
	// Networks are originated by this router.
	Networks []netip.Prefix `json:"networks,omitempty"`
	// RestartTime is what the router announces for its own restart, 120 s when
	// zero. How long it keeps a node's routes is what that node announced.
	RestartTime time.Duration `json:"restartTime,omitempty"`
	// HoldTime is what the router offers: 3 s at least, in whole seconds. Zero leaves it
	// to the implementation.
	HoldTime time.Duration `json:"holdTime,omitempty"`
}

// Link is a session with another router. It carries the family of its
// addresses.
type Link struct {
	ASN    uint32     `json:"asn"`
	Local  netip.Addr `json:"local"`
	Remote netip.Addr `json:"remote"`
}

// Validate reports every mistake of the configuration.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if c.Name == "" {
		bad("router has no name")
	}
	if !filepath.IsAbs(c.Dir) {
		bad("router directory %q is not absolute", c.Dir)
	}
	if c.ASN == 0 {
		bad("router has no AS number")
	}
	if !c.ID.Is4() {
		bad("router id %v is not an IPv4 address", c.ID)
	}
	for _, p := range append(append([]netip.Prefix{}, c.Nodes...), c.Networks...) {
		if !p.IsValid() || p != p.Masked() {
			bad("network %v is not a prefix", p)
		}
	}
	for _, l := range c.Links {
		if l.ASN == 0 || !l.Local.IsValid() || l.Local.Is4() != l.Remote.Is4() || !l.Remote.IsValid() {
			bad("link %v to %v of AS %d: want an AS number and two addresses of one family", l.Local, l.Remote, l.ASN)
		}
	}
	if c.RestartTime < 0 || c.RestartTime > 4095*time.Second {
		bad("restart time %v: want at most 4095s", c.RestartTime)
	}
	if c.HoldTime != 0 && (c.HoldTime < 3*time.Second || c.HoldTime > 65535*time.Second) {
		bad("hold time %v: want 3s to 65535s", c.HoldTime)
	}
	return errors.Join(errs...)
}

// withDefaults fills what was left to this package.
func (c Config) withDefaults() Config {
	if c.Port == 0 {
		c.Port = 179
	}
	if c.RestartTime == 0 {
		c.RestartTime = 120 * time.Second
	}
	return c
}

// holdSeconds is the hold time as BGP has it.
func (c Config) holdSeconds() int { return int(c.HoldTime / time.Second) }

// restartSeconds is the restart time as the configuration files have it.
func (c Config) restartSeconds() int { return int(c.RestartTime / time.Second) }

// family returns what has the IPv4 or the IPv6 family.
func family[T any](all []T, isV4 bool, of func(T) netip.Addr) []T {
	var out []T
	for _, x := range all {
		if of(x).Is4() == isV4 {
			out = append(out, x)
		}
	}
	return out
}
