package packets

import (
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
)

var (
	node4, node6 = netip.MustParseAddr("172.20.1.1"), netip.MustParseAddr("fd00:20:1::1")
	web, idle    = netip.MustParseAddr("203.0.113.17"), netip.MustParseAddr("203.0.113.18")
	inside       = netip.MustParseAddr("10.96.0.90")
)

// service is one as it lies in the maps under a load-balancer IP, with so many backends.
func service(ip netip.Addr, backends int) *loadbalancer.ServiceStatus {
	at := func(a netip.Addr, scope loadbalancer.Scope) loadbalancer.Frontend {
		return loadbalancer.Frontend{Address: netip.AddrPortFrom(a, 80), Protocol: clustermesh.TCP, Scope: scope}
	}
	return &loadbalancer.ServiceStatus{
		Merged: &global.Service{
			Definition: &clustermesh.Service{LoadBalancerIPs: []netip.Addr{ip}},
			Ports: []global.Port{{
				Frontends: []global.Frontend{{Address: ip, Port: 80, Protocol: clustermesh.TCP, Scope: global.External}},
				Primary:   make([]global.Backend, backends),
			}},
		},
		Ports: []loadbalancer.PortStatus{{Frontends: []loadbalancer.Frontend{at(inside, loadbalancer.Sockets), at(ip, loadbalancer.Sockets), at(ip, loadbalancer.Outside)}}},
	}
}

// external is service under an external IP.
func external(ip netip.Addr, backends int) *loadbalancer.ServiceStatus {
	st := service(ip, backends)
	st.Merged.Definition = &clustermesh.Service{ExternalIPs: []netip.Addr{ip}}
	return st
}

func TestOwned(t *testing.T) {
	self := &clustermesh.Node{Name: "n1", Addresses: []netip.Addr{node6, node4}}
	nobody := &clustermesh.Node{Name: "n1"}
	type all = map[netip.Addr]bpf.Owned
	for _, c := range []struct {
		name     string
		node     *clustermesh.Node
		services []*loadbalancer.ServiceStatus
		want     all
	}{
		{"nothing", nobody, nil, all{}},
		{"the node alone", self, nil, all{node4: bpf.NodeAddress, node6: bpf.NodeAddress}},
		{"services", nobody, []*loadbalancer.ServiceStatus{service(web, 1), service(idle, 0)},
			all{web: bpf.ServiceAddress | bpf.Pinged, idle: bpf.ServiceAddress}},
		{"two with one address, of which one serves", nobody, []*loadbalancer.ServiceStatus{service(web, 0), service(web, 1)},
			all{web: bpf.ServiceAddress | bpf.Pinged}},
		{"an external IP", self, []*loadbalancer.ServiceStatus{external(web, 1)},
			all{web: bpf.ServiceAddress | bpf.Pinged | bpf.SharedAddress, node4: bpf.NodeAddress, node6: bpf.NodeAddress}},
		{"an external IP that is another's load-balancer IP", nobody, []*loadbalancer.ServiceStatus{external(web, 0), service(web, 0)},
			all{web: bpf.ServiceAddress}},
		{"a node port", self, []*loadbalancer.ServiceStatus{external(node4, 1)},
			all{node4: bpf.NodeAddress | bpf.ServiceAddress | bpf.SharedAddress | bpf.Pinged, node6: bpf.NodeAddress}},
		{"the node's address", self, []*loadbalancer.ServiceStatus{service(node4, 0)},
			all{node4: bpf.NodeAddress | bpf.ServiceAddress, node6: bpf.NodeAddress}},
	} {
		if got := owned(c.node, "n1", c.services); !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestSources(t *testing.T) {
	more := netip.MustParseAddr("172.20.1.99")
	v4, v6 := sources(&clustermesh.Node{Addresses: []netip.Addr{node6, node4, more}})
	if v4 != node4 || v6 != node6 {
		t.Errorf("got %v and %v", v4, v6)
	}
	if v4, v6 = sources(&clustermesh.Node{Addresses: []netip.Addr{node6}}); v4.IsValid() || v6 != node6 {
		t.Errorf("of one family: %v and %v", v4, v6)
	}
}

func TestRangeOfSockets(t *testing.T) {
	for _, c := range []struct {
		text string
		ok   bool
	}{
		{"32768\t60999\n", true}, {"1024 9999", true}, {"30000 65535", true},
		{"29999 65535", false}, {"1024 10000", false}, {"15000 16000", false}, {"1024 65535", false},
		{"", false}, {"a 1", false}, {"1 a", false},
	} {
		if err := checkRange(c.text, 10000, 20000); (err == nil) != c.ok {
			t.Errorf("%q: %v", c.text, err)
		}
	}
}

func TestForwarding(t *testing.T) {
	for _, c := range []struct {
		v4, v6         string
		asked4, asked6 bool
		ok             bool
	}{
		{"1", "1", true, true, true}, {"1", "0", true, false, true}, {"0", "1", false, true, true},
		{"1", "0", true, true, false}, {"0", "1", true, false, false}, {"1", "", true, true, true},
	} {
		from := t.TempDir()
		for path, value := range map[string]string{"ipv4/ip_forward": c.v4, "ipv6/conf/all/forwarding": c.v6} {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(from, path)), 0o700); err != nil {
				t.Fatal(err)
			}
			if value == "" {
				continue // no such family
			}
			if err := os.WriteFile(filepath.Join(from, path), []byte(value+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := checkForwarding(from, c.asked4, c.asked6); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
