package main

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/internal/control"
	"tombolo.io/tombolo/internal/etcdtest"
)

// meshStore is a store that knows a little of east.
func meshStore(t *testing.T) *etcdtest.Store {
	t.Helper()
	s := etcdtest.New(t)
	client := s.Dial()
	id := clustermesh.NewIdentityID(1, 7)
	for _, o := range []clustermesh.Object{
		&clustermesh.Cluster{Name: "east", ID: 1, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}},
		&clustermesh.Identity{ID: id, Labels: map[string]string{"tier": "web", "app": "cart"}},
		&clustermesh.EndpointIdentity{Address: netip.MustParseAddr("10.1.0.5"), Identity: id, Pod: "shop/cart-0", Node: "n1"},
		&clustermesh.BGPAdvertisement{Name: "all", PodCIDRs: true, Peers: []string{"tor"}},
	} {
		value, err := clustermesh.Encode(o)
		if err != nil {
			t.Fatal(err)
		}
		area := clustermesh.Export
		if o.Kind() == clustermesh.KindBGPAdverts {
			area = clustermesh.Private
		}
		etcdtest.Put(t, client, clustermesh.KeyOf(area, o).String(), string(value))
	}
	return s
}

// The store and a role of the node give the same answers.
func TestMesh(t *testing.T) {
	s := meshStore(t)
	dir := t.TempDir()
	agent := inOrder("agent")
	agent.Pages = meshPages(s.Dial(), askStore)
	serve(t, dir, agent)
	for _, from := range [][]string{{"--etcd-endpoints", s.Config.Listen[0]}, {"--run-dir", dir}} {
		for args, want := range map[string]string{
			"clusters -o wide": "CLUSTER ID PHASE SINCE NODES SERVICES ENDPOINTS IDENTITIES UNSYNCED REASON PODS NODE NETWORKS INVALID\n" +
				"east 1 Ours - 0 0 0 1 addresses,bgp/advertisements,bgp/peers,drains,endpoints,exports,identities,imports,nodes,peers,pools,services,slices - 10.1.0.0/16 - -",
			"objects": "KIND NAME ACCEPTED READY REASON MESSAGE\n" +
				"BGPAdvertisement all True - PeerMissing it is taken, and there is no BGPPeer tor",
			"objects bgpadvertisements": "KIND NAME ACCEPTED READY REASON MESSAGE\n" +
				"BGPAdvertisement all True - PeerMissing it is taken, and there is no BGPPeer tor",
			"objects bgppeer": "KIND NAME ACCEPTED READY REASON MESSAGE",
			"identities":      "ID CLUSTER ADDRESSES LABELS\n65543 east 1 app=cart,tier=web",
			"identities of 10.1.0.5": "ADDRESS ID CLUSTER POD NODE LABELS\n" +
				"10.1.0.5 65543 east shop/cart-0 n1 app=cart,tier=web",
		} {
			out, err := run(t, append(strings.Fields(args), from...)...)
			if got := strings.TrimSpace(fields(out)); err != nil || got != want {
				t.Errorf("%s %v: %v\n got %s\nwant %s", args, from, err, got, want)
			}
		}
		if _, err := run(t, append([]string{"identities", "of", "10.9.9.9"}, from...)...); err == nil || !strings.Contains(err.Error(), "no pod of the mesh has this address") {
			t.Errorf("%v: of nobody: %v", from, err)
		}
		out, err := run(t, append([]string{"identities", "-o", "json"}, from...)...)
		if err != nil || !strings.Contains(out, `"id": 65543`) {
			t.Errorf("%v: %v\n%s", from, err, out)
		}
	}
	for args, want := range map[string]string{
		"identities from 10.1.0.5": "want no arguments, or: of ADDRESS",
		"identities of x":          `"x" is no IP address`,
	} {
		if _, err := run(t, strings.Fields(args)...); err == nil || err.Error() != want {
			t.Errorf("%s: %v", args, err)
		}
	}
}

func TestMeshWithoutAnyoneToAsk(t *testing.T) {
	_, err := run(t, "clusters", "--run-dir", t.TempDir())
	if !errors.Is(err, control.ErrNotRunning) || !strings.Contains(err.Error(), "tombolo apiserver") || !strings.Contains(err.Error(), "--etcd-endpoints") {
		t.Errorf("got %v", err)
	}
}

// A store that gives no answer must not keep people waiting for ever.
func TestMeshWithAStoreThatIsAway(t *testing.T) {
	s := meshStore(t)
	client := s.Dial()
	s.Stop()
	dir := t.TempDir()
	agent := inOrder("agent")
	agent.Pages = meshPages(client, 50*time.Millisecond)
	serve(t, dir, agent)
	_, err := run(t, "clusters", "--run-dir", dir)
	for _, want := range []string{"etcd gave no answer within 50ms", s.Config.Listen[0] + ": connection refused"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
}

func TestStatusOfAllNodes(t *testing.T) {
	s := meshStore(t)
	client := s.Dial()
	for _, p := range []*clustermesh.ProcessStatus{
		{Role: "agent", Node: "n1", Version: "v1", Health: clustermesh.HealthOK},
		{Role: "agent", Node: "n2", Health: clustermesh.HealthDegraded, Reasons: []string{"a", "b"}},
		{Role: "speaker", Node: "n1", Health: clustermesh.HealthOK},
	} {
		value, err := clustermesh.Encode(p)
		if err != nil {
			t.Fatal(err)
		}
		etcdtest.Put(t, client, clustermesh.KeyOf(clustermesh.Status, p).String(), string(value))
	}
	store := []string{"--etcd-endpoints", s.Config.Listen[0]}
	out, err := run(t, append([]string{"status", "--all"}, store...)...)
	want := "ROLE NODE UP HEALTH VERSION REASON\nagent n1 - OK v1 -\nagent n2 - Degraded - a; b\nspeaker n1 - OK - -"
	if got := strings.TrimSpace(fields(out)); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if err == nil || err.Error() != "not in order: agent of n2" {
		t.Errorf("got %v", err)
	}
	out, err = run(t, append([]string{"status", "-A", "speaker"}, store...)...)
	if err != nil || strings.Contains(out, "agent") || !strings.Contains(out, "speaker") {
		t.Errorf("got %v\n%s", err, out)
	}
}
