package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func config(clusters, nodes, pods int) Config {
	return Config{Lab: "lab", Dir: "/run/tombolo-lab/lab", Clusters: clusters, Nodes: nodes, Pods: pods, Router: "builtin"}
}

func mustNew(t *testing.T, c Config) Plan {
	t.Helper()
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// text writes what a plan gives to one machine, a line each.
func text(p Plan, machine string) string {
	var b strings.Builder
	for _, w := range p.Wires() {
		for _, e := range [][2]End{{w.A, w.B}, {w.B, w.A}} {
			if e[0].Machine == machine {
				fmt.Fprintf(&b, "%s %v -> %s %s %s\n", e[0].Interface, e[0].Addresses, e[1].Machine, e[1].Interface, e[0].Bridge)
			}
		}
	}
	for _, r := range p.Routes() {
		if r.Machine == machine {
			fmt.Fprintf(&b, "route %s via %s dev %s from %s onlink %v metric %d\n", r.Prefix, r.Via, r.Interface, r.Source, r.OnLink, r.Metric)
		}
	}
	return b.String()
}

func TestAddresses(t *testing.T) {
	p := mustNew(t, config(3, 2, 2))
	for machine, want := range map[string]string{
		"east-1": `
eth0 [172.20.1.1/24 fd00:20:1::1/64] -> router-east east-1 
east-1-a [fe80::1/64] -> east-1-a eth0 
east-1-b [fe80::1/64] -> east-1-b eth0 
route 0.0.0.0/0 via 172.20.1.254 dev eth0 from invalid IP onlink false metric 0
route ::/0 via fd00:20:1::fe dev eth0 from invalid IP onlink false metric 0
route 10.1.1.0/24 via invalid IP dev  from invalid IP onlink false metric 0
route fd00:10:1:1::/64 via invalid IP dev  from invalid IP onlink false metric 0
route 10.1.1.10/32 via invalid IP dev east-1-a from 172.20.1.1 onlink false metric 0
route fd00:10:1:1::a/128 via invalid IP dev east-1-a from fd00:20:1::1 onlink false metric 0
route 10.1.1.11/32 via invalid IP dev east-1-b from 172.20.1.1 onlink false metric 0
route fd00:10:1:1::b/128 via invalid IP dev east-1-b from fd00:20:1::1 onlink false metric 0
`,
		"west-2-b": `
eth0 [10.2.2.11/32 fd00:10:2:2::b/128] -> west-2 west-2-b 
route 0.0.0.0/0 via 172.20.2.2 dev eth0 from invalid IP onlink true metric 0
route ::/0 via fe80::1 dev eth0 from invalid IP onlink false metric 0
`,
		"router-west": `
to-east [192.168.100.2/30 fd00:100:1:2::2/64] -> router-east to-west 
west-1 [] -> west-1 eth0 nodes
west-2 [] -> west-2 eth0 nodes
to-north [192.168.102.1/30 fd00:100:2:3::1/64] -> router-north to-west 
client [192.168.2.1/24 fd00:168:2::1/64] -> client west 
`,
		"client": `
east [192.168.1.2/24 fd00:168:1::2/64] -> router-east client 
west [192.168.2.2/24 fd00:168:2::2/64] -> router-west client 
north [192.168.3.2/24 fd00:168:3::2/64] -> router-north client 
route 0.0.0.0/0 via 192.168.1.1 dev east from invalid IP onlink false metric 100
route ::/0 via fd00:168:1::1 dev east from invalid IP onlink false metric 100
route 0.0.0.0/0 via 192.168.2.1 dev west from invalid IP onlink false metric 101
route ::/0 via fd00:168:2::1 dev west from invalid IP onlink false metric 101
route 0.0.0.0/0 via 192.168.3.1 dev north from invalid IP onlink false metric 102
route ::/0 via fd00:168:3::1 dev north from invalid IP onlink false metric 102
`,
	} {
		if got := text(p, machine); got != want[1:] {
			t.Errorf("%s has\n%swant\n%s", machine, got, want[1:])
		}
	}
}

// The largest lab must keep every address, name and prefix apart.
func TestNothingOverlaps(t *testing.T) {
	p := mustNew(t, config(MaxClusters, MaxNodes, MaxPods))
	var routed []netip.Prefix
	for i, c := range p.Clusters {
		routed = append(routed, c.PodCIDR.List()...)
		routed = append(routed, c.NodeCIDR.List()...)
		routed = append(routed, c.LoadBalancerCIDR.List()...)
		routed = append(routed, ClientNet(i+1).List()...)
		for j := range i {
			routed = append(routed, backbone(j, i).List()...)
		}
		for _, n := range c.Nodes {
			if !within(n.PodCIDR, c.PodCIDR) {
				t.Errorf("%s: pods %v are not in %v", n.Name, n.PodCIDR, c.PodCIDR)
			}
			for _, pod := range n.Pods {
				if !n.PodCIDR.IPv4.Contains(pod.Addresses.IPv4) || !n.PodCIDR.IPv6.Contains(pod.Addresses.IPv6) {
					t.Errorf("%s has %v", pod.Name, pod.Addresses)
				}
			}
		}
	}
	routed = append(routed, p.Clusters[0].ServiceCIDR.List()...)
	for i, a := range routed {
		if a != a.Masked() {
			t.Errorf("%v has bits beyond its length", a)
		}
		for _, b := range routed[:i] {
			if a.Overlaps(b) {
				t.Errorf("%v overlaps %v", a, b)
			}
		}
	}
	names, addresses := map[string]bool{}, map[netip.Addr]bool{}
	for _, m := range p.Machines() {
		if names[m.Name] {
			t.Errorf("two machines are named %s", m.Name)
		}
		names[m.Name] = true
		for _, pair := range m.Addresses {
			for _, a := range pair.List() {
				if addresses[a] {
					t.Errorf("%v is given twice, at last to %s", a, m.Name)
				}
				addresses[a] = true
			}
		}
	}
	const longest = 15 // IFNAMSIZ - 1
	devices := map[string]bool{}
	for _, w := range p.Wires() {
		for _, e := range []End{w.A, w.B} {
			if key := e.Machine + " " + e.Interface; len(e.Interface) > longest || devices[key] {
				t.Errorf("device %s: too long or twice", key)
			} else {
				devices[key] = true
			}
		}
	}
}

func within(inner, outer Nets) bool {
	return outer.IPv4.Overlaps(inner.IPv4) && outer.IPv4.Bits() <= inner.IPv4.Bits() &&
		outer.IPv6.Overlaps(inner.IPv6) && outer.IPv6.Bits() <= inner.IPv6.Bits()
}

// A route to a pod of another node may come from BGP alone.
func TestNoRouteToForeignPods(t *testing.T) {
	p := mustNew(t, config(3, 3, 2))
	home := map[netip.Prefix]string{}
	for _, c := range p.Clusters {
		for _, n := range c.Nodes {
			for _, cidr := range n.PodCIDR.List() {
				home[cidr] = n.Name
			}
		}
	}
	for _, r := range p.Routes() {
		for cidr, node := range home {
			if r.Prefix.Bits() > 0 && cidr.Overlaps(r.Prefix) && r.Machine != node {
				t.Errorf("%s has a route to %v, which is of %s", r.Machine, r.Prefix, node)
			}
		}
	}
}

func TestNeighborsAgree(t *testing.T) {
	p := mustNew(t, config(5, 1, 1))
	for _, c := range p.Clusters {
		if len(c.Router.Neighbors) != len(p.Clusters)-1 {
			t.Errorf("%s has %d neighbors", c.Router.Name, len(c.Router.Neighbors))
		}
		for _, n := range c.Router.Neighbors {
			far := p.Clusters[slices.IndexFunc(p.Clusters, func(o Cluster) bool { return o.Router.Name == n.Name })]
			i := slices.IndexFunc(far.Router.Neighbors, func(o Neighbor) bool { return o.Name == c.Router.Name })
			back := far.Router.Neighbors[i]
			if back.Local != n.Remote || back.Remote != n.Local || back.ASN != c.Router.ASN {
				t.Errorf("%s sees %+v, the other end %+v", c.Router.Name, n, back)
			}
		}
	}
}

// What a smaller lab has, a larger one has at the same place.
func TestLargerLabsKeepAddresses(t *testing.T) {
	small, large := mustNew(t, config(2, 2, 1)), mustNew(t, config(4, 3, 2))
	for _, m := range small.Machines() {
		got, err := large.Machine(m.Name)
		if err != nil || got.Addresses[0] != m.Addresses[0] {
			t.Errorf("%s: %v and %v (%v)", m.Name, m.Addresses, got.Addresses, err)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		change func(*Config)
		want   []string
	}{
		{func(c *Config) { c.Lab = "a-b" }, []string{`lab name "a-b"`}},
		{func(c *Config) { c.Lab = "" }, []string{`lab name ""`}},
		{func(c *Config) { c.Clusters = 16 }, []string{"16 clusters: want 1 to 15"}},
		{func(c *Config) { c.Clusters, c.Nodes, c.Pods = 0, 51, 27 }, []string{"0 clusters", "51 nodes", "27 pods"}},
		{func(c *Config) { c.Family, c.Maps = "ipx", "huge" }, []string{`family "ipx": want ipv4 or ipv6`, `maps "huge": want small or default`}},
		{func(c *Config) { c.Password = "se cret" }, []string{"BGP password: want at most 80 letters and digits"}},
		{func(c *Config) { c.Router = "quagga" }, []string{`router "quagga": want builtin, frr or bird`}},
		{func(c *Config) { c.Dir = "lab" }, []string{`state directory "lab"`}},
		{func(c *Config) { c.Dir = "/" + strings.Repeat("d", maxDir) }, []string{"at most 60 bytes"}},
	} {
		config := config(2, 2, 2)
		c.change(&config)
		_, err := New(config)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: error %v, want %q in it", config, err, want)
			}
		}
	}
}

func TestPodsAreInTheirNodesCgroup(t *testing.T) {
	p := mustNew(t, config(1, 1, 1))
	got := map[string]string{}
	for _, m := range p.Machines() {
		got[m.Name] = m.Cgroup()
	}
	for name, want := range map[string]string{
		"east-1": "east-1/system", "east-1-a": "east-1/east-1-a", "router-east": "router-east", "client": "client",
	} {
		if got[name] != want {
			t.Errorf("%s is in %s, want %s", name, got[name], want)
		}
	}
	if _, err := p.Machine("east-9"); err == nil {
		t.Error("found a machine that is not planned")
	}
}
