package status

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source/kubernetes/events"
	"tombolo.io/tombolo/clustermesh/standing"
	"tombolo.io/tombolo/internal/kubetest"
)

const objects = `
apiVersion: tombolo.io/v1alpha1
kind: BGPPeer
metadata: {name: tor}
spec: {address: 192.0.2.1, asn: 64512, localASN: 64513}
---
apiVersion: tombolo.io/v1alpha1
kind: BGPPeer
metadata: {name: new}
spec: {address: 192.0.2.2, asn: 64512, localASN: 64513}
---
apiVersion: tombolo.io/v1alpha1
kind: ClusterPeer
metadata: {name: west}
spec: {endpoints: ["https://192.0.2.9:2379"], tls: {caFile: /a, certFile: /b, keyFile: /c}}
`

// meaning returns what an object means to the mesh, as the store would have it.
func meaning(t *testing.T, cluster *kubetest.Cluster, what string) clustermesh.Object {
	t.Helper()
	o := object(t, cluster.Kubectl("", "get", what, "-o", "json"))
	noun, err := kindNamed(t, o.GetKind()).translate(o.Object)
	if err != nil {
		t.Fatal(err)
	}
	return noun
}

// The conditions of a real API: who leads writes them once, and anew when
// something changed; `kubectl wait` sees them.
func TestWriter(t *testing.T) {
	cluster := kubetest.New(t, kubetest.Config{Audit: true})
	cluster.Kubectl("", "apply", "--server-side", "-f", "../../../../deploy/crds")
	cluster.Kubectl("", "wait", "--for=condition=Established", "--timeout=60s", "-f", "../../../../deploy/crds")
	cluster.Kubectl(objects, "apply", "--server-side", "-f", "-")
	config, err := clientcmd.BuildConfigFromFlags("", cluster.Admin().Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	api, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	var leads atomic.Bool
	var happened []string
	tell := func(e events.Event) {
		happened = append(happened, fmt.Sprint(e.Object.Name, " ", e.Warning, " ", e.Reason))
	}
	w := New(api, leads.Load, tell, slog.New(slog.DiscardHandler))
	all := []standing.Object{
		*up,
		{Kind: standing.ClusterPeer, Name: "west", ClusterID: 2, Stored: meaning(t, cluster, "cpeer/west"), Conditions: []standing.Condition{
			{Type: standing.Accepted, State: standing.True, Reason: "Admitted"},
			{Type: standing.Ready, State: standing.False, Reason: "Stale", Message: "connection refused"},
		}},
		{Kind: standing.BGPPeer, Name: "gone"},
	}
	all[0].Stored = meaning(t, cluster, "bgpp/tor")
	get := func(what, path string) string {
		return cluster.Kubectl("", "get", what, "-o", "jsonpath={"+path+"}")
	}
	pass := func() {
		t.Helper()
		if err := w.write(t.Context(), all); err != nil {
			t.Fatal(err)
		}
	}
	pass()
	if got := get("bgpp/tor", ".status"); got != "" {
		t.Errorf("one who does not lead wrote %s", got)
	}
	leads.Store(true)
	pass()
	cluster.Kubectl("", "wait", "--for=condition=Ready", "--timeout=10s", "bgpp/tor")
	cluster.Kubectl("", "wait", "--for=condition=Ready=False", "--timeout=10s", "cpeer/west")
	for what, want := range map[[2]string]string{
		{"bgpp/tor", ".status.established"}:                                          "2",
		{"bgpp/tor", `.status.conditions[?(@.type=="Accepted")].observedGeneration`}: "1",
		{"bgpp/new", `.status.conditions[?(@.type=="Ready")].reason`}:                "Pending",
		{"cpeer/west", ".status.clusterID"}:                                          "2",
		{"cpeer/west", `.status.conditions[?(@.type=="Ready")].reason`}:              "Stale",
		{"bgpp/tor", `.metadata.managedFields[?(@.subresource=="status")].manager`}:  FieldManager,
	} {
		if got := get(what[0], what[1]); got != want {
			t.Errorf("%s %s is %q, want %q", what[0], what[1], got, want)
		}
	}
	version := get("bgpp/tor", ".metadata.resourceVersion")
	pass()
	if again := get("bgpp/tor", ".metadata.resourceVersion"); again != version {
		t.Error("what did not change was written again")
	}
	since := get("bgpp/tor", `.status.conditions[?(@.type=="Ready")].lastTransitionTime`)
	want := []string{"west false Admitted", "west true Stale", "tor false Accepted", "tor false Established"}
	if !slices.Equal(happened, want) {
		t.Errorf("events: %v, want %v", happened, want)
	}
	cluster.Kubectl("", "patch", "bgpp/tor", "--type=merge", "-p", `{"spec": {"asn": 64999}}`)
	pass()
	if got := get("bgpp/tor", `.status.conditions[?(@.type=="Ready")].observedGeneration`); got != "1" {
		t.Errorf("the status is of generation %s before the store has the new spec", got)
	}
	all[0].Stored = meaning(t, cluster, "bgpp/tor")
	pass()
	if got := get("bgpp/tor", `.status.conditions[?(@.type=="Ready")].observedGeneration`); got != "2" {
		t.Errorf("the status is of generation %s, want 2", got)
	}
	if got := get("bgpp/tor", `.status.conditions[?(@.type=="Ready")].lastTransitionTime`); got != since {
		t.Errorf("a condition that held on has another time, %s, not %s", got, since)
	}
}

// One who may not write says so once, with the mend.
func TestWriterWithoutRights(t *testing.T) {
	cluster := kubetest.New(t, kubetest.Config{})
	cluster.Kubectl("", "apply", "--server-side", "-f", "../../../../deploy/crds")
	cluster.Kubectl("", "wait", "--for=condition=Established", "--timeout=60s", "-f", "../../../../deploy/crds")
	config, err := clientcmd.BuildConfigFromFlags("", cluster.Issue("nobody").Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	api, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	w := New(api, func() bool { return true }, func(events.Event) {}, slog.New(slog.NewTextHandler(&log, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 2 {
		w.report(ctx, w.write(ctx, nil))
	}
	if got := strings.Count(log.String(), "kubectl apply -f deploy/rbac/apiserver.yaml"); got != 1 {
		t.Errorf("told %d times, want once: %s", got, log.String())
	}
}
