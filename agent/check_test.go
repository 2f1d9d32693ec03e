package agent

import (
	"net/netip"
	"testing"

	"tombolo.io/tombolo/agent/check"
	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/internal/etcdtest"
)

// An agent answers what it is asked, each request once, and tells when it could not
// measure as it should.
func TestAgentAnswersChecks(t *testing.T) {
	r := newRig(t)
	n1 := &clustermesh.Node{Name: "n1", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}} // no device has it
	r.put(east, n1)
	r.vouch()
	r.start()
	for _, id := range []string{"first", "second"} {
		ask := &clustermesh.CheckRequest{ID: id}
		value, err := clustermesh.Encode(ask)
		if err != nil {
			t.Fatal(err)
		}
		etcdtest.Put(t, r.client, clustermesh.KeyOf(clustermesh.Status, ask).String(), string(value))
		var a *clustermesh.CheckAnswer
		key := clustermesh.KeyOf(clustermesh.Status, &clustermesh.CheckAnswer{Node: "n1"}).String()
		r.until("it answers the "+id, func() bool {
			kv, ok, err := r.client.Get(t.Context(), key)
			if err != nil || !ok {
				return false
			}
			o, err := clustermesh.DecodeAt(key, kv.Value)
			if err != nil {
				t.Fatal(err)
			}
			a = o.(*clustermesh.CheckAnswer)
			return len(a.Requests) == 1 && a.Requests[0] == id
		})
		if a.Kernel == "" || a.Version != "test" || len(a.Paths) != 0 {
			t.Errorf("it answered %+v", a)
		}
		for _, f := range a.Findings {
			if f.Code == "mount" {
				t.Errorf("found %+v", f)
			}
		}
	}
}

// Failover heard a node in the families in which it answered once.
func TestHeard(t *testing.T) {
	path := func(cluster, node, address string) *check.Path {
		return &check.Path{Peer: check.Peer{Cluster: cluster, Node: node, Address: netip.MustParseAddr(address)}}
	}
	verdict := func(cluster, node string, in clustermesh.Families) health.Verdict {
		return health.Verdict{Verdict: clustermesh.Verdict{Cluster: cluster, Node: node}, HeardIn: in}
	}
	s := &Failover{Verdicts: []health.Verdict{verdict("west", "", 0), verdict("west", "w1", clustermesh.IPv4), verdict("west", "w2", clustermesh.AllFamilies), verdict("west", "w3", 0)}}
	for _, c := range []struct {
		path *check.Path
		want bool
	}{
		{path("west", "w1", "172.20.2.1"), true}, {path("west", "w1", "fd00::1"), false},
		{path("west", "w2", "172.20.2.2"), true}, {path("west", "w2", "fd00::2"), true},
		{path("west", "w3", "172.20.2.3"), false}, {path("east", "w1", "172.20.1.1"), false},
	} {
		heard([]*check.Path{c.path}, s)
		if c.path.Heard != c.want {
			t.Errorf("%s/%s at %v: %v, want %v", c.path.Cluster, c.path.Node, c.path.Address, c.path.Heard, c.want)
		}
	}
}
