package apiserver

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/clustermesh/source/manifests"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/internal/etcdtest"
)

// rig is a store, a directory of manifests, and a look at what is stored.
type rig struct {
	testing.TB
	store *etcdtest.Store
	dir   string
	// config is that of the API servers.
	config Config
	// wrap makes another source of that of the directory, unless it is nil.
	wrap func(source.Source) source.Source
	// have is what the store has, by key without the root.
	have    map[string][]byte
	batches chan etcd.Batch[[]byte]
	servers []*server
}

func newRig(t testing.TB) *rig {
	t.Helper()
	s := etcdtest.New(t)
	s.Stop()
	s.Config.EpochKey, s.Config.Dir = clustermesh.EpochKey, t.TempDir()
	s.Start()
	r := look(t, s.Dial())
	r.store = s
	r.config = Config{
		Cluster: clustermesh.Cluster{
			Name: "east", ID: 1,
			PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, NodeCIDRs: []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")},
		},
		Store: Store{Endpoints: s.Config.Listen},
	}
	return r
}

// look returns a rig that follows a store.
func look(t testing.TB, client *etcd.Client) *rig {
	r := &rig{TB: t, dir: t.TempDir(), have: map[string][]byte{}, batches: make(chan etcd.Batch[[]byte])}
	table := etcd.Table[[]byte]{
		Prefix: "tombolo/",
		Decode: func(_ string, v []byte) ([]byte, error) { return slices.Clone(v), nil },
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- table.Watch(ctx, client, etcdtest.Log(), r.batches) }()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

// server is an API server that a test stops.
type server struct {
	*APIServer
	stop func()
}

// serve starts an API server on the rig's store and directory.
func (r *rig) serve(node string, change ...func(*Config)) *server {
	r.Helper()
	c := r.config
	c.Node = node
	for _, f := range change {
		f(&c)
	}
	if err := c.Validate(); err != nil {
		r.Fatal(err)
	}
	var objects source.Source = manifests.New(manifests.Config{Dir: r.dir}, etcdtest.Log())
	if r.wrap != nil {
		objects = r.wrap(objects)
	}
	a := New(c, objects, etcdtest.Log().With("node", node))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stopped := false
	s := &server{a, func() {
		if cancel(); !stopped {
			stopped = true
			if err := <-done; err != nil {
				r.Errorf("%s: %v", node, err)
			}
		}
	}}
	r.Cleanup(s.stop)
	r.servers = append(r.servers, s)
	return s
}

func (r *rig) write(name, text string) {
	r.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name+".tmp"), []byte(text), 0o644); err != nil {
		r.Fatal(err)
	}
	if err := os.Rename(filepath.Join(r.dir, name+".tmp"), filepath.Join(r.dir, name)); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) remove(name string) {
	r.Helper()
	if err := os.Remove(filepath.Join(r.dir, name)); err != nil {
		r.Fatal(err)
	}
}

// until takes in what the store tells until the condition holds.
func (r *rig) until(what string, holds func() bool) {
	r.Helper()
	end := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond) // a status may change without the store
	defer tick.Stop()
	for !holds() {
		select {
		case b := <-r.batches:
			for _, e := range b.Events {
				switch e.Op {
				case etcd.Put:
					r.have[short(e.Key)] = e.Value
				case etcd.Delete:
					delete(r.have, short(e.Key))
				}
			}
		case <-tick.C:
		case <-end:
			for _, s := range r.servers {
				r.Logf("%+v", s.Status())
			}
			r.Fatalf("%s: not so after a minute; the store has\n%s", what, strings.Join(r.keys(), "\n"))
		}
	}
}

// keys returns the data that is stored, markers and single keys aside.
func (r *rig) keys() []string {
	var out []string
	for k := range r.have {
		if strings.HasPrefix(k, "export/") || strings.HasPrefix(k, "private/") || strings.HasPrefix(k, "mirror/") {
			if !strings.Contains(k, "/synced/") && !slices.Contains([]string{"export/cluster", leaseKey, "private/seal", "private/gossip", "private/origin"}, k) {
				out = append(out, k)
			}
		}
	}
	slices.Sort(out)
	return out
}

func (r *rig) wants(what string, keys ...string) {
	r.Helper()
	slices.Sort(keys)
	r.until(what, func() bool { return slices.Equal(r.keys(), keys) })
}

// marker returns a table's marker, or the zero one.
func (r *rig) marker(table string) clustermesh.Synced {
	area, kind, _ := strings.Cut(table, "/")
	key := clustermesh.Key{Area: clustermesh.Area(area), Kind: clustermesh.KindSynced, Name: kind}
	value, ok := r.have[short(key.String())]
	if !ok {
		return clustermesh.Synced{}
	}
	o, err := clustermesh.Decode(key, value)
	if err != nil {
		r.Fatal(err)
	}
	return *o.(*clustermesh.Synced)
}

func (r *rig) service(key string) *clustermesh.Service {
	o, err := clustermesh.DecodeAt(clustermesh.Root+key, r.have[key])
	if err != nil {
		r.Fatal(err)
	}
	return o.(*clustermesh.Service)
}

func nodesYAML(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: Node\nmetadata: {name: n%d}\n", i)
	}
	return b.String()
}

func nodeKeys(from, to int) (out []string) {
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf("export/nodes/n%d", i))
	}
	return out
}

func serviceYAML(name, annotations string, endpoints int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `---
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: shop, annotations: {%[2]s}}
spec: {clusterIP: 10.96.0.10, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s-1, namespace: shop, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{port: 8080}]
endpoints:
`, name, annotations)
	for i := range endpoints {
		fmt.Fprintf(&b, "- {addresses: [10.1.0.%d]}\n", i+1)
	}
	return b.String()
}

const global = `tombolo.io/global: "true"`

// degraded waits for a reason in the status.
func (r *rig) degraded(s *server, reason string) {
	r.Helper()
	r.until("degraded because of "+reason, func() bool {
		st := s.Status()
		return st.Health == clustermesh.HealthDegraded && slices.ContainsFunc(st.Reasons, func(x string) bool { return strings.Contains(x, reason) })
	})
}

func (r *rig) well(s *server) {
	r.Helper()
	r.until("well and synced", func() bool { st := s.Status(); return st.Health == clustermesh.HealthOK && st.Synced })
}

var allow = func(c *Config) { c.Shrink = source.Shrink{Allow: true} }
