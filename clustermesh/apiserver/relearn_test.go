package apiserver

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// report writes what the agent of a node reports.
func (r *rig) report(node, epoch string, ids ...clustermesh.Identity) {
	r.Helper()
	p := &clustermesh.ProcessStatus{Role: clustermesh.RoleAgent, Node: node, Health: clustermesh.HealthOK, Epoch: epoch, Identities: ids}
	value, err := clustermesh.Encode(p)
	if err != nil {
		r.Fatal(err)
	}
	if _, err := r.store.Dial().Raw().Put(r.Context(), clustermesh.KeyOf(clustermesh.Status, p).String(), string(value)); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) endpoint(address string) *clustermesh.EndpointIdentity {
	r.Helper()
	key := "export/endpoints/" + address
	o, err := clustermesh.DecodeAt(clustermesh.Root+key, r.have[key])
	if err != nil {
		r.Fatal(err)
	}
	return o.(*clustermesh.EndpointIdentity)
}

// lose wipes the store and starts it empty.
func (r *rig) lose() {
	r.Helper()
	r.store.Stop()
	r.store.Config.Dir = r.TempDir()
	r.store.Start()
}

// The store is lost, and with it the process that gave the numbers out. Only
// the agents know them: the pods' own, which is not the one that its hash
// proposes, and that one has another meaning.
func TestIdentitiesAreRelearnedFromAgents(t *testing.T) {
	r := newRig(t)
	r.config.IdentityWait = time.Minute
	r.write("nodes.yaml", nodesYAML(0, 2))
	first := r.serve("a")
	r.until("a report is waited for", func() bool {
		return strings.Contains(first.Status().Relearning, "n0, n1") && len(r.have["epoch"]) > 0
	})
	r.write("pods.yaml", podsYAML)
	r.report("n0", string(r.have["epoch"]))
	r.report("n1", string(r.have["epoch"]))
	r.until("stored", func() bool { return r.have["export/endpoints/10.1.0.1"] != nil })
	r.well(first)
	proposed := r.endpoint("10.1.0.1").Identity
	stored, err := clustermesh.DecodeAt(clustermesh.KeyOf(clustermesh.Export, &clustermesh.Identity{ID: proposed}).String(), r.have[identityKey(proposed)])
	if err != nil {
		t.Fatal(err)
	}
	web := *stored.(*clustermesh.Identity)
	first.stop()
	before := string(r.have["epoch"])
	r.lose()

	second := r.serve("b")
	r.until("there is a new epoch, and nodes are stored", func() bool {
		e := string(r.have["epoch"])
		return e != "" && e != before && r.marker("export/nodes").Epoch == e
	})
	r.report("n0", before, clustermesh.Identity{ID: clustermesh.NewIdentityID(1, 1), Labels: map[string]string{"app": "of-old"}})
	r.until("what one reports to the store of old does not count", func() bool { return strings.Contains(second.Status().Relearning, "n0, n1") })
	held := clustermesh.Identity{ID: clustermesh.NewIdentityID(1, 12345), Labels: web.Labels}
	other := clustermesh.Identity{ID: proposed, Labels: map[string]string{"app": "other"}}
	both := []clustermesh.Identity{held, other}
	slices.SortFunc(both, func(a, b clustermesh.Identity) int { return int(a.ID) - int(b.ID) })
	r.report("n0", string(r.have["epoch"]), both...)
	r.until("the other one is waited for", func() bool { return strings.Contains(second.Status().Relearning, "agents of n1 ") })
	if _, ok := r.have["export/endpoints/10.1.0.1"]; ok || r.marker("export/identities").Epoch == string(r.have["epoch"]) {
		t.Errorf("before all agents reported the store has\n%s", strings.Join(r.keys(), "\n"))
	}
	r.report("n1", string(r.have["epoch"]))
	r.well(second)
	r.until("the number is what it was", func() bool {
		return r.have["export/endpoints/10.1.0.1"] != nil && r.endpoint("10.1.0.1").Identity == held.ID
	})
	o, err := clustermesh.DecodeAt(clustermesh.Root+identityKey(proposed), r.have[identityKey(proposed)])
	if err != nil || !maps.Equal(o.(*clustermesh.Identity).Labels, other.Labels) {
		t.Errorf("number %d means %v (%v)", proposed, o, err)
	}
}

func identityKey(id clustermesh.IdentityID) string {
	return short(clustermesh.KeyOf(clustermesh.Export, &clustermesh.Identity{ID: id}).String())
}

// Nodes without an agent are not waited for longer than was said, and a leader
// that finds its store whole waits for nobody.
func TestRelearningEnds(t *testing.T) {
	r := newRig(t)
	r.config.IdentityWait = 500 * time.Millisecond
	r.write("nodes.yaml", nodesYAML(0, 1))
	r.write("pods.yaml", podsYAML)
	start := time.Now()
	first := r.serve("a")
	r.well(first)
	r.until("given out", func() bool { return r.have["export/endpoints/10.1.0.1"] != nil })
	if took := time.Since(start); took < r.config.IdentityWait {
		t.Errorf("given out after %v", took)
	}
	was := r.endpoint("10.1.0.1").Identity
	first.stop()
	second := r.serve("b", func(c *Config) { c.IdentityWait = time.Hour })
	r.well(second)
	if got := r.endpoint("10.1.0.1").Identity; got != was {
		t.Errorf("the restart gave %d instead of %d", got, was)
	}
}
