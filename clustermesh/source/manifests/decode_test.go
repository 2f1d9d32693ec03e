package manifests

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"tombolo.io/tombolo/clustermesh/source"
)

// told renders a file as text: what it holds, claims, skips and has wrong.
func told(f *file) string {
	var out []string
	for k, p := range f.held {
		out = append(out, fmt.Sprintf("%d %s", p.line, k))
	}
	for k, line := range f.claimed {
		out = append(out, fmt.Sprintf("%d %s claimed", line, k))
	}
	slices.Sort(out)
	for _, k := range slices.Sorted(maps.Keys(f.skipped)) {
		out = append(out, fmt.Sprintf("skipped %d %s", f.skipped[k], k))
	}
	for _, p := range f.problems {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s: %s", p.Place, p.Object, p.Reason)))
	}
	if f.broken {
		out = append(out, "broken")
	}
	return strings.Join(out, "\n")
}

const node1 = "apiVersion: v1\nkind: Node\nmetadata: {name: n1}\n"

func TestParse(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", ""},
		{"comments only", "# nothing\n---\n# here\n", ""},
		{"several documents", "---\n" + node1 + "---\napiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: shop}\n",
			"2 Node n1\n6 Pod shop/p"},
		{"the namespace default", "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n", "1 Service default/web"},
		{"every kind", `
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s}, addressType: IPv4, endpoints: []}
---
{apiVersion: tombolo.io/v1alpha1, kind: ClusterPeer, metadata: {name: west}, spec: {endpoints: ["https://192.0.2.1:2379"], tls: {caFile: /a, certFile: /b, keyFile: /c}}}
---
{apiVersion: tombolo.io/v1alpha1, kind: BGPPeer, metadata: {name: tor}, spec: {address: 192.0.2.1, asn: 1, localASN: 2, holdTime: 9s}}
---
{apiVersion: tombolo.io/v1alpha1, kind: BGPAdvertisement, metadata: {name: all}, spec: {podCIDRs: true}}
`, "10 BGPAdvertisement all\n2 Namespace shop\n4 EndpointSlice default/s\n6 ClusterPeer west\n8 BGPPeer tor"},
		{"JSON with tabs", "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Node\",\n\t\"metadata\": {\"name\": \"n1\"}\n}\n", "1 Node n1"},
		{"a List", `apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Node
  metadata: {name: n1}
- apiVersion: v1
  kind: Node
  metadata: {name: n2}
  spec: {podCIDRs: 5}
- apiVersion: apps/v1
  kind: Deployment
`, `4 Node n1
7 Node n2 claimed
skipped 1 apps/v1 Deployment
x.yaml:10 Node n2: spec.podCIDRs: wants a list, is a number`},
		{"a list of one kind", "apiVersion: v1\nkind: NodeList\nitems:\n- metadata: {name: n1}\n- metadata: {name: n2}\n", "4 Node n1\n5 Node n2"},
		{"a list of a kind that is not ours", "apiVersion: apps/v1\nkind: DeploymentList\nitems: [{metadata: {name: a}}]\n", "skipped 1 apps/v1 DeploymentList"},
		{"another version of a kind", "apiVersion: discovery.k8s.io/v1beta1\nkind: EndpointSlice\n", "x.yaml:1 : apiVersion: \"discovery.k8s.io/v1beta1\": EndpointSlice is read as discovery.k8s.io/v1\nbroken"},
		{"another version of one of ours", "kind: BGPPeer\napiVersion: tombolo.io/v1\nmetadata: {name: tor}\n",
			"x.yaml:2 : apiVersion: \"tombolo.io/v1\": BGPPeer is read as tombolo.io/v1alpha1\nbroken"},
		{"a slip of the pen", "apiVersion: tombolo.io/v1alpha1\nkind: ClusterPeeer\nmetadata: {name: west}\n",
			"x.yaml:2 : kind: \"ClusterPeeer\" is no kind of tombolo.io/v1alpha1, which are AddressPool, BGPAdvertisement, BGPPeer, ClusterPeer\nbroken"},
		{"somebody else's kind of the same name", "apiVersion: metallb.io/v1beta2\nkind: BGPPeer\n", "skipped 1 metallb.io/v1beta2 BGPPeer"},
		{"a line too far left", node1 + "spec:\n  podCIDRs:\n  - 10.1.0.0/24\n - 10.2.0.0/24\n",
			"x.yaml:7 : did not find expected key: is it, or the line before it, indented as it should be?\nbroken"},
		{"a line too far right", "---\n" + node1 + "spec:\n  a: 1\n   b: 2\n  c: 3\n",
			"x.yaml:7 : mapping values are not allowed in this context: is it, or the line before it, indented as it should be?\nbroken"},
		{"a key too far right", "---\n" + node1 + "spec:\n  - port: 80\n   name: bad\n",
			"x.yaml:7 : did not find expected '-' indicator: is it, or the line before it, indented as it should be?\nbroken"},
		{"a broken document disturbs no other", "a: [\n---\n" + node1, "3 Node n1\nx.yaml:1 : did not find expected node content\nbroken"},
		{"an unknown field", "\n" + node1 + "spec:\n  podCIDR: 10.1.0.0/24\n  podCidrs: []\n",
			"2 Node n1 claimed\nx.yaml:7 Node n1: spec.podCidrs: unknown field"},
		{"a wrong type", "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  ports:\n  - port: 80\n  - name: b\n    port: http\n",
			"1 Service default/web claimed\nx.yaml:8 Service default/web: spec.ports[1].port: wants a number (int32), is a string"},
		{"a map where a list belongs", "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  ports:\n    port: 80\n",
			"1 Service default/web claimed\nx.yaml:5 Service default/web: spec.ports: wants a list, is an object"},
		{"an annotation that is no string", "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n  annotations:\n    tombolo.io/global: true\n",
			"1 Service default/web claimed\nx.yaml:6 Service default/web: metadata.annotations[\"tombolo.io/global\"]: wants a string, is a bool"},
		{"a wrong annotation", "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n  annotations:\n    tombolo.io/global: \"true\"\n    tombolo.io/affinity: near\n",
			"1 Service default/web claimed\nx.yaml:7 Service default/web: metadata.annotations[\"tombolo.io/affinity\"]: \"near\" is not local, remote or none"},
		{"a key twice", "apiVersion: v1\nkind: Node\nmetadata:\n  name: n1\n  name: n2\n", "x.yaml:5 : key \"name\" already set in map\nbroken"},
		{"no name", "apiVersion: v1\nkind: Node\nmetadata:\n  labels: {}\n", "x.yaml:3 : metadata.name: is missing\nbroken"},
		{"no kind", "apiVersion: v1\nmetadata: {name: n1}\n", "x.yaml:1 : says no apiVersion and kind\nbroken"},
		{"not a map", "- a\n- b\n", "x.yaml:1 : is no Kubernetes object: it must be a map with apiVersion, kind and metadata\nbroken"},
		{"a node in a namespace", "apiVersion: v1\nkind: Node\nmetadata:\n  name: n1\n  namespace: shop\n",
			"1 Node n1 claimed\nx.yaml:5 Node n1: metadata.namespace: a Node has none"},
		{"the same object twice", node1 + "---\n" + node1, "1 Node n1\nx.yaml:5 Node n1: is in this file before, on line 1, and that one holds"},
		{"a duration that is none", "apiVersion: tombolo.io/v1alpha1\nkind: BGPPeer\nmetadata: {name: tor}\nspec: {address: 192.0.2.1, asn: 1, localASN: 2, holdTime: \"9\"}\n",
			"1 BGPPeer tor claimed\nx.yaml:4 BGPPeer tor: spec.holdTime: \"9\" is not a time of whole seconds, such as 9s or 1m30s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := told(parse("x.yaml", []byte(c.text), nil)); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestParseDecodesOnlyWhatChanged(t *testing.T) {
	node2 := strings.ReplaceAll(node1, "n1", "n2")
	before := parse("x.yaml", []byte(node1+"---\n"+node2), nil)
	after := parse("x.yaml", []byte("# one more line\n"+node1+"---\n"+node2), before)
	n1, n2 := source.Key{Kind: source.Node, Name: "n1"}, source.Key{Kind: source.Node, Name: "n2"}
	if before.held[n1].objects[0] == after.held[n1].objects[0] {
		t.Error("a document that changed was not decoded again")
	}
	if before.held[n2].objects[0] != after.held[n2].objects[0] {
		t.Error("a document that did not change was decoded again")
	}
	if got := after.held[n2].line; got != 6 {
		t.Errorf("it moved to line 6, told %d", got)
	}
}
