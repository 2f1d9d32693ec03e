package standing

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"

	"tombolo.io/tombolo/clustermesh"
)

// told renders how objects stand: a line a condition.
func told(all []Object) string {
	var b strings.Builder
	for _, o := range all {
		for _, c := range o.Conditions {
			fmt.Fprintf(&b, "%s %s %s=%s %s: %s\n", o.Kind, o.Name, c.Type, c.State, c.Reason, c.Message)
		}
	}
	return strings.TrimSpace(b.String())
}

var west = clustermesh.Cluster{Name: "west", ID: 2, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")}}

func TestClusterPeer(t *testing.T) {
	for _, c := range []struct {
		name  string
		state *clustermesh.MirrorState
		known bool
		want  string
	}{
		{"not asked yet", nil, false, `
ClusterPeer west Accepted=Unknown Unknown: the cluster did not say yet who it is
ClusterPeer west Ready=False Connecting: it was not asked yet`},
		{"out of reach from the beginning", &clustermesh.MirrorState{Phase: clustermesh.MirrorConnecting, Reason: "connection refused"}, false, `
ClusterPeer west Accepted=Unknown Unknown: the cluster did not say yet who it is
ClusterPeer west Ready=False Connecting: connection refused`},
		{"mirrored", &clustermesh.MirrorState{Phase: clustermesh.MirrorSynced}, true, `
ClusterPeer west Accepted=True Admitted: its name, its number and its networks are its own
ClusterPeer west Ready=True Synced: what it shares is mirrored`},
		{"out of reach now", &clustermesh.MirrorState{Phase: clustermesh.MirrorStale, Reason: "connection refused"}, true, `
ClusterPeer west Accepted=True Admitted: its name, its number and its networks are its own
ClusterPeer west Ready=False Stale: what was mirrored stays, and may be old: connection refused`},
		{"refused", &clustermesh.MirrorState{Phase: clustermesh.MirrorRefused, Reason: "its number, 1, is ours", Cluster: clustermesh.Cluster{Name: "west", ID: 1}}, false, `
ClusterPeer west Accepted=False Refused: its number, 1, is ours
ClusterPeer west Ready=False Refused: its number, 1, is ours`},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &Mesh{Peers: []*clustermesh.Peer{{Name: "west"}}, Mirrors: map[string]*clustermesh.MirrorState{}, Clusters: map[string]*clustermesh.Cluster{}}
			if c.state != nil {
				m.Mirrors["west"] = c.state
			}
			if c.known {
				m.Clusters["west"] = &west
			}
			all := Of(m)
			if got, want := told(all), strings.TrimSpace(c.want); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if c.known && (all[0].ClusterID != 2 || len(all[0].PodCIDRs) != 1) {
				t.Errorf("the cluster is not told: %+v", all[0])
			}
		})
	}
}

// The notation of a node's speaker: "n1 up", "n2 down", "n3 none" has no
// session, "n4 -" no speaker; "n5! up" lies in no rack.
func mesh(nodes string) *Mesh {
	m := &Mesh{BGPPeers: []*clustermesh.BGPPeer{{Name: "tor", NodeSelector: clustermesh.Selector{MatchLabels: map[string]string{"rack": "a"}}}}}
	for part := range strings.SplitSeq(nodes, ", ") {
		name, state, ok := strings.Cut(part, " ")
		if !ok {
			continue
		}
		n := &clustermesh.Node{Name: strings.TrimSuffix(name, "!"), Labels: map[string]string{"rack": "a"}}
		if n.Name != name {
			n.Labels = nil
		}
		m.Nodes = append(m.Nodes, n)
		s := &clustermesh.ProcessStatus{Role: "speaker", Node: n.Name}
		switch state {
		case "up":
			s.Sessions = []clustermesh.BGPSession{{Peer: "other", State: "Idle"}, {Peer: "tor", State: "Established", Established: true}}
		case "down":
			s.Sessions = []clustermesh.BGPSession{{Peer: "tor", State: "Connecting", Reason: "connection refused"}}
		case "-":
			continue
		}
		m.Speakers = append(m.Speakers, s)
	}
	return m
}

func TestBGPPeer(t *testing.T) {
	for _, c := range []struct{ nodes, want string }{
		{"", "Ready=False NoNode: the node selector picks no node of the cluster"},
		{"n1! up", "Ready=False NoNode: the node selector picks no node of the cluster"},
		{"n1 -, n2 -", "Ready=False NoSpeaker: no speaker runs on the 2 nodes that are to peer, or none reports"},
		{"n1 up, n2! down", "Ready=True Established: established on 1 of 1 nodes"},
		{"n1 up, n2 -", "Ready=True Established: established on 1 of 1 nodes; no speaker reports on 1 more"},
		{"n1 up, n2 down, n3 none", "Ready=False PartlyEstablished: established on 1 of 3 nodes; n2: Connecting: connection refused; n3: its speaker has no session with it yet"},
		{"n1 down, n2 down, n3 down, n4 down, n5 down",
			"Ready=False NotEstablished: established on 0 of 5 nodes; n1: Connecting: connection refused; n2: Connecting: connection refused; n3: Connecting: connection refused; and 2 more"},
	} {
		want := "BGPPeer tor Accepted=True Accepted: it is taken as it is written\nBGPPeer tor " + c.want
		if got := told(Of(mesh(c.nodes))); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.nodes, got, want)
		}
	}
	if o := Of(mesh("n1 up, n2 down, n3 -"))[0]; o.Nodes != 2 || o.Established != 1 {
		t.Errorf("%d of %d nodes", o.Established, o.Nodes)
	}
}

func TestBGPAdvertisement(t *testing.T) {
	m := &Mesh{
		BGPPeers: []*clustermesh.BGPPeer{{Name: "tor"}},
		Advertisements: []*clustermesh.BGPAdvertisement{
			{Name: "all"}, {Name: "some", Peers: []string{"tor"}}, {Name: "lost", Peers: []string{"a", "tor", "b", "c", "d", "e"}},
		},
	}
	want := `BGPAdvertisement all Accepted=True Accepted: it is taken as it is written
BGPAdvertisement lost Accepted=True PeerMissing: it is taken, and there is no BGPPeer a, b, c and 2 more
BGPAdvertisement some Accepted=True Accepted: it is taken as it is written`
	if got, _, _ := strings.Cut(told(Of(m)), "\nBGPPeer"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestConditionOfAType(t *testing.T) {
	o := Of(mesh("n1 up"))[0]
	if c := o.Condition(Ready); c.Reason != "Established" {
		t.Errorf("Ready is %+v", c)
	}
	if c := o.Condition("Nonsense"); c != (Condition{}) {
		t.Errorf("a condition that there is not is %+v", c)
	}
}

func named(name string) *clustermesh.Pool { return &clustermesh.Pool{Name: name} }

func TestAddressPool(t *testing.T) {
	m := &Mesh{Pools: []Pool{
		{Pool: named("alone"), Size: 254, Used: 4},
		{Pool: named("full"), Size: 2, Used: 2},
		{Pool: named("new"), Conflict: "old", Size: 10},
		{Pool: named("old"), Size: math.MaxUint64, Used: 1},
		{Pool: named("shrunk"), Size: 1, Used: 3},
	}}
	all := Of(m)
	want := `AddressPool alone Accepted=True Accepted: it is taken as it is written
AddressPool alone Conflicted=False None: no other pool has addresses of it
AddressPool full Accepted=True Accepted: it is taken as it is written
AddressPool full Conflicted=False None: no other pool has addresses of it
AddressPool new Accepted=True Accepted: it is taken as it is written
AddressPool new Conflicted=True Younger: the older pool old has some of its addresses: it gives nothing out until one of the two is changed
AddressPool old Accepted=True Accepted: it is taken as it is written
AddressPool old Conflicted=True Older: new has some of its addresses, and gives nothing out until one of them is changed
AddressPool shrunk Accepted=True Accepted: it is taken as it is written
AddressPool shrunk Conflicted=False None: no other pool has addresses of it`
	if got := told(all); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	counts := ""
	for _, o := range all {
		counts += fmt.Sprintf("%s %d %d, ", o.Name, o.Allocated, o.Available)
	}
	if want := "alone 4 250, full 2 0, new 0 0, old 1 9223372036854775807, shrunk 3 0, "; counts != want {
		t.Errorf("counts are %s, want %s", counts, want)
	}
}
