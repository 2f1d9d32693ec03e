package lab

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"tombolo.io/tombolo/deploy/lab/echo"
	"tombolo.io/tombolo/deploy/lab/plan"
	"tombolo.io/tombolo/deploy/lab/sandbox"
)

// podsOf reads a node's directory of pods: names and addresses by uid.
func podsOf(t *testing.T, l *Lab, node string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(l.RunDir(node), "pods", "*"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range files {
		var pod struct {
			UID, Name string
			Addresses []string
		}
		raw, err := os.ReadFile(f)
		if err == nil {
			err = json.Unmarshal(raw, &pod)
		}
		if err != nil || filepath.Base(f) != pod.UID+".json" {
			t.Errorf("%s: %+v %v", f, pod, err)
		}
		out[pod.UID] = pod.Name + " " + strings.Join(pod.Addresses, " ")
	}
	return out
}

func TestPodsComeAndGo(t *testing.T) {
	l := faulty(t, "pods")
	c := l.Clusters[0]
	if got := podsOf(t, l, "east-1"); len(got) != 2 || got[c.Nodes[0].Pods[1].UID] != "demo/east-1-b 10.1.1.11 fd00:10:1:1::b" {
		t.Errorf("at first: %v", got)
	}
	slice := func() string {
		raw, err := os.ReadFile(filepath.Join(l.Manifests("east"), "endpointslice_demo_echo-ipv4.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	if err := l.RemovePod(t.Context(), "east-1-b"); err != nil {
		t.Fatal(err)
	}
	if r := askTimes(t, l, 2, "west-1-a", "10.1.1.11:8080", echo.HTTP); r.Failed != 2 {
		t.Errorf("the pod that is gone answers: %+v", r)
	}
	if got := podsOf(t, l, "east-1"); len(got) != 1 || strings.Contains(slice(), "10.1.1.11") {
		t.Errorf("the pod that is gone is known: %v\n%s", got, slice())
	}
	fresh, err := l.AddPod(t.Context(), "east-1", "other", "shop")
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"10.1.1.11:8080", "[fd00:10:1:1::b]:8080"} {
		if r := ask(t, l, "west-1-a", target, echo.HTTP); r.Pods["other"] != 20 {
			t.Errorf("%s: %+v", target, r)
		}
	}
	if got := podsOf(t, l, "east-1")[fresh.UID]; got != "demo/other 10.1.1.11 fd00:10:1:1::b" || strings.Contains(slice(), "10.1.1.11") {
		t.Errorf("the new pod: %q\n%s", got, slice())
	}
	if _, err := l.AddPod(t.Context(), "east-1", "", ""); err != nil || !strings.Contains(slice(), "10.1.1.12") {
		t.Errorf("one of demo/echo: %v\n%s", err, slice())
	}
	again, err := Load(l.base, binary, l.Lab)
	if err != nil || !reflect.DeepEqual(again.Plan, l.Plan) {
		t.Errorf("the plan that is written is another: %v", err)
	}
	if names, err := sandbox.Namespaces(plan.Prefix(l.Lab)); err != nil || len(names) != len(l.Machines()) {
		t.Errorf("namespaces: %v %v", names, err)
	}
	want := "has no pod"
	if err := l.RemovePod(t.Context(), "router-east"); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("removing a router: %v", err)
	}
}
