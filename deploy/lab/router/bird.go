package router

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
)

// bird needs one process. A node's session is made by its first connection,
// from a template that is bound to the network the node is in.
func bird(c Config) Setup {
	conf, socket := filepath.Join(c.Dir, "bird.conf"), filepath.Join(c.Dir, "bird.ctl")
	return Setup{
		Files: []File{{conf, birdConf(c)}},
		Daemons: []Daemon{{
			Name: "bird", Socket: socket,
			Args: []string{"bird", "-f", "-c", conf, "-s", socket, "-P", filepath.Join(c.Dir, "bird.pid")},
		}},
	}
}

func birdConf(c Config) string {
	var b strings.Builder
	line := func(format string, a ...any) { fmt.Fprintf(&b, format+"\n", a...) }
	line("log stderr { info, warning, error, fatal, bug };")
	line("router id %s;", c.ID)
	line("protocol device { scan time 1; }")
	for _, f := range []string{"ipv4", "ipv6"} {
		line("protocol kernel kernel_%s {", f)
		line("  merge paths on limit 64;")
		line("  %s { import none; export where source = RTS_BGP; };", f)
		line("}")
		line("protocol static networks_%s {", f)
		line("  %s;", f)
		for _, p := range family(c.Networks, f == "ipv4", netip.Prefix.Addr) {
			line("  route %s unreachable;", p)
		}
		line("}")
	}
	// RFC 8326: who is about to leave is the last resort. FRR knows that by itself.
	line("filter heed { if (65535, 0) ~ bgp_community then bgp_local_pref = 0; accept; }")
	line("template bgp session {")
	line("  local as %d port %d;", c.ASN, c.Port)
	line("  graceful restart on;")
	line("  graceful restart time %d;", c.restartSeconds())
	if c.HoldTime != 0 {
		line("  hold time %d;", c.holdSeconds())
	}
	line("  connect delay time 1; connect retry time 1; error wait time 1, 2;")
	line("}")
	for i, p := range c.Nodes {
		birdNodes(line, c, i, p)
	}
	for i, l := range c.Links {
		line("protocol bgp link%d from session {", i)
		line("  source address %s;", l.Local)
		line("  neighbor %s as %d;", l.Remote, l.ASN)
		line("  %s { import filter heed; export all; };", birdFamily(l.Remote))
		line("}")
	}
	return b.String()
}

func birdNodes(line func(string, ...any), c Config, i int, p netip.Prefix) {
	line("protocol bgp nodes%d from session {", i)
	line("  passive on;")
	line("  dynamic name \"nodes%d_\";", i)
	if c.NodeASN != 0 {
		line("  neighbor range %s as %d;", p, c.NodeASN)
	} else {
		line("  neighbor range %s external;", p)
	}
	if c.Password != "" {
		line("  password %q;", c.Password)
	}
	line("  ipv4 { import filter heed; export all; };")
	line("  ipv6 { import filter heed; export all; };")
	line("}")
}

func birdFamily(a netip.Addr) string {
	if a.Is4() {
		return "ipv4"
	}
	return "ipv6"
}
