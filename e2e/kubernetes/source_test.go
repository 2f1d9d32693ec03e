package kubernetes

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/yaml"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/internal/kube"
	"tombolo.io/tombolo/internal/kubetest"
)

const podYAML = `
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: shop, labels: {app: web}}
spec: {nodeName: n0, containers: [{name: web, image: none}]}
`

// The life of an API server that reads Kubernetes with the role of deploy/rbac,
// each step after the other. The last compares what it asked with that role.
func TestKubernetes(t *testing.T) {
	r := newRig(t, kubetest.Config{Controllers: true, Audit: true})
	r.apply(namespaceYAML + nodesYAML(0, 3) + serviceYAML("web", global, "10.1.0.1", "10.1.0.2"))
	s := r.serve("n0", source.Shrink{})
	all := append(nodeKeys(0, 3), serviceKeys("web")...)

	t.Run("what may not be read is named, and tried again", func(t *testing.T) {
		r := r.of(t)
		r.degraded(s, `nodes: the verb "list" is not allowed`, account, "deploy/rbac/apiserver.yaml",
			fmt.Sprintf("and %d more kinds", len(source.Kinds)-2)) // ServiceImports are written and not read
		if st := s.Status(); st.Ready() == nil || st.Source.Synced {
			t.Errorf("it is ready: %+v", st)
		}
		r.allow()
		r.wants("it is read as soon as it may be", all...)
	})
	t.Run("our kinds are not installed", func(t *testing.T) {
		r := r.of(t)
		r.degraded(s, "the API has no clusterpeers.tombolo.io", "the API has no bgppeers.tombolo.io", "deploy/crds")
		if err := s.Status().Ready(); err != nil {
			t.Errorf("the rest does not work: %v", err)
		}
		r.install()
		r.well(s)
		r.apply(`
apiVersion: tombolo.io/v1alpha1
kind: BGPPeer
metadata: {name: tor}
spec: {address: 192.168.1.254, asn: 64512, localASN: 64513, holdTime: 9s}
`)
		r.wants("and then they are read", append(all, "private/bgp/peers/tor")...)
		r.kube.Kubectl("", "delete", "bgppeer", "tor")
	})
	t.Run("objects change and go", func(t *testing.T) { changes(r.of(t), all) })
	t.Run("it means the same as in a directory", func(t *testing.T) { same(r.of(t)) })
	t.Run("what is wrong is an event", func(t *testing.T) { faults(r.of(t), s, all) })
	t.Run("what means nothing is an event", func(t *testing.T) { strays(r.of(t), s, all) })
	t.Run("a storm leaves nothing behind", func(t *testing.T) { storm(r.of(t), s, all) })
	t.Run("objects say how they stand", func(t *testing.T) { standings(r.of(t), all) })
	t.Run("services of all clusters", func(t *testing.T) { multicluster(r.of(t), s, all) })
	t.Run("a service has an address", func(t *testing.T) { addresses(r.of(t), all) })
	t.Run("another leads", func(t *testing.T) { another(r.of(t), s, all) })
	t.Run("the role is what is used", func(t *testing.T) { role(r.of(t)) })
}

// of returns the rig with which a subtest works.
func (r *rig) of(t testing.TB) *rig {
	sub := *r
	sub.TB = t
	return &sub
}

// identities returns what is stored of addresses.
func (r *rig) identities() (out []string) {
	for _, k := range r.keys() {
		if strings.HasPrefix(k, "export/endpoints/") {
			out = append(out, k)
		}
	}
	return out
}

func changes(r *rig, all []string) {
	r.apply(serviceYAML("web", global+`, tombolo.io/shared: "false"`, "10.1.0.1"))
	r.wants("the service moves", append(nodeKeys(0, 3), "private/services/shop/web", "private/slices/shop/web/web-1")...)
	r.apply(serviceYAML("web", global, "10.1.0.1"))
	r.wants("and back", all...)
	r.apply(podYAML)
	r.kube.Kubectl("", "-n", "shop", "patch", "pod", "web-0", "--subresource=status", "--type=merge", "-p",
		`{"status": {"phase": "Running", "podIP": "10.1.0.1", "podIPs": [{"ip": "10.1.0.1"}, {"ip": "fd00:1::1"}]}}`)
	r.until("the pod's addresses have an identity", func() bool { return len(r.identities()) == 2 })
	labels := func() string {
		for k, v := range r.stored() {
			if strings.HasPrefix(k, "export/identities/") {
				o, err := clustermesh.DecodeAt(clustermesh.Root+k, []byte(v))
				if err != nil {
					r.Fatal(err)
				}
				return fmt.Sprint(o.(*clustermesh.Identity).Labels)
			}
		}
		return ""
	}
	if got := labels(); !strings.Contains(got, "web") || !strings.Contains(got, "team:blue") && !strings.Contains(got, "blue") {
		r.Errorf("the identity has the labels %s", got)
	}
	r.kube.Kubectl("", "-n", "shop", "delete", "pod", "web-0", "--force", "--grace-period=0")
	r.until("they go with it", func() bool { return len(r.identities()) == 0 })
}

// events returns the messages of events on a service, with their counts.
func (r *rig) events(service string) (out []string) {
	r.Helper()
	var list struct {
		Items []struct {
			Reason, Message, Type string
			Count                 int
			InvolvedObject        struct{ UID string }
		}
	}
	raw := r.kube.Kubectl("", "-n", "shop", "get", "events", "--field-selector", "involvedObject.kind=Service,involvedObject.name="+service, "-o", "json")
	if err := json.Unmarshal([]byte(raw), &list); err != nil {
		r.Fatal(err)
	}
	for _, e := range list.Items {
		out = append(out, fmt.Sprintf("%s %s %d %v %s", e.Type, e.Reason, e.Count, e.InvolvedObject.UID != "", e.Message))
	}
	slices.Sort(out)
	return out
}

func faults(r *rig, s *server, all []string) {
	before := r.stored()["export/services/shop/web"]
	r.apply(serviceYAML("web", `tombolo.io/global: "perhaps", service.cilium.io/affinity: near`, "10.1.0.1", "10.1.0.9"))
	r.degraded(s, `object not taken: Service shop/web: metadata.annotations["tombolo.io/global"]: "perhaps" is not "true" or "false"`,
		`metadata.annotations["service.cilium.io/affinity"]: "near" is not local, remote or none`)
	want := []string{
		`Warning InvalidAnnotation 1 true metadata.annotations["service.cilium.io/affinity"]: "near" is not local, remote or none; until this is mended, what was known of the object stays`,
		`Warning InvalidAnnotation 1 true metadata.annotations["tombolo.io/global"]: "perhaps" is not "true" or "false"; until this is mended, what was known of the object stays`,
	}
	r.until("each mistake is an event", func() bool { return slices.Equal(r.events("web"), want) })
	if r.stored()["export/services/shop/web"] != before {
		r.Error("the service changed")
	}
	r.apply(serviceYAML("web", global, "10.1.0.1"))
	r.wants("mended", all...)
	r.until("and forgotten", func() bool { return len(s.Status().Source.Problems) == 0 })
}

// strays shows that what means nothing is said, and does no harm.
func strays(r *rig, s *server, all []string) {
	r.apply(serviceYAML("slip", global+`, tombolo.io/wieght: "7", service.cilium.io/lb-algorithm: maglev`, "10.1.0.3"))
	r.kube.Kubectl("", "annotate", "node", "n1", "tombolo.io/weight=7")
	r.kube.Kubectl("", "annotate", "namespace", "shop", "tombolo.io/global=true")
	r.wants("they are taken", append(serviceKeys("slip"), all...)...)
	on := func(object, want string) {
		r.Helper()
		r.until("an event on "+object, func() bool {
			return strings.Contains(r.kube.Kubectl("", "events", "-n", "default", "--for", object, "-o", "json")+r.kube.Kubectl("", "events", "-n", "shop", "--for", object, "-o", "json"), want)
		})
	}
	on("service/slip", `metadata.annotations[\"tombolo.io/wieght\"]: is not known; tombolo.io/weight was meant? those of a Service are`)
	on("node/n1", `means nothing on a Node`)
	on("namespace/shop", `means nothing on a Namespace`)
	if got := r.events("slip"); len(got) != 1 || !strings.HasPrefix(got[0], "Warning UnknownAnnotation 1 true") {
		r.Errorf("events: %v", got)
	}
	if n := len(s.Status().Source.Remarks); n != 3 {
		r.Errorf("there are %d remarks", n)
	}
	r.kube.Kubectl("", "annotate", "node", "n1", "tombolo.io/weight-")
	r.kube.Kubectl("", "annotate", "namespace", "shop", "tombolo.io/global-")
	r.kube.Kubectl("", "-n", "shop", "delete", "service/slip", "endpointslice/slip-1")
	r.wants("gone", all...)
	r.until("and forgotten", func() bool { return len(s.Status().Source.Remarks) == 0 })
	r.well(s)
}

// storm makes a thousand services, each with a slice that the controller makes,
// and deletes them while some are still being made.
func storm(r *rig, s *server, all []string) {
	const many, at = 1000, "/api/v1/namespaces/storm/services"
	r.kube.Kubectl("", "create", "namespace", "storm")
	var work errgroup.Group
	work.SetLimit(16)
	for i := range many {
		work.Go(func() error {
			name := fmt.Sprintf("s%d", i)
			r.ask("POST", at, fmt.Appendf(nil, `{"apiVersion": "v1", "kind": "Service", "metadata": {"name": %q, "annotations": {"tombolo.io/global": "true"}},
				"spec": {"selector": {"app": "none"}, "ports": [{"port": 80}]}}`, name))
			if i%2 == 1 {
				r.ask("DELETE", at+"/"+name, nil)
			}
			return nil
		})
	}
	work.Wait()
	stormy := func(kind string) (n int) {
		for k := range r.stored() {
			if strings.HasPrefix(k, "export/"+kind+"/storm/") {
				n++
			}
		}
		return n
	}
	r.until("those that are left are stored", func() bool { return stormy("services") == many/2 })
	r.kube.Kubectl("", "delete", "namespace", "storm", "--timeout=120s")
	r.wants("nothing is left", all...)
	r.well(s)
}

func another(r *rig, first *server, all []string) {
	r.apply(serviceYAML("cart", `tombolo.io/priority: high`, "10.1.0.3"))
	r.until("its mistake is an event", func() bool { return len(r.events("cart")) == 1 })
	second := r.serve("n1", source.Shrink{})
	r.until("the second stands by", func() bool { st := second.Status(); return st.Ready() == nil && st.LeaderName == "n0" })
	first.stop()
	r.until("the second leads", func() bool { st := second.Status(); return st.Leader && st.Passed })
	r.apply(nodesYAML(3, 4))
	r.wants("and writes", append(slices.Clone(all), "export/nodes/n3", "private/slices/shop/cart/cart-1")...)
	r.until("it says again what is wrong", func() bool { return r.patched() })
	if got := r.events("cart"); len(got) != 1 {
		r.Errorf("one mistake is several events: %s", strings.Join(got, "\n"))
	}
	r.kube.Kubectl("", "-n", "shop", "delete", "service", "cart")
	r.kube.Kubectl("", "-n", "shop", "delete", "endpointslice", "cart-1")
	r.kube.Kubectl("", "delete", "node", "n3")
	r.wants("mended by its end", all...)
	r.well(second)
	second.stop()
}

// patched says whether an event was said again.
func (r *rig) patched() bool {
	return slices.ContainsFunc(r.kube.Requests(account), func(q kube.Request) bool { return q.Verb == "patch" && q.Resource == "events" })
}

// role compares what was asked, in all of the run, with what the role gives:
// both are the same.
func role(r *rig) {
	text, err := os.ReadFile(roleFile)
	if err != nil {
		r.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n---")
	var role struct {
		Rules []struct{ APIGroups, Resources, ResourceNames, Verbs []string }
	}
	if err := yaml.Unmarshal([]byte(first), &role); err != nil {
		r.Fatal(err)
	}
	unused := map[string]bool{}
	for _, rule := range role.Rules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					what := verb + " " + resource + "." + group
					for _, name := range rule.ResourceNames {
						unused[what+" "+name] = true
					}
					if len(rule.ResourceNames) == 0 {
						unused[what] = true
					}
				}
			}
		}
	}
	given := maps.Clone(unused)
	for _, q := range r.kube.Requests(account) {
		resource := q.Resource
		if q.Subresource != "" {
			resource += "/" + q.Subresource
		}
		what := q.Verb + " " + resource + "." + q.Group
		if named := what + " " + q.Name; given[named] {
			what = named
		}
		if !given[what] {
			r.Errorf("it asks for what the role does not give: %s %s", q.Verb, q.Path)
		}
		delete(unused, what)
	}
	for what := range unused {
		r.Errorf("the role gives what nobody asks for: %s", what)
	}
}
