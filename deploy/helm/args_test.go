package helm

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// everything gives each role every flag that the chart can give.
const everything = `
apiserver:
  cordonDrains: true
  allowShrink: true
  identityLabels: [app, -tier]
  peers: [{name: west, secretName: tombolo-peer-west}]
agent:
  uplinks: [eth0, eth1]
  packetForwarding: hybrid
  packetXDP: generic
speaker:
  passwordSecret: bgp
`

// external is an etcd outside.
const external = `apiserver: {etcd: {mode: external, endpoints: ["https://10.0.0.1:2379", "https://10.0.0.2:2379"]}}`

// alone is a cluster without kube-proxy.
const alone = `{agent: {kubeProxyReplacement: true}, kubernetes: {host: 10.0.0.1, port: 443}}`

// binDir is where the binary is built, for all tests.
var binDir string

func TestMain(m *testing.M) {
	var err error
	if binDir, err = os.MkdirTemp("", "tombolo-chart-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(binDir)
	os.Exit(code)
}

// build builds the binary once.
var build = sync.OnceValues(func() ([]byte, error) {
	c := exec.Command("go", "build", "-o", filepath.Join(binDir, "tombolo"), "./cmd/tombolo")
	c.Dir, c.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	return c.CombinedOutput()
})

// tombolo returns the binary.
func tombolo(t *testing.T) string {
	t.Helper()
	if out, err := build(); err != nil {
		t.Fatalf("building tombolo: %v\n%s", err, out)
	}
	return filepath.Join(binDir, "tombolo")
}

// The roles themselves read the arguments that the chart and the units give
// them: a flag that was renamed, or a value of another kind, is an error.
func TestRolesKnowTheirFlags(t *testing.T) {
	binary := tombolo(t)
	read := func(where string, args []string) {
		t.Helper()
		line := strings.NewReplacer("$(POD_NAME)", "tombolo-apiserver-0", "$(NODE_NAME)", "n1").Replace(strings.Join(args, "\n"))
		out, err := exec.Command(binary, append(strings.Split(line, "\n"), "--print-config")...).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s\n%s", where, err, out, line)
		}
	}
	for name, documents := range map[string][]string{
		"east": {east}, "everything": {east, everything}, "external": {east, everything, external},
		"without kube-proxy": {east, external, alone},
	} {
		roles := 0
		for _, o := range must(t, documents...) {
			for _, c := range containers(o) {
				args, _, _ := unstructured.NestedStringSlice(c, "args")
				read(name+" "+o.GetKind()+" "+o.GetName(), args)
				roles++
			}
		}
		if roles != 3 {
			t.Errorf("%s: found %d roles", name, roles)
		}
	}
	for _, unit := range units(t) {
		read(unit.name, unit.args(t))
	}
	if out, err := exec.Command(binary, "agent", "--no-such-flag", "--print-config").CombinedOutput(); err == nil {
		t.Errorf("the binary takes any flag: %s", out)
	}
}

// containers are those of a workload.
func containers(o *unstructured.Unstructured) []map[string]any {
	list, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	var out []map[string]any
	for _, c := range list {
		out = append(out, c.(map[string]any))
	}
	return out
}

// Without kube-proxy the agents take every service, and the API server does not reach
// Kubernetes by one.
func TestWithoutKubeProxy(t *testing.T) {
	agents, servers := 0, 0
	for _, o := range must(t, east, external, alone) {
		for _, c := range containers(o) {
			args, _, _ := unstructured.NestedStringSlice(c, "args")
			env, _, _ := unstructured.NestedSlice(c, "env")
			host := slices.ContainsFunc(env, func(e any) bool {
				return reflect.DeepEqual(e, map[string]any{"name": "KUBERNETES_SERVICE_HOST", "value": "10.0.0.1"})
			})
			port := slices.ContainsFunc(env, func(e any) bool {
				return reflect.DeepEqual(e, map[string]any{"name": "KUBERNETES_SERVICE_PORT", "value": "443"})
			})
			switch args[0] {
			case "agent":
				agents++
				if !slices.Contains(args, "--kube-proxy-replacement") {
					t.Errorf("the agent's arguments: %q", args)
				}
			case "apiserver":
				servers++
				if !host || !port {
					t.Errorf("the API server's environment: %v", env)
				}
			}
		}
	}
	if agents != 1 || servers != 1 {
		t.Errorf("found %d agents and %d API servers", agents, servers)
	}
}
