package kubernetes

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tombolo.io/tombolo/internal/kubetest"
)

// rendered are manifests whose every kind a Kubernetes API knows by itself.
var rendered = []string{"tombolo.yaml", "../helm/testdata/default.yaml", "../helm/testdata/external.yaml"}

// A real API server takes every object, each field of which it knows: with
// strict validation an unknown one is an error, not a warning.
func TestServerTakesIt(t *testing.T) {
	c := kubetest.New(t, kubetest.Config{})
	c.Kubectl("", "create", "namespace", "tombolo")
	for _, file := range rendered {
		raw, err := os.ReadFile(filepath.FromSlash(file))
		if err != nil {
			t.Fatal(err)
		}
		out := c.Kubectl(string(raw), "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-")
		if want := strings.Count(string(raw), "\nkind: "); strings.Count(out, "serverside-applied") != want {
			t.Errorf("%s: of %d objects it took\n%s", file, want, out)
		}
	}
	// And in earnest, so that a second time nothing changes hands.
	for range 2 {
		c.Kubectl("", "apply", "--server-side", "-f", "../crds", "-f", "../rbac", "-f", "tombolo.yaml")
	}
	c.AwaitKubectl("Established", "get", "crd", "clusterpeers.tombolo.io", "-o", "jsonpath={.status.conditions[*].type}")
	if out := c.Kubectl("", "auth", "can-i", "--list", "--as", "system:serviceaccount:tombolo:tombolo-agent", "-n", "tombolo"); strings.Contains(out, "services") {
		t.Errorf("an agent may do something in Kubernetes:\n%s", out)
	}
	for what, may := range map[string]string{"watch services": "yes", "delete pods": "no", "get secrets": "no"} {
		verb, resource, _ := strings.Cut(what, " ")
		out, _ := c.TryKubectl("", "auth", "can-i", verb, resource, "--as", "system:serviceaccount:tombolo:tombolo-apiserver", "-A")
		if strings.TrimSpace(out) != may {
			t.Errorf("the API server may %s: %s", what, out)
		}
	}
}
