package session

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Config is one session.
type Config struct {
	// Router is where the router listens; a link-local address has a zone.
	Router netip.AddrPort
	// Source is our address; the kernel chooses one if it is not valid.
	Source netip.Addr
	// Device, if not empty, binds the connection to a network device.
	Device string
	// Password is the key of TCP MD5 (RFC 2385), at most 80 bytes; empty is none.
	Password string
	// TTL of our packets; zero leaves it to the kernel. MinTTL is the least that
	// the router's may have (RFC 5082), zero is any.
	TTL, MinTTL uint8
	// ASN is the router's AS. Ours GoBGP says in its OPEN.
	ASN uint32
	// ConnectRetry is the time between two attempts to connect, 1 s when zero.
	// It is also how long an attempt may take.
	ConnectRetry time.Duration
	// Passive sessions never dial.
	Passive bool
	// Deaf sessions keep the router's routes from GoBGP: of its UPDATEs only the
	// ends of families go through. For who only advertises, what the router
	// reflects would fill memory and logs.
	Deaf bool
	// Incoming delivers connections that the router dialled (see Listener), or is nil.
	Incoming <-chan net.Conn
	// Server is the peer's GoBGP server.
	Server Server
}

// Server is where the GoBGP server of the peer listens on loopback.
type Server struct {
	Addr netip.AddrPort
	// Source is the address that the server knows the peer by.
	Source netip.Addr
	// Password is a random key of TCP MD5: loopback is open to every process
	// of the machine.
	Password string
}

// maxPassword is the longest key of TCP MD5 that Linux takes.
const maxPassword = 80

// Validate reports every mistake of the configuration.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if !c.Router.IsValid() || c.Router.Port() == 0 {
		bad("router %v: want an address and a port", c.Router)
	}
	if a := c.Router.Addr(); a.IsLinkLocalUnicast() && a.Is6() && a.Zone() == "" {
		bad("router %v: a link-local address needs an interface", a)
	}
	if c.Source.IsValid() && c.Source.Is4() != c.Router.Addr().Is4() {
		bad("source %v: want an address of the router's family", c.Source)
	}
	if c.ASN == 0 {
		bad("the router's AS number is missing")
	}
	if len(c.Password) > maxPassword || len(c.Server.Password) > maxPassword {
		bad("a password has at most %d bytes", maxPassword)
	}
	if c.ConnectRetry < 0 {
		bad("connect retry %v is negative", c.ConnectRetry)
	}
	if c.Passive && c.Incoming == nil {
		bad("a passive session has no listener")
	}
	if !c.Server.Addr.Addr().IsLoopback() || c.Server.Addr.Port() == 0 || !c.Server.Source.IsLoopback() {
		bad("GoBGP server %v for %v: want loopback addresses", c.Server.Addr, c.Server.Source)
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	if c.ConnectRetry == 0 {
		c.ConnectRetry = time.Second
	}
	return c
}
