package kubetest_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/internal/kube"
	"tombolo.io/tombolo/internal/kubetest"
)

const objects = `
apiVersion: v1
kind: Node
metadata: {name: n1}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {selector: {app: web}, ports: [{port: 80}], ipFamilyPolicy: PreferDualStack}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: default, labels: {app: web}}
spec: {nodeName: n1, containers: [{name: web, image: none}]}
`

const running = `{"status": {"phase": "Running", "podIP": "10.1.1.10", "podIPs": [{"ip": "10.1.1.10"}, {"ip": "fd00::a"}],
	"conditions": [{"type": "Ready", "status": "True"}]}}`

// The control plane is a real one: the controller makes slices of pods, RBAC
// refuses, the audit log tells, and what is stored outlives the process.
func TestControlPlane(t *testing.T) {
	c := kubetest.New(t, kubetest.Config{Controllers: true, Audit: true})
	c.Kubectl(objects, "apply", "--server-side", "-f", "-")
	c.Kubectl("", "patch", "pod", "web", "--subresource=status", "--type=merge", "-p", running)
	for _, address := range []string{"10.1.1.10", "fd00::a"} {
		c.AwaitKubectl(`{"addresses":["`+address+`"],"conditions":{"ready":true,`,
			"get", "endpointslices", "-l", "kubernetes.io/service-name=web", "-o", "jsonpath={.items[*].endpoints[*]}")
	}
	if addresses := c.Kubectl("", "get", "service", "web", "-o", "jsonpath={.spec.clusterIPs}"); !strings.Contains(addresses, "10.96.") || !strings.Contains(addresses, "fd00:96::") {
		t.Errorf("the service has the addresses %s", addresses)
	}

	t.Run("RBAC and the audit", func(t *testing.T) { refuses(t, c) })
	t.Run("restarts", func(t *testing.T) { restarts(t, c) })
	t.Run("loss", func(t *testing.T) {
		c.Lose()
		if out, err := c.TryKubectl("", "get", "service", "web"); err == nil {
			t.Errorf("a store that was lost has %s", out)
		}
	})
}

func refuses(t *testing.T, c *kubetest.Cluster) {
	user := c.Issue("system:serviceaccount:default:reader")
	if code := get(t, user, "/api/v1/services"); code != http.StatusForbidden {
		t.Errorf("a user without a role is answered with %d", code)
	}
	c.Kubectl("", "create", "clusterrole", "reader", "--verb=list", "--resource=services")
	c.Kubectl("", "create", "clusterrolebinding", "reader", "--clusterrole=reader", "--serviceaccount=default:reader")
	for get(t, user, "/api/v1/services") != http.StatusOK { // the authorizer watches roles
	}
	requests := c.Requests("system:serviceaccount:default:reader")
	first := kube.Request{User: "system:serviceaccount:default:reader", Verb: "list", Resource: "services", Path: "/api/v1/services", Code: http.StatusForbidden}
	last := first
	last.Code = http.StatusOK
	if n := len(requests); n < 2 || requests[0] != first || requests[n-1] != last {
		t.Errorf("the audit log tells %+v", requests)
	}
}

func get(t *testing.T, a kube.Access, path string) int {
	t.Helper()
	client, err := a.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	// The end of an answer comes when the audit log has it.
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

func restarts(t *testing.T, c *kubetest.Cluster) {
	for name, end := range map[string]func(){"stopped": c.Stop, "killed": c.Kill} {
		end()
		if _, err := c.TryKubectl("", "get", "service", "web"); err == nil {
			t.Errorf("one that was %s answers", name)
		}
		c.Start()
		c.Kubectl("", "get", "service", "web")
	}
	c.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	client, err := c.Admin().Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL()+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := client.Do(req); err == nil {
		resp.Body.Close()
		t.Errorf("one that is paused answers with %s", resp.Status)
	}
	c.Resume()
	c.Kubectl("", "get", "service", "web")
}
