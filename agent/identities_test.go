package agent

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/internal/etcdtest"
)

// The notation of a batch: "id 7 web" is an identity, "pod 10.1.0.1 7 n1" an
// address, "-id 7" and "-pod 10.1.0.1" are deletions, "synced" and "unsynced"
// the markers of both tables, "epoch two" the store's.
func identityBatch(t *testing.T, epoch *string, text string) view.Batch {
	t.Helper()
	b := view.Batch{}
	add := func(op etcd.Op, k clustermesh.Key, o clustermesh.Object) {
		b.Events = append(b.Events, etcd.Event[clustermesh.Object]{Op: op, Key: k.String(), Value: o})
	}
	key := func(kind clustermesh.Kind, name string) clustermesh.Key {
		return clustermesh.Key{Area: clustermesh.Export, Kind: kind, Name: name}
	}
	for line := range strings.SplitSeq(text, "; ") {
		f := strings.Fields(line)
		n := 0
		switch f[0] {
		case "id":
			fmt.Sscan(f[1], &n)
			add(etcd.Put, key(clustermesh.KindIdentities, f[1]), &clustermesh.Identity{ID: clustermesh.IdentityID(n), Labels: map[string]string{"app": f[2]}})
		case "pod":
			fmt.Sscan(f[2], &n)
			add(etcd.Put, key(clustermesh.KindEndpoints, f[1]), &clustermesh.EndpointIdentity{Address: netip.MustParseAddr(f[1]), Identity: clustermesh.IdentityID(n), Node: f[3]})
		case "-id":
			add(etcd.Delete, key(clustermesh.KindIdentities, f[1]), nil)
		case "-pod":
			add(etcd.Delete, key(clustermesh.KindEndpoints, f[1]), nil)
		case "synced", "unsynced":
			op := map[string]etcd.Op{"synced": etcd.Synced, "unsynced": etcd.Unsynced}[f[0]]
			for _, kind := range []clustermesh.Kind{clustermesh.KindIdentities, clustermesh.KindEndpoints} {
				add(op, key(clustermesh.KindSynced, string(kind)), nil)
			}
		case "epoch":
			*epoch = f[1]
		default:
			t.Fatalf("no event: %q", line)
		}
	}
	b.Epoch = *epoch
	return b
}

func TestIdentitiesInUse(t *testing.T) {
	config := Config{Node: "n1", RunDir: t.TempDir()}
	begin := func() *identities { return newIdentities(config, slog.New(slog.DiscardHandler)) }
	i, epoch := begin(), ""
	for _, step := range []struct{ batch, want string }{
		{"epoch one; id 7 web; id 8 cart; id 9 db; pod 10.1.0.1 7 n1; pod 10.1.0.2 9 n2; synced", "one 7=web"},
		{"pod 10.1.0.3 8 n1", "one 7=web 8=cart"},
		{"pod 10.1.0.1 9 n1", "one 8=cart 9=db"},
		{"pod 10.1.0.3 8 n2", "one 9=db"},
		{"-pod 10.1.0.1", "one"},
		{"pod 10.1.0.1 7 n1; pod 10.1.0.3 8 n1; -id 7", "one 8=cart"},
		{"id 7 web", "one 7=web 8=cart"},
		// The store is lost: nothing of these tables arrives, but that it has
		// another epoch.
		{"unsynced; epoch two", "two 7=web 8=cart"},
		{"restart", " 7=web 8=cart"},
		{"epoch two", "two 7=web 8=cart"},
		{"id 7 other; pod 10.1.0.1 7 n1", "two 7=web 8=cart"},
		{"synced", "two 7=other"},
	} {
		if step.batch == "restart" {
			i, epoch = begin(), ""
			i.recall()
		} else {
			i.take(identityBatch(t, &epoch, step.batch))
		}
		got := []string{i.inUse().Epoch}
		for _, id := range i.inUse().Identities {
			got = append(got, fmt.Sprintf("%d=%s", id.ID, id.Labels["app"]))
		}
		if strings.Join(got, " ") != step.want {
			t.Fatalf("after %q: %q in use, want %q", step.batch, strings.Join(got, " "), step.want)
		}
	}
}

// What the pods of the node have is in the agent's report, also in that of an
// agent that starts on a store that was lost.
func TestReportNamesIdentities(t *testing.T) {
	r := newRig(t)
	web := clustermesh.Identity{ID: clustermesh.NewIdentityID(1, 77), Labels: map[string]string{"app": "web"}}
	r.put(&web, &clustermesh.EndpointIdentity{Address: netip.MustParseAddr("10.1.0.9"), Identity: web.ID, Node: "n1"})
	r.vouch()
	reported := func(epoch string) {
		t.Helper()
		r.until("it is reported under epoch "+epoch, func() bool {
			p := r.report()
			return p != nil && p.Epoch == epoch && slices.EqualFunc(p.Identities, []clustermesh.Identity{web}, sameIdentity)
		})
	}
	a := r.start()
	reported("one")
	a.stop()
	r.store.Stop()
	r.store.Config.Dir = t.TempDir()
	r.store.Start()
	etcdtest.Put(r, r.client, clustermesh.EpochKey, "two")
	r.start()
	reported("two")
}

// report returns what the agent reports to the store, nil while it does not.
func (r *rig) report() *clustermesh.ProcessStatus {
	r.Helper()
	p := &clustermesh.ProcessStatus{Role: Role, Node: r.config.Node}
	kv, ok, err := r.client.Get(r.Context(), clustermesh.KeyOf(clustermesh.Status, p).String())
	if err != nil {
		r.Fatal(err)
	}
	if !ok {
		return nil
	}
	o, err := clustermesh.DecodeAt(kv.Key, kv.Value)
	if err != nil {
		r.Fatal(err)
	}
	return o.(*clustermesh.ProcessStatus)
}
