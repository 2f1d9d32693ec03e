package router

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// frrDir is where Debian's package has the daemons.
const frrDir = "/usr/lib/frr"

// frrUser is the user, and the group, that the daemons run as.
const frrUser = "frr"

// frrScratch is where each of the daemons makes a directory, named after itself
// and its process id, that it removes when it ends in order.
const frrScratch = "/var/tmp/frr"

// Forget removes what a daemon left behind that was killed. It is called for
// every process of a router; those that leave nothing are no error.
func Forget(pid int) error {
	left, err := filepath.Glob(filepath.Join(frrScratch, fmt.Sprintf("*.%d", pid)))
	for _, dir := range left {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		return fmt.Errorf("removing what process %d left behind: %w", pid, err)
	}
	return nil
}

// frr needs zebra, which alone writes to the kernel, and bgpd. They leave root
// for their own user, who therefore owns the directory and must be able to
// reach it. Unless it is told that this kernel replaces routes of IPv6, as Linux does since 2015,
// zebra deletes one whose next hops change, and adds it again.
func frr(c Config) Setup {
	zserv := filepath.Join(c.Dir, "zserv.api")
	daemon := func(name, socket string, more ...string) Daemon {
		conf := filepath.Join(c.Dir, name+".conf")
		return Daemon{Name: name, Socket: socket, Args: append([]string{
			filepath.Join(frrDir, name), "-u", frrUser, "-g", frrUser,
			"-f", conf, "-i", filepath.Join(c.Dir, name+".pid"),
			"-z", zserv, "--vty_socket", c.Dir, "-P", "0", "--log", "stdout",
		}, more...)}
	}
	return Setup{
		User: frrUser,
		Files: []File{
			{filepath.Join(c.Dir, "zebra.conf"), "hostname " + c.Name + "\n"},
			{filepath.Join(c.Dir, "bgpd.conf"), frrConf(c)},
		},
		Daemons: []Daemon{
			daemon("zebra", zserv, "--v6-rr-semantics"),
			daemon("bgpd", filepath.Join(c.Dir, "bgpd.vty"), "-p", fmt.Sprint(c.Port)),
		},
	}
}

func frrConf(c Config) string {
	var b strings.Builder
	line := func(format string, a ...any) { fmt.Fprintf(&b, format+"\n", a...) }
	line("hostname %s", c.Name)
	line("router bgp %d", c.ASN)
	line(" bgp router-id %s", c.ID)
	line(" no bgp ebgp-requires-policy")
	line(" no bgp default ipv4-unicast")
	line(" no bgp network import-check")
	line(" bgp bestpath as-path multipath-relax")
	line(" bgp graceful-restart")
	line(" bgp graceful-restart restart-time %d", c.restartSeconds())
	if c.HoldTime != 0 {
		line(" timers bgp %d %d", c.holdSeconds()/3, c.holdSeconds())
	}
	line(" neighbor NODES peer-group")
	if c.NodeASN != 0 {
		line(" neighbor NODES remote-as %d", c.NodeASN)
	} else {
		line(" neighbor NODES remote-as external")
	}
	if c.Password != "" {
		line(" neighbor NODES password %s", c.Password)
	}
	line(" bgp listen limit 5000")
	for _, p := range c.Nodes {
		line(" bgp listen range %s peer-group NODES", p)
	}
	for _, l := range c.Links {
		line(" neighbor %s remote-as %d", l.Remote, l.ASN)
		line(" neighbor %s update-source %s", l.Remote, l.Local)
		line(" neighbor %s timers connect 1", l.Remote)
	}
	frrFamily(line, c, true)
	frrFamily(line, c, false)
	// On a link FRR prefers a neighbour's link-local address as next hop; the
	// other kinds do not, and tests compare.
	line("route-map GLOBAL permit 10")
	line(" set ipv6 next-hop prefer-global")
	return b.String()
}

func frrFamily(line func(string, ...any), c Config, isV4 bool) {
	name := "ipv6"
	if isV4 {
		name = "ipv4"
	}
	line(" address-family %s unicast", name)
	line("  maximum-paths 64")
	for _, p := range family(c.Networks, isV4, netip.Prefix.Addr) {
		line("  network %s", p)
	}
	line("  neighbor NODES activate")
	if !isV4 {
		line("  neighbor NODES route-map GLOBAL in")
	}
	for _, l := range family(c.Links, isV4, func(l Link) netip.Addr { return l.Remote }) {
		line("  neighbor %s activate", l.Remote)
		if !isV4 {
			line("  neighbor %s route-map GLOBAL in", l.Remote)
		}
	}
	line(" exit-address-family")
}
