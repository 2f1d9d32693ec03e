package helm

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Agents reach etcd from their nodes' addresses or, in an overlay, from one of the
// pods' prefixes; only members reach members.
func TestPolicyAdmitsAgents(t *testing.T) {
	policy := find(t, must(t, east, `networkPolicy: {clients: [192.0.2.0/24]}`), "NetworkPolicy", "tombolo-apiserver")
	rules, _, _ := unstructured.NestedSlice(policy.Object, "spec", "ingress")
	for port, want := range map[string]string{"2379": "172.20.1.0/24 10.1.0.0/16 192.0.2.0/24", "2380": ""} {
		var got []string
		found := false
		for _, r := range rules {
			rule := r.(map[string]any)
			ports, _, _ := unstructured.NestedSlice(rule, "ports")
			if !slices.ContainsFunc(ports, func(p any) bool { return fmt.Sprint(p.(map[string]any)["port"]) == port }) {
				continue
			}
			found = true
			from, _, _ := unstructured.NestedSlice(rule, "from")
			for _, f := range from {
				if cidr, there, _ := unstructured.NestedString(f.(map[string]any), "ipBlock", "cidr"); there {
					got = append(got, cidr)
				}
			}
		}
		if !found || strings.Join(got, " ") != want {
			t.Errorf("port %s is open to %v (a rule: %v), want %q", port, got, found, want)
		}
	}
}

// What outlives a lost store lies beside the data directory, so that directory is
// one below where the volume is mounted. Without volumes there are three members.
func TestStoreLiesBelowItsVolume(t *testing.T) {
	for what, document := range map[string]string{"with volumes": "", "without": `apiserver: {etcd: {storage: {persistent: false, size: 1Gi}}}`} {
		o := find(t, must(t, east, document), "StatefulSet", "tombolo-apiserver")
		c := containers(o)[0]
		args, _, _ := unstructured.NestedStringSlice(c, "args")
		mounts, _, _ := unstructured.NestedSlice(c, "volumeMounts")
		at := ""
		for _, m := range mounts {
			if m := m.(map[string]any); m["name"] == "store" {
				at = m["mountPath"].(string)
			}
		}
		if at == "" || !slices.Contains(args, "--data-dir="+at+"/etcd") {
			t.Errorf("%s: the volume is at %q, and the role is told %v", what, at, args)
		}
		claims, _, _ := unstructured.NestedSlice(o.Object, "spec", "volumeClaimTemplates")
		volumes, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "volumes")
		limits := map[string]string{}
		for _, v := range volumes {
			name, _ := v.(map[string]any)["name"].(string)
			limits[name], _, _ = unstructured.NestedString(v.(map[string]any), "emptyDir", "sizeLimit")
		}
		want := map[string]string{"with volumes": "", "without": "1Gi"}[what]
		if limits["store"] != want || (len(claims) == 1) != (want == "") {
			t.Errorf("%s: %d claims, and a store limited to %q", what, len(claims), limits["store"])
		}
	}
}
