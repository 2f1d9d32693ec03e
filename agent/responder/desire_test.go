package responder

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/etcd"
)

// mesh makes events of a text: "east: n1=172.20.1.1 synced" is ours when the
// cluster has no name, and a mirror's otherwise; "peer" says that it is one, a
// phase how far its mirror is.
func mesh(t *testing.T, lines ...string) view.Batch {
	t.Helper()
	var b view.Batch
	put := func(k clustermesh.Key, o clustermesh.Object) {
		b.Events = append(b.Events, etcd.Event[clustermesh.Object]{Op: etcd.Put, Key: k.String(), Value: o, Revision: 1})
	}
	for _, line := range lines {
		cluster, rest, _ := strings.Cut(line, ":")
		area := clustermesh.Export
		if cluster != view.Ours {
			area = clustermesh.Mirror
		}
		for _, word := range strings.Fields(rest) {
			name, value, isNode := strings.Cut(word, "=")
			switch {
			case isNode:
				n := &clustermesh.Node{Name: name}
				for _, a := range strings.Split(value, ",") {
					if p, err := netip.ParsePrefix(a); err == nil {
						n.PodCIDRs = append(n.PodCIDRs, p)
					} else {
						n.Addresses = append(n.Addresses, netip.MustParseAddr(a))
					}
				}
				put(clustermesh.Key{Area: area, Cluster: cluster, Kind: clustermesh.KindNodes, Name: name}, n)
			case word == "peer":
				put(clustermesh.Key{Area: clustermesh.Private, Kind: clustermesh.KindPeers, Name: cluster}, &clustermesh.Peer{Name: cluster})
			case word == "synced":
				areas := []clustermesh.Area{area}
				if cluster == view.Ours {
					areas = append(areas, clustermesh.Private)
				}
				for _, a := range areas {
					k := clustermesh.Key{Area: a, Cluster: cluster, Kind: clustermesh.KindSynced, Name: string(clustermesh.KindNodes)}
					b.Events = append(b.Events, etcd.Event[clustermesh.Object]{Op: etcd.Synced, Key: k.String()})
				}
			default:
				put(clustermesh.Key{Area: area, Cluster: cluster, Kind: clustermesh.KindState},
					&clustermesh.MirrorState{Phase: clustermesh.MirrorPhase(word)})
			}
		}
	}
	return b
}

func TestDesire(t *testing.T) {
	already := []netip.Addr{netip.MustParseAddr("9.9.9.9")}
	for _, c := range []struct {
		name  string
		mesh  string
		allow string
		own   string
	}{
		{"nothing is known", "", "9.9.9.9", ""},
		{"our nodes, not all", ": n1=1.0.0.1", "1.0.0.1 9.9.9.9", "1.0.0.1"},
		{"all our nodes", ": n1=1.0.0.1,fd00::1 n2=1.0.0.2 synced", "1.0.0.1 1.0.0.2 fd00::1", "1.0.0.1 fd00::1"},
		{"a peer that is not mirrored yet", ": n1=1.0.0.1 synced; west: peer", "1.0.0.1 9.9.9.9", "1.0.0.1"},
		{"a peer of which some is", ": n1=1.0.0.1 synced; west: peer w1=2.0.0.1 Synced", "1.0.0.1 2.0.0.1 9.9.9.9", "1.0.0.1"},
		{"a peer that is mirrored", ": n1=1.0.0.1 synced; west: peer w1=2.0.0.1 Synced synced", "1.0.0.1 2.0.0.1", "1.0.0.1"},
		{"a peer that is stale", ": n1=1.0.0.1 synced; west: peer w1=2.0.0.1 Stale synced", "1.0.0.1 2.0.0.1", "1.0.0.1"},
		{"a peer that never came", ": n1=1.0.0.1 synced; west: peer Connecting", "1.0.0.1", "1.0.0.1"},
		{"a peer that may not join", ": n1=1.0.0.1 synced; west: peer Refused", "1.0.0.1", "1.0.0.1"},
		{"this node is not there", ": n2=1.0.0.2 synced", "1.0.0.2", ""},
		{"another cluster has a node of this name", "west: peer n1=2.0.0.1 Synced synced; : n2=1.0.0.2 synced", "1.0.0.2 2.0.0.1", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := view.New("n1")
			v.Apply(mesh(t, strings.Split(c.mesh, "; ")...))
			d := desire(v, "n1")
			if got := strings.Trim(fmt.Sprint(d.allowed(already)), "[]"); got != c.allow {
				t.Errorf("may ask: %s, want %s", got, c.allow)
			}
			own := ""
			if d.node != nil {
				own = strings.Trim(fmt.Sprint(d.node.Addresses), "[]")
			}
			if own != c.own {
				t.Errorf("own: %s, want %s", own, c.own)
			}
		})
	}
}

func TestDevices(t *testing.T) {
	for _, c := range []struct{ chosen, before, existing, want string }{
		{"eth0", "", "eth0 lo", "eth0"},
		{"", "eth0", "eth0 lo", "eth0"},
		{"", "eth0", "lo", ""},
		{"eth1 eth0", "eth0", "eth0 eth1", "eth0 eth1"},
	} {
		got := devices(strings.Fields(c.chosen), strings.Fields(c.before), strings.Fields(c.existing))
		if !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("chosen %q, before %q, existing %q: %v, want %q", c.chosen, c.before, c.existing, got, c.want)
		}
	}
}
