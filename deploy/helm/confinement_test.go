package helm

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// What each role may do on its node is the least it works with, as
// e2e/testdata/capabilities.txtar tries.
func TestConfinement(t *testing.T) {
	all := must(t, east)
	for name, want := range map[string]struct {
		kind, adds string
		token      bool
		host       bool
		// What the modules of the node's kernel are told; "" leaves it to the runtime.
		appArmor, seLinux string
	}{
		"tombolo-apiserver": {kind: "StatefulSet", token: true},
		"tombolo-agent":     {kind: "DaemonSet", adds: "NET_ADMIN NET_RAW SYS_ADMIN SYS_PTRACE", host: true, appArmor: "Unconfined", seLinux: "spc_t"},
		"tombolo-speaker":   {kind: "DaemonSet", adds: "NET_ADMIN", host: true, seLinux: "spc_t"},
	} {
		o := find(t, all, want.kind, name)
		pod, _, _ := unstructured.NestedMap(o.Object, "spec", "template", "spec")
		if pod["automountServiceAccountToken"] != want.token {
			t.Errorf("%s: token of Kubernetes %v", name, pod["automountServiceAccountToken"])
		}
		if host, _ := pod["hostNetwork"].(bool); host != want.host {
			t.Errorf("%s: network of the node %v", name, host)
		}
		if got := seLinuxType(o); got != want.seLinux {
			t.Errorf("%s: SELinux type %q, want %q", name, got, want.seLinux)
		}
		for _, c := range containers(o) {
			security := c["securityContext"].(map[string]any)
			if got, _, _ := unstructured.NestedString(security, "appArmorProfile", "type"); got != want.appArmor {
				t.Errorf("%s: AppArmor profile %q, want %q", name, got, want.appArmor)
			}
			adds := capabilities(o)
			drops, _, _ := unstructured.NestedStringSlice(security, "capabilities", "drop")
			profile, _, _ := unstructured.NestedString(security, "seccompProfile", "type")
			if strings.Join(adds, " ") != want.adds || strings.Join(drops, " ") != "ALL" || profile != "RuntimeDefault" ||
				security["readOnlyRootFilesystem"] != true || security["allowPrivilegeEscalation"] != false || security["privileged"] != false {
				t.Errorf("%s: %v", name, security)
			}
		}
	}
}

// seLinuxType is that of a workload's pods.
func seLinuxType(o *unstructured.Unstructured) string {
	got, _, _ := unstructured.NestedString(o.Object, "spec", "template", "spec", "securityContext", "seLinuxOptions", "type")
	return got
}

// Nodes whose SELinux has a type of its own for agents, or none.
func TestSELinuxType(t *testing.T) {
	all := must(t, east, `{agent: {seLinuxType: tombolo_t}, speaker: {seLinuxType: ""}}`)
	if got := seLinuxType(find(t, all, "DaemonSet", "tombolo-agent")); got != "tombolo_t" {
		t.Errorf("agents have the type %q", got)
	}
	pod, _, _ := unstructured.NestedMap(find(t, all, "DaemonSet", "tombolo-speaker").Object, "spec", "template", "spec")
	if s, there := pod["securityContext"]; there {
		t.Errorf("speakers have %v", s)
	}
}

// The chart's rules and custom resources are those of deploy/rbac and
// deploy/crds, which the roles' own tests try.
func TestChartShipsWhatIsTested(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(root, "deploy", "rbac", "apiserver.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	tested, ours := objects(t, string(raw)), must(t, east)
	want := find(t, tested, "ClusterRole", "tombolo-apiserver").Object["rules"]
	if got := find(t, ours, "ClusterRole", "tombolo-apiserver").Object["rules"]; !reflect.DeepEqual(got, want) {
		t.Errorf("the chart has other rules than deploy/rbac/apiserver.yaml:\n%v\n%v", got, want)
	}
	crds, err := filepath.Glob(filepath.Join(root, "deploy", "crds", "*.yaml"))
	if err != nil || len(crds) < 4 {
		t.Fatalf("deploy/crds has %v, %v", crds, err)
	}
	for _, path := range crds {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var crd unstructured.Unstructured
		if err := yaml.Unmarshal(raw, &crd.Object); err != nil {
			t.Fatal(err)
		}
		rendered := find(t, ours, "CustomResourceDefinition", crd.GetName())
		if !reflect.DeepEqual(rendered.Object["spec"], crd.Object["spec"]) {
			t.Errorf("%s is rendered otherwise", path)
		}
		if rendered.GetAnnotations()["helm.sh/resource-policy"] != "keep" {
			t.Errorf("%s goes with the release, and every object of it", path)
		}
	}
}

// capabilities are those that a workload's containers are given.
func capabilities(o *unstructured.Unstructured) []string {
	var out []string
	for _, c := range containers(o) {
		adds, _, _ := unstructured.NestedStringSlice(c, "securityContext", "capabilities", "add")
		out = append(out, adds...)
	}
	return out
}
