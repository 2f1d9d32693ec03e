package responder

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/etcd"
)

// mesh makes events of a text: "east: n1=172.20.1.1 synced" is ours when the
// cluster has no name, and a mirror's otherwise; "-w1" takes a node away, "peer" says
// that it is one and "-peer" that it is none, "nodes" that its nodes are all listed,
// "synced" that all is, "lost" that nobody vouches for it, a phase how far its mirror is.
func mesh(t *testing.T, lines ...string) view.Batch {
	t.Helper()
	var b view.Batch
	add := func(op etcd.Op, k clustermesh.Key, o clustermesh.Object) {
		b.Events = append(b.Events, etcd.Event[clustermesh.Object]{Op: op, Key: k.String(), Value: o, Revision: 1})
	}
	put := func(k clustermesh.Key, o clustermesh.Object) { add(etcd.Put, k, o) }
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
			case word == "-peer":
				add(etcd.Delete, clustermesh.Key{Area: clustermesh.Private, Kind: clustermesh.KindPeers, Name: cluster}, nil)
			case word[0] == '-':
				add(etcd.Delete, clustermesh.Key{Area: area, Cluster: cluster, Kind: clustermesh.KindNodes, Name: word[1:]}, nil)
			case word == "nodes", word == "synced", word == "lost":
				op := etcd.Synced
				if word == "lost" {
					op = etcd.Unsynced
				}
				marker := func(a clustermesh.Area, k clustermesh.Kind) {
					add(op, clustermesh.Key{Area: a, Cluster: cluster, Kind: clustermesh.KindSynced, Name: string(k)}, nil)
				}
				marker(area, clustermesh.KindNodes)
				if cluster == view.Ours {
					marker(clustermesh.Private, clustermesh.KindNodes)
				}
				if cluster == view.Ours && word != "nodes" {
					marker(clustermesh.Private, clustermesh.KindPeers)
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
		{"all our nodes, and our peers are not known", ": n1=1.0.0.1 nodes", "1.0.0.1 9.9.9.9", "1.0.0.1"},
		{"all our nodes", ": n1=1.0.0.1,fd00::1 n2=1.0.0.2 synced", "1.0.0.1 1.0.0.2 fd00::1", "1.0.0.1 fd00::1"},
		{"a peer that is not mirrored yet", ": n1=1.0.0.1 synced; west: peer", "1.0.0.1 9.9.9.9", "1.0.0.1"},
		{"a peer of which some is", ": n1=1.0.0.1 synced; west: peer w1=2.0.0.1 Synced", "1.0.0.1 2.0.0.1 9.9.9.9", "1.0.0.1"},
		{"a peer that is mirrored", ": n1=1.0.0.1 synced; west: peer w1=2.0.0.1 Synced synced", "1.0.0.1 2.0.0.1", "1.0.0.1"},
		{"a peer that is stale", ": n1=1.0.0.1 synced; west: peer w1=2.0.0.1 Stale synced", "1.0.0.1 2.0.0.1", "1.0.0.1"},
		{"a peer that never came to this store", ": n1=1.0.0.1 synced; west: peer Connecting", "1.0.0.1 9.9.9.9", "1.0.0.1"},
		{"a peer that may not join", ": n1=1.0.0.1 synced; west: peer Refused", "1.0.0.1 9.9.9.9", "1.0.0.1"},
		{"this node is not there", ": n2=1.0.0.2 synced", "1.0.0.2", ""},
		{"another cluster has a node of this name", "west: peer n1=2.0.0.1 Synced synced; : n2=1.0.0.2 synced", "1.0.0.2 2.0.0.1", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := view.New("n1")
			v.Apply(mesh(t, strings.Split(c.mesh, "; ")...))
			d := desire(v, "n1")
			if got := strings.Trim(fmt.Sprint(d.allowed(already, sources{}, v)), "[]"); got != c.allow {
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

// Who was seen goes when its own cluster does not have it any more, and nobody goes
// because a table is not there.
func TestAllowed(t *testing.T) {
	const known = ": n1=1.0.0.1 n2=1.0.0.2 synced; west: peer w1=2.0.0.1 w2=2.0.0.2 Synced synced"
	for _, c := range []struct {
		name  string
		steps []string
		allow string
	}{
		{"a node of ours goes", []string{known, ": -n2"}, "1.0.0.1 2.0.0.1 2.0.0.2"},
		{"a peer's node goes", []string{known, "west: -w2"}, "1.0.0.1 1.0.0.2 2.0.0.1"},
		{"a peer goes", []string{known, "west: -peer"}, "1.0.0.1 1.0.0.2"},
		{"a mirror goes before its peer does", []string{known, "west: lost -w1 -w2"}, "1.0.0.1 1.0.0.2 2.0.0.1 2.0.0.2"},
		{"a node goes beside a peer that never came", []string{known, "north: peer Connecting", ": -n2", "west: -w2"}, "1.0.0.1 2.0.0.1"},
		{"a node goes from a table that nobody vouches for", []string{known, "west: lost -w2"}, "1.0.0.1 1.0.0.2 2.0.0.1 2.0.0.2"},
		{"and then somebody does", []string{known, "west: lost -w2", "west: synced"}, "1.0.0.1 1.0.0.2 2.0.0.1"},
		{"a restored store has no mirror yet", []string{known, "restart", ": n1=1.0.0.1 n2=1.0.0.2 synced; west: peer Connecting"}, "1.0.0.1 1.0.0.2 2.0.0.1 2.0.0.2"},
		{"nor peers", []string{known, "restart", ": n1=1.0.0.1 n2=1.0.0.2 nodes"}, "1.0.0.1 1.0.0.2 2.0.0.1 2.0.0.2"},
		{"nor nodes", []string{known, "restart", "west: peer w1=2.0.0.1 Synced synced"}, "1.0.0.1 1.0.0.2 2.0.0.1 2.0.0.2"},
		{"then it has, and one is gone", []string{known, "restart", ": n1=1.0.0.1 n2=1.0.0.2 synced; west: peer Connecting", "west: w1=2.0.0.1 Synced synced"}, "1.0.0.1 1.0.0.2 2.0.0.1"},
		{"a peer goes while nobody looks", []string{known, "restart", ": n1=1.0.0.1 synced"}, "1.0.0.1"},
		{"a peer has another name, by which it is refused at first", []string{known, "north: peer Refused; west: -peer"}, "1.0.0.1 1.0.0.2 2.0.0.1 2.0.0.2"},
		{"and then is not", []string{known, "north: peer Refused; west: -peer", "north: w1=2.0.0.1 Synced synced"}, "1.0.0.1 1.0.0.2 2.0.0.1"},
		{"a peer that is refused now", []string{known, "west: Refused lost"}, "1.0.0.1 1.0.0.2 2.0.0.1 2.0.0.2"},
		{"an address moves to another cluster", []string{known, ": n3=2.0.0.2", "west: -w2"}, "1.0.0.1 1.0.0.2 2.0.0.1 2.0.0.2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var allowed []netip.Addr
			v, s := view.New("n1"), sources{}
			for _, step := range c.steps {
				if step == "restart" {
					v, s = view.New("n1"), sources{}
					continue
				}
				v.Apply(mesh(t, strings.Split(step, "; ")...))
				s.note(v)
				allowed = desire(v, "n1").allowed(allowed, s, v)
			}
			if got := strings.Trim(fmt.Sprint(allowed), "[]"); got != c.allow {
				t.Errorf("may ask: %s, want %s", got, c.allow)
			}
		})
	}
}

// Maps that are new are taken into use also where a peer's nodes may be long in
// coming, but not before our own nodes and peers are known.
func TestEnough(t *testing.T) {
	for text, want := range map[string]bool{
		"":                                       false,
		": n1=1.0.0.1 nodes":                     false,
		": n1=1.0.0.1 synced":                    true,
		": synced; west: peer":                   false,
		": synced; west: peer w1=2.0.0.1 Synced": false,
		": synced; west: peer w1=2.0.0.1 Synced synced": true,
		": synced; west: peer Connecting":               true,
		": synced; west: peer Refused":                  true,
	} {
		v := view.New("n1")
		v.Apply(mesh(t, strings.Split(text, "; ")...))
		if got := desire(v, "n1").enough; got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
