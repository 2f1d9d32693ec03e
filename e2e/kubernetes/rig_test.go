// Package kubernetes has only tests: `tombolo apiserver` with a real
// kube-apiserver as its source. `make kube` builds that.
package kubernetes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/apiserver"
	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/clustermesh/source/kubernetes"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/internal/etcdtest"
	"tombolo.io/tombolo/internal/kube"
	"tombolo.io/tombolo/internal/kubetest"
)

// account is whom deploy/rbac binds to the role.
const (
	account  = "system:serviceaccount:tombolo:tombolo-apiserver"
	roleFile = "../../deploy/rbac/apiserver.yaml"
	// kindsFile has the definitions of our kinds.
	kindsFile = "../../deploy/crds"
)

// rig is a Kubernetes, a store, and a look at what is stored.
type rig struct {
	testing.TB
	kube  *kubetest.Cluster
	store *etcdtest.Store
	etcd  *etcd.Client
	admin *http.Client
	// as is how API servers reach Kubernetes.
	as      kube.Access
	servers []*server
}

func newRig(t testing.TB, cfg kubetest.Config) *rig {
	t.Helper()
	r := &rig{TB: t, kube: kubetest.New(t, cfg)}
	var err error
	if r.admin, err = r.kube.Admin().Client(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.admin.CloseIdleConnections)
	r.as = r.kube.Issue(account)
	r.newStore()
	return r
}

// newStore has the API servers to come write to an empty store.
func (r *rig) newStore() {
	r.Helper()
	r.store = etcdtest.New(r)
	r.store.Stop()
	r.store.Config.EpochKey, r.store.Config.Dir = clustermesh.EpochKey, r.TempDir()
	r.store.Start()
	r.etcd = r.store.Dial()
}

// allow gives the account its role.
func (r *rig) allow() { r.kube.Kubectl("", "apply", "--server-side", "-f", roleFile) }

// install makes our kinds known.
func (r *rig) install() {
	r.kube.Kubectl("", "apply", "--server-side", "-f", kindsFile)
	r.kube.Kubectl("", "wait", "--for=condition=Established", "--timeout=30s", "-f", kindsFile)
}

func (r *rig) apply(yaml string) {
	r.Helper()
	r.kube.Kubectl(yaml, "apply", "--server-side", "--force-conflicts", "-f", "-")
}

// server is an API server that a test stops.
type server struct {
	*apiserver.APIServer
	stop func()
}

// serve starts an API server on a node.
func (r *rig) serve(node string, shrink source.Shrink) *server {
	r.Helper()
	return r.serveFrom(node, shrink, func(leads func() bool) (source.Source, error) {
		return kubernetes.New(kubernetes.Config{Kubeconfig: r.as.Kubeconfig, Shrink: shrink, Node: node, Leads: leads}, etcdtest.Log())
	})
}

// serveFrom starts an API server that reads a source.
func (r *rig) serveFrom(node string, shrink source.Shrink, open func(leads func() bool) (source.Source, error)) *server {
	r.Helper()
	cfg := apiserver.Config{
		Cluster: clustermesh.Cluster{
			Name: "east", ID: 1,
			PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, NodeCIDRs: []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")},
		},
		Node: node, Shrink: shrink, Store: apiserver.Store{Endpoints: r.store.Config.Listen},
		Addresses: apiserver.AddressConfig{Classless: true},
	}
	if err := cfg.Validate(); err != nil {
		r.Fatal(err)
	}
	s := &server{}
	objects, err := open(func() bool { return s.Status().Leader })
	if err != nil {
		r.Fatal(err)
	}
	s.APIServer = apiserver.New(cfg, objects, etcdtest.Log().With("node", node))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	s.stop = func() {
		if cancel(); !stopped {
			stopped = true
			if err := <-done; err != nil {
				r.Errorf("%s: %v", node, err)
			}
		}
	}
	r.Cleanup(s.stop)
	r.servers = append(r.servers, s)
	return s
}

// until asks until the condition holds.
func (r *rig) until(what string, holds func() bool) {
	r.Helper()
	end := time.After(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-end:
			for _, s := range r.servers {
				r.Logf("%+v", s.Status())
			}
			r.Fatalf("%s: not so after a minute; the store has\n%s", what, strings.Join(r.keys(), "\n"))
		}
	}
}

// stored returns what the store has, by key without the root.
func (r *rig) stored() map[string]string {
	r.Helper()
	out := map[string]string{}
	if _, err := r.etcd.List(r.Context(), clustermesh.Root, func(kv etcd.KV) error {
		out[strings.TrimPrefix(kv.Key, clustermesh.Root)] = string(kv.Value)
		return nil
	}); err != nil {
		r.Fatal(err)
	}
	return out
}

// system are the namespaces that Kubernetes has of itself, whose objects no
// test looks at.
var system = []string{"/default/", "/kube-system/"}

// keys returns the data that is stored of the tests' own objects.
func (r *rig) keys() (out []string) {
	r.Helper()
	for k := range r.stored() {
		area, kind, _ := strings.Cut(k, "/")
		// Numbers of identities outlive their pods.
		if area != "export" && area != "private" || strings.HasPrefix(kind, "synced/") || strings.HasPrefix(kind, "identities/") || kind == "cluster" || kind == "lease" || kind == "seal" || kind == "gossip" || kind == "origin" {
			continue
		}
		if !slices.ContainsFunc(system, func(s string) bool { return strings.Contains(k, s) }) {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

func (r *rig) wants(what string, keys ...string) {
	r.Helper()
	keys = slices.Sorted(slices.Values(keys)) // those of the caller stay in order
	r.until(what, func() bool { return slices.Equal(r.keys(), keys) })
}

// degraded waits for a reason in the status.
func (r *rig) degraded(s *server, reasons ...string) {
	r.Helper()
	r.until("degraded because of "+strings.Join(reasons, " … "), func() bool {
		all := strings.Join(s.Status().Reasons, "\n")
		return !slices.ContainsFunc(reasons, func(want string) bool { return !strings.Contains(all, want) })
	})
}

func (r *rig) well(s *server) {
	r.Helper()
	r.until("well and synced", func() bool { st := s.Status(); return st.Health == clustermesh.HealthOK && st.Synced })
}

// ask sends a request as the admin, with a body of JSON, and fails unless it
// succeeds.
func (r *rig) ask(method, path string, body []byte) []byte {
	req, err := http.NewRequestWithContext(r.Context(), method, r.kube.URL()+path, bytes.NewReader(body))
	if err != nil {
		r.Error(err)
		return nil
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.admin.Do(req)
	if err != nil {
		r.Error(err)
		return nil
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, statusOf(resp)); err != nil {
		r.Errorf("%s %s: %v\n%s", method, path, err, out)
	}
	return out
}

func statusOf(resp *http.Response) error {
	if resp.StatusCode/100 != 2 {
		return errors.New(resp.Status)
	}
	return nil
}

// wire has API servers to come reach Kubernetes by a wire that can be cut.
func (r *rig) wire() *etcdtest.Wire {
	r.Helper()
	w := etcdtest.NewWire(r, r.kube.Listen.String())
	raw, err := os.ReadFile(r.as.Kubeconfig)
	if err != nil {
		r.Fatal(err)
	}
	r.as.Kubeconfig = r.as.Kubeconfig + ".wire"
	raw = bytes.ReplaceAll(raw, []byte(r.kube.Listen.String()), []byte(w.Address))
	if err := os.WriteFile(r.as.Kubeconfig, raw, 0o600); err != nil {
		r.Fatal(err)
	}
	return w
}

const namespaceYAML = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: blue}}
`

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

// serviceYAML is a service with a slice of its own making.
func serviceYAML(name, annotations string, endpoints ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `---
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: shop, annotations: {%[2]s}}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s-1, namespace: shop, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{port: 8080}]
endpoints:
`, name, annotations)
	for _, e := range endpoints {
		fmt.Fprintf(&b, "- {addresses: [%s]}\n", e)
	}
	return b.String()
}

const global = `tombolo.io/global: "true"`

// serviceKeys are those of a global service and its slice.
func serviceKeys(name string) []string {
	return []string{"export/services/shop/" + name, "export/slices/shop/" + name + "/" + name + "-1"}
}
