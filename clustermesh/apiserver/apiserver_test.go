package apiserver

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/etcd/election"
	"tombolo.io/tombolo/internal/etcdtest"
)

func TestFromManifestsToKeys(t *testing.T) {
	r := newRig(t)
	r.write("nodes.yaml", nodesYAML(1, 3))
	r.write("web.yaml", serviceYAML("web", global, 3))
	r.write("cart.yaml", serviceYAML("cart", "", 1))
	s := r.serve("n1")
	r.wants("everything is stored", "export/nodes/n1", "export/nodes/n2",
		"export/services/shop/web", "export/slices/shop/web/web-1",
		"private/services/shop/cart", "private/slices/shop/cart/cart-1")
	r.well(s)
	for _, a := range []clustermesh.Area{clustermesh.Export, clustermesh.Private} {
		for _, kind := range clustermesh.Tables(a) {
			table := string(a) + "/" + string(kind)
			r.until("the marker of "+table+" is written", func() bool {
				m := r.marker(table)
				return m.Source != "" && m.Epoch == string(r.have["epoch"])
			})
		}
	}
	r.until("the nodes are counted", func() bool { return r.marker("export/nodes").Count == 2 })
	if got := r.service("export/services/shop/web").TableSize; got != 509 {
		t.Errorf("three backends have a table of %d", got)
	}
	if got := r.service("private/services/shop/cart").TableSize; got != 0 {
		t.Errorf("a service that is not programmed has a table of %d", got)
	}

	r.write("web.yaml", serviceYAML("web", global+`, tombolo.io/shared: "false"`, 7))
	r.wants("the service moves", "export/nodes/n1", "export/nodes/n2",
		"private/services/shop/web", "private/slices/shop/web/web-1",
		"private/services/shop/cart", "private/slices/shop/cart/cart-1")
	r.until("the table grows", func() bool { return r.service("private/services/shop/web").TableSize == 1021 })
	r.remove("web.yaml")
	r.remove("cart.yaml")
	r.wants("what is deleted goes", nodeKeys(1, 3)...)
	r.until("the report is stored", func() bool { return r.have["status/apiserver/n1"] != nil })
}

const podsYAML = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: blue}}
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: shop, uid: u0, labels: {app: web, pod-template-hash: abc}}
spec: {nodeName: n1}
status: {podIPs: [{ip: 10.1.0.1}, {ip: "fd00:1::1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: shop, labels: {app: web, pod-template-hash: def}}
status: {podIP: 10.1.0.2}
`

func TestIdentities(t *testing.T) {
	r := newRig(t)
	r.write("pods.yaml", podsYAML)
	first := r.serve("n1")
	r.until("three addresses and one identity", func() bool { return len(r.keys()) == 4 })
	at := func(address string) *clustermesh.EndpointIdentity {
		key := "export/endpoints/" + address
		o, err := clustermesh.DecodeAt(clustermesh.Root+key, r.have[key])
		if err != nil {
			t.Fatal(err)
		}
		return o.(*clustermesh.EndpointIdentity)
	}
	web := at("10.1.0.1")
	if web.Pod != "shop/web-0" || web.PodUID != "u0" || web.Node != "n1" || web.Identity.Cluster() != 1 {
		t.Errorf("got %+v", web)
	}
	if at("fd00:1::1").Identity != web.Identity || at("10.1.0.2").Identity != web.Identity {
		t.Error("pods of equal labels have different identities")
	}
	r.write("pods.yaml", strings.Replace(podsYAML, "team: blue", "team: red", 1))
	r.until("labels of the namespace count", func() bool { return at("10.1.0.2").Identity != web.Identity })
	red := at("10.1.0.2").Identity
	first.stop()
	second := r.serve("n1")
	r.well(second)
	if got := at("10.1.0.2").Identity; got != red {
		t.Errorf("the restart gave %d instead of %d", got, red)
	}
	r.remove("pods.yaml")
	r.until("addresses go, numbers keep their meaning", func() bool { return len(r.keys()) == 2 })
}

// A cluster that gets another id gives its pods numbers of the new range; the old
// ones go, and are nothing wrong.
func TestClusterGetsAnotherID(t *testing.T) {
	r := newRig(t)
	r.write("pods.yaml", podsYAML)
	first := r.serve("n1")
	identities := func(cluster uint16) (n int) {
		for _, key := range r.keys() {
			number, ok := strings.CutPrefix(key, "export/identities/")
			if id, err := strconv.ParseUint(number, 10, 32); ok && err == nil && clustermesh.IdentityID(id).Cluster() == cluster {
				n++
			}
		}
		return n
	}
	r.until("an identity", func() bool { return identities(1) == 1 && len(r.keys()) == 4 })
	first.stop()
	second := r.serve("n1", func(c *Config) { c.Cluster.ID = 7 })
	r.until("one of the new range alone", func() bool { return identities(7) == 1 && identities(1) == 0 && len(r.keys()) == 4 })
	r.well(second)
}

func TestRestartFindsWhatChangedMeanwhile(t *testing.T) {
	r := newRig(t)
	r.write("nodes.yaml", nodesYAML(1, 4))
	r.write("web.yaml", serviceYAML("web", global, 12))
	first := r.serve("n1")
	r.well(first)
	r.until("stored", func() bool { return r.marker("export/nodes").Count == 3 })
	before := r.marker("export/nodes")
	first.stop()

	r.write("nodes.yaml", nodesYAML(2, 5))
	r.write("web.yaml", serviceYAML("web", global, 8))
	r.well(r.serve("n1"))
	r.wants("the difference is stored", append(nodeKeys(2, 5), "export/services/shop/web", "export/slices/shop/web/web-1")...)
	r.until("the markers name another pass", func() bool { return r.marker("export/nodes").Source != before.Source })
	if got := r.service("export/services/shop/web").TableSize; got != 2039 {
		t.Errorf("after the restart the table has %d slots, want the 2039 of before", got)
	}
}

func TestEmptyDirectoryAtStartDeletesNothing(t *testing.T) {
	r := newRig(t)
	r.write("nodes.yaml", nodesYAML(0, 20))
	first := r.serve("n1")
	r.well(first)
	r.wants("stored", nodeKeys(0, 20)...)
	source1 := r.marker("export/nodes").Source
	first.stop()

	r.remove("nodes.yaml")
	r.write("other.yaml", nodesYAML(30, 31))
	second := r.serve("n1")
	r.wants("what is new is stored, nothing goes", append(nodeKeys(0, 20), "export/nodes/n30")...)
	r.degraded(second, "20 stored keys that nobody wants stay: more than half of 21 objects")
	r.until("the tables that are complete are marked", func() bool { return r.marker("export/services").Source != source1 })
	if st := second.Status(); st.Synced || st.Waiting != 20 || r.marker("export/nodes").Source != source1 {
		t.Errorf("status %+v, marker %+v", st, r.marker("export/nodes"))
	}
	r.remove("other.yaml") // a deletion that is watched is never held
	r.wants("it goes", nodeKeys(0, 20)...)
	r.write("nodes.yaml", nodesYAML(0, 15)) // most come back
	r.wants("the few that did not come back go", nodeKeys(0, 15)...)
	r.well(second)
}

func TestShrinkIsAllowedOrWaits(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"allowed": allow,
		"held":    func(c *Config) { c.Shrink = source.Shrink{Hold: 300 * time.Millisecond} },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.write("nodes.yaml", nodesYAML(0, 20))
			first := r.serve("n1")
			r.wants("stored", nodeKeys(0, 20)...)
			first.stop()
			r.remove("nodes.yaml")
			start := time.Now()
			second := r.serve("n1", change)
			r.wants("all go")
			if name == "held" && time.Since(start) < 300*time.Millisecond {
				t.Error("they went before their time")
			}
			r.well(second)
		})
	}
}

func TestWatchedDeletionIsNeverHeld(t *testing.T) {
	r := newRig(t)
	r.write("nodes.yaml", nodesYAML(0, 25))
	s := r.serve("n1")
	r.wants("stored", nodeKeys(0, 25)...)
	r.remove("nodes.yaml")
	r.wants("all go")
	r.well(s)
}

func TestMissingDirectoryDeletesNothing(t *testing.T) {
	r := newRig(t)
	r.write("nodes.yaml", nodesYAML(0, 3))
	first := r.serve("n1")
	r.well(first)
	r.wants("stored", nodeKeys(0, 3)...)
	if err := os.Rename(r.dir, r.dir+".away"); err != nil {
		t.Fatal(err)
	}
	r.degraded(first, "cannot be read")
	first.stop()
	second := r.serve("n1", allow)
	r.degraded(second, "3 stored keys that nobody wants stay: the source has not delivered everything yet")
	r.wants("all is there", nodeKeys(0, 3)...)
	if err := os.Rename(r.dir+".away", r.dir); err != nil {
		t.Fatal(err)
	}
	r.well(second)
	r.wants("all is there", nodeKeys(0, 3)...)
}

// What was known of an object before a restart stays when its document is
// wrong after it.
func TestWrongDocumentAfterRestart(t *testing.T) {
	r := newRig(t)
	r.write("nodes.yaml", nodesYAML(0, 3))
	r.write("web.yaml", serviceYAML("web", global, 1))
	first := r.serve("n1")
	keys := append(nodeKeys(0, 3), "export/services/shop/web", "export/slices/shop/web/web-1")
	r.wants("stored", keys...)
	first.stop()
	r.write("web.yaml", serviceYAML("web", `tombolo.io/global: "maybe"`, 2))
	r.write("nodes.yaml", nodesYAML(0, 2))
	second := r.serve("n1")
	r.degraded(second, `web.yaml:4 Service shop/web: metadata.annotations["tombolo.io/global"]: "maybe" is not "true" or "false"`)
	r.degraded(second, "the source could not read everything")
	if !slices.Contains(r.keys(), "export/services/shop/web") {
		t.Error("the service was dropped")
	}
	r.write("web.yaml", serviceYAML("web", global, 2))
	r.wants("mended", append(nodeKeys(0, 2), "export/services/shop/web", "export/slices/shop/web/web-1")...)
	r.well(second)
}

func TestStandbyTakesOver(t *testing.T) {
	r := newRig(t)
	r.write("nodes.yaml", nodesYAML(0, 2))
	first := r.serve("n1")
	r.well(first)
	second := r.serve("n2")
	r.until("the second stands by", func() bool { st := second.Status(); return st.Ready() == nil && !st.Leader && st.LeaderName == "n1" })
	first.stop()
	r.until("the second leads", func() bool { return second.Status().Leader && second.Status().Synced })
	r.write("nodes.yaml", nodesYAML(0, 3))
	r.wants("and writes", nodeKeys(0, 3)...)
}

// Who leads holds the lease of the cluster from when everything is stored until it
// ends, or is deposed.
func TestLease(t *testing.T) {
	r := newRig(t)
	r.write("nodes.yaml", nodesYAML(0, 2))
	holder := func() string {
		o, err := clustermesh.DecodeAt(clustermesh.Root+leaseKey, r.have[leaseKey])
		if len(r.have[leaseKey]) == 0 || err != nil {
			return ""
		}
		return o.(*clustermesh.Lease).Holder
	}
	first := r.serve("n1")
	r.until("n1 holds it", func() bool { return holder() == "n1" })
	r.wants("what it vouches for is there", nodeKeys(0, 2)...)
	second := r.serve("n2")
	r.until("n2 stands by", func() bool { st := second.Status(); return st.Ready() == nil && !st.Leader })
	first.stop()
	r.until("n2 holds it", func() bool { return holder() == "n2" })
	client := r.store.Dial()
	var keys []string
	if _, err := client.List(t.Context(), electionPrefix, func(kv etcd.KV) error { keys = append(keys, kv.Key); return nil }); err != nil {
		t.Fatal(err)
	}
	etcdtest.Delete(t, client, keys...)
	r.write("nodes.yaml", nodesYAML(0, 3)) // so that it notices
	r.until("deposed it lets go", func() bool { return holder() == "" })
	r.until("n2 holds it again", func() bool { return holder() == "n2" })
	second.stop()
	r.until("nobody does", func() bool { return holder() == "" })
	r.wants("what it vouched for stays", nodeKeys(0, 3)...)
}

// A store that restarts lets leases begin anew; who lives says so in the new reign.
func TestLeaseAfterRestart(t *testing.T) {
	r := newRig(t)
	r.write("nodes.yaml", nodesYAML(0, 2))
	r.serve("n1")
	client := r.store.Dial()
	reign := func() uint64 {
		o, err := clustermesh.DecodeAt(clustermesh.Root+leaseKey, r.have[leaseKey])
		if len(r.have[leaseKey]) == 0 || err != nil {
			return 0
		}
		return o.(*clustermesh.Lease).Reign
	}
	stores := func() uint64 {
		resp, err := client.Raw().Get(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		return resp.Header.RaftTerm
	}
	r.until("it is held", func() bool { return reign() > 0 })
	first := stores()
	if reign() != first {
		t.Errorf("held in reign %d, want %d", reign(), first)
	}
	r.store.Stop()
	r.store.Start()
	r.until("it is held in the next", func() bool { return reign() > first })
	if got, want := reign(), stores(); got != want {
		t.Errorf("held in reign %d, want %d", got, want)
	}
}

const leaseKey = "export/lease"

// A process that was killed leaves its election key; the next one on its node
// does not wait for the end of the lease.
func TestKilledLeaderIsFollowedAtOnce(t *testing.T) {
	r := newRig(t)
	r.write("nodes.yaml", nodesYAML(0, 2))
	dead, err := election.Campaign(t.Context(), r.store.Dial(), etcdtest.Log(), election.Config{Prefix: electionPrefix, Ledger: ledgerPrefix, Name: "n1", TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Resign()
	r.well(r.serve("n1"))
	r.wants("it leads", nodeKeys(0, 2)...)
}

// A leader whose election key is gone writes nothing more, and stands again.
func TestDeposedLeader(t *testing.T) {
	r := newRig(t)
	r.write("nodes.yaml", nodesYAML(0, 2))
	s := r.serve("n1")
	r.well(s)
	r.wants("stored", nodeKeys(0, 2)...)
	before := r.marker("export/nodes").Source
	client := r.store.Dial()
	var keys []string
	if _, err := client.List(t.Context(), electionPrefix, func(kv etcd.KV) error { keys = append(keys, kv.Key); return nil }); err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	etcdtest.Delete(t, client, keys...)
	usurper, err := election.Campaign(t.Context(), client, etcdtest.Log(), election.Config{Prefix: electionPrefix, Ledger: ledgerPrefix, Name: "usurper", TTL: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	r.write("nodes.yaml", nodesYAML(0, 3))
	r.until("it notices", func() bool { return !s.Status().Leader })
	r.wants("nothing was written", nodeKeys(0, 2)...)
	usurper.Resign()
	r.wants("it leads again", nodeKeys(0, 3)...)
	r.until("with a pass of its own", func() bool { return r.marker("export/nodes").Source != before })
}

func TestStoreComesBack(t *testing.T) {
	r := newRig(t)
	r.write("nodes.yaml", nodesYAML(0, 2))
	s := r.serve("n1")
	r.well(s)
	epoch := string(r.have["epoch"])
	r.store.Stop()
	r.write("nodes.yaml", nodesYAML(0, 3))
	r.until("it is seen", func() bool { return s.Status().Health == clustermesh.HealthDegraded })
	r.store.Start() // with its data
	r.wants("the change is stored", nodeKeys(0, 3)...)
	r.well(s)
	if got := string(r.have["epoch"]); got != epoch {
		t.Errorf("the epoch changed from %s to %s", epoch, got)
	}

	r.store.Stop()
	r.store.Config.Dir = t.TempDir()
	r.store.Start() // without
	r.until("there is a new epoch", func() bool { e := string(r.have["epoch"]); return e != "" && e != epoch })
	r.wants("everything is stored again", nodeKeys(0, 3)...)
	r.until("with markers of that epoch", func() bool { return r.marker("export/nodes").Epoch == string(r.have["epoch"]) })
	r.well(s)
}

// An older copy of the store's data, put in place behind the leader's back,
// has its election key and its epoch; only its ledger tells.
func TestStoreGoesBack(t *testing.T) {
	r := newRig(t)
	r.write("nodes.yaml", nodesYAML(0, 2))
	r.write("pods.yaml", podsYAML)
	s := r.serve("n1")
	r.well(s)
	r.until("stored", func() bool { return len(r.keys()) == 6 })
	epoch := string(r.have["epoch"])
	r.store.Stop()
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(r.store.Config.Dir)); err != nil {
		t.Fatal(err)
	}
	r.store.Start()
	r.write("web.yaml", serviceYAML("web", global, 12))
	r.until("the table is large", func() bool {
		return r.have["export/services/shop/web"] != nil && r.service("export/services/shop/web").TableSize == 2039
	})
	r.write("web.yaml", serviceYAML("web", global, 8)) // keeps its table
	r.write("pods.yaml", strings.Replace(podsYAML, "team: blue", "team: red", 1))
	r.until("all is stored", func() bool { return len(r.keys()) == 9 })
	have := maps.Clone(r.have)
	r.store.Stop()
	r.store.Config.Dir = copied
	r.store.Start()
	r.until("there is a new epoch", func() bool { e := string(r.have["epoch"]); return e != "" && e != epoch })
	r.well(s)
	r.until("with markers of that epoch", func() bool { return r.marker("export/nodes").Epoch == string(r.have["epoch"]) })
	r.until("all is as it was", func() bool {
		for _, k := range r.keys() {
			if !bytes.Equal(r.have[k], have[k]) {
				return false
			}
		}
		return len(r.keys()) == 9
	})
}

// A directory that is empty of a sudden, such as a mount that went.
func TestDirectoryIsReplacedByAnEmptyOne(t *testing.T) {
	r := newRig(t)
	r.write("nodes.yaml", nodesYAML(0, 20))
	s := r.serve("n1")
	r.well(s)
	r.wants("stored", nodeKeys(0, 20)...)
	if err := errors.Join(os.Rename(r.dir, r.dir+".away"), os.Mkdir(r.dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	r.degraded(s, "20 stored keys that nobody wants stay: more than half of 20 objects")
	r.write("other.yaml", nodesYAML(30, 31))
	r.wants("what is new is stored, nothing goes", append(nodeKeys(0, 20), "export/nodes/n30")...)
	if err := errors.Join(os.RemoveAll(r.dir), os.Rename(r.dir+".away", r.dir)); err != nil {
		t.Fatal(err)
	}
	r.well(s)
	r.wants("it is back", nodeKeys(0, 20)...)
}

func TestEmbedded(t *testing.T) {
	r := newRig(t)
	r.write("nodes.yaml", nodesYAML(0, 2))
	listen := "http://" + etcdtest.Address(t)
	s := r.serve("n1", func(c *Config) { c.Store = Store{Dir: t.TempDir(), Listen: []string{listen}} })
	r.well(s)
	if err := s.Status().Ready(); err != nil {
		t.Errorf("it is not ready: %v", err)
	}
	c, err := etcd.Dial(etcd.Config{Endpoints: []string{listen}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, ok, err := c.Get(t.Context(), clustermesh.Root+"export/nodes/n1"); err != nil || !ok {
		t.Errorf("the embedded store has no node: %v", err)
	}
	s.stop()
}
