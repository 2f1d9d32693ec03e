package check

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/etcd"
)

const boot = "11111111-2222-3333-4444-555555555555"

// store makes a view of objects: "" is our cluster.
func store(objects map[string][]clustermesh.Object) *view.View {
	v := view.New("n1")
	var b view.Batch
	for cluster, all := range objects {
		for _, o := range all {
			area := clustermesh.Export
			if cluster != "" {
				area = clustermesh.Mirror
			}
			if o.Kind() == clustermesh.KindPeers {
				area = clustermesh.Private
			}
			k := clustermesh.KeyOf(area, o)
			k.Cluster = cluster
			b.Events = append(b.Events, etcd.Event[clustermesh.Object]{Op: etcd.Put, Key: k.String(), Value: o, Revision: 1})
		}
	}
	v.Apply(b)
	return v
}

func node(name string, addresses ...string) *clustermesh.Node {
	n := &clustermesh.Node{Name: name, BootID: boot}
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a); err == nil {
			n.PodCIDRs = append(n.PodCIDRs, p)
		} else {
			n.Addresses = append(n.Addresses, netip.MustParseAddr(a))
		}
	}
	return n
}

func peer(name string) *clustermesh.Peer { return &clustermesh.Peer{Name: name} }

func TestLook(t *testing.T) {
	east := &clustermesh.Cluster{Name: "east", ID: 1}
	if _, ok := Look(store(map[string][]clustermesh.Object{"": {east}}), "n1"); ok {
		t.Error("a node that is not known knows whom to ask")
	}
	one := []string{"172.20.1.1", "172.20.1.9", "fd00::1", "10.1.1.0/24", "fd00:1::/64"}
	v := store(map[string][]clustermesh.Object{
		"": {east, node("n1", one...), node("n2", "172.20.1.2"), peer("west"), peer("north"), peer("south")},
		"west": {&clustermesh.Cluster{Name: "west", ID: 2}, &clustermesh.MirrorState{Phase: clustermesh.MirrorSynced},
			node("w1", "172.20.2.1", "10.2.1.0/32"), node("w2", "fd00::2", "10.2.2.0/24", "fd00:2::/64")},
		"north": {&clustermesh.Cluster{Name: "north", ID: 3, Capabilities: []string{clustermesh.CapabilityPeers}},
			&clustermesh.MirrorState{Phase: clustermesh.MirrorStale, Reason: "away"}, node("o1", "172.20.3.1")},
	})
	m, ok := Look(v, "n1")
	if !ok || fmt.Sprint(m.Addresses, m.Pods) != "[172.20.1.1 fd00::1] [10.1.1.1 fd00:1::1]" {
		t.Errorf("it asks from %v and %v", m.Addresses, m.Pods)
	}
	var peers []string
	for _, p := range m.Peers {
		peers = append(peers, fmt.Sprint(p.Cluster, "/", p.Node, " ", p.Address, " ", p.Pods))
		if p.BootID.String() != boot {
			t.Errorf("%s has the boot id %v", p.Node, p.BootID)
		}
	}
	// North's nodes do not answer ours.
	for _, want := range []string{"east/n2 172.20.1.2 invalid IP", "west/w1 172.20.2.1 10.2.1.0", "west/w2 fd00::2 fd00:2::1"} {
		if !strings.Contains(strings.Join(peers, ";"), want) || len(peers) != 3 {
			t.Errorf("it asks %q, want %q", peers, want)
		}
	}
	want := "[{north 1 Stale away true} {south 0   false} {west 2 Synced  false}]"
	if got := fmt.Sprint(m.Clusters); got != want {
		t.Errorf("the clusters are %s, want %s", got, want)
	}
}

// Of a large cluster a node asks some, and all nodes together ask all.
func TestLookAtMany(t *testing.T) {
	objects := map[string][]clustermesh.Object{
		"":     {&clustermesh.Cluster{Name: "east", ID: 1}},
		"west": {&clustermesh.Cluster{Name: "west", ID: 2}},
	}
	for i := range 40 {
		objects[""] = append(objects[""], node(fmt.Sprint("n", i), fmt.Sprint("172.20.1.", i+1)))
		objects["west"] = append(objects["west"], node(fmt.Sprint("w", i), fmt.Sprint("172.20.2.", i+1)))
	}
	v := store(objects)
	asked := map[string]int{}
	for i := range 40 {
		m, _ := Look(v, fmt.Sprint("n", i))
		west := 0
		for _, p := range m.Peers {
			if p.Cluster == "west" {
				asked[p.Node]++
				west++
			}
		}
		if got := summarize(m, nil); west != maxPeers || len(got) != 2 || got[1].Nodes != 40 {
			t.Fatalf("n%d asks %d: %+v", i, west, got)
		}
	}
	for i := range 40 {
		if n := asked[fmt.Sprint("w", i)]; n < 20 {
			t.Errorf("w%d is asked by %d of 40", i, n)
		}
	}
}

func TestAnswer(t *testing.T) {
	bad := seen(t, "aa=no ap=no ping")
	narrow := seen(t, "aa=yes ap=yes pa=yes pp=yes size=1400/1500! clock=-40ms")
	nat := seen(t, "aa=nat ap=yes pa=no pp=no size=1500/1500 clock=10ms")
	nat.RTT = 2 * narrow.RTT
	m := Mesh{Clusters: []Cluster{{Name: "west", Nodes: 9, Phase: clustermesh.MirrorSynced}}, known: map[[2]string]int{{"west", "IPv4"}: 9, {"west", "IPv6"}: 1}}
	a := Answer("n1", Facts{Kernel: "6.1.0", Failover: "on"}, m, []*Path{narrow, bad, nat}, nil, bpf.DefaultProbePort)
	var codes []string
	for _, f := range a.Findings {
		codes = append(codes, string(f.Level)+" "+f.Code)
	}
	if got := strings.Join(codes, ", "); got != "wrong port-closed, wrong no-way-back, wrong masqueraded, note kernel, note small-mtu" {
		t.Errorf("found %s", got)
	}
	want := clustermesh.CheckPath{Cluster: "west", Family: "IPv4", Nodes: 9, Checked: 3, Address: 2, Pods: 2, Back: 1, Kept: 1,
		MTU: 1400, RTT: nat.RTT, Clock: narrow.Clock}
	if len(a.Paths) != 2 || a.Paths[0] != want || a.Paths[1].Nodes != 1 || a.Node != "n1" || a.Kernel != "6.1.0" {
		t.Errorf("it is %+v, want %+v", a.Paths, want)
	}
	shut := Door{Cluster: "west", Node: "w1", At: netip.AddrPortFrom(theirs, 7947), TCP: ErrSilent}
	a = Answer("n1", Facts{Kernel: "6.12", Failover: "on", Deaf: []string{"no gossip: the address is in use"}}, m, nil, []Door{shut}, bpf.DefaultProbePort)
	if len(a.Findings) != 2 || a.Findings[0].Code != "not-listening" || a.Findings[1].Code != "census-closed" || a.Findings[1].Node != "w1" {
		t.Errorf("of a closed door and one that is not there: %+v", a.Findings)
	}
	// So much is wrong that not all of it fits: notes give way.
	many := []*Path{narrow}
	for range clustermesh.MaxFindings {
		many = append(many, bad)
	}
	a = Answer("n1", Facts{Kernel: "6.12", Failover: "on"}, m, many, nil, bpf.DefaultProbePort)
	if len(a.Findings) != clustermesh.MaxFindings || a.More != 1 || a.Findings[len(a.Findings)-1].Level != clustermesh.FindingWrong {
		t.Errorf("of %d findings there are %d, and %d more", len(many), len(a.Findings), a.More)
	}
	if _, err := clustermesh.Encode(a); err != nil {
		t.Error(err)
	}
}
