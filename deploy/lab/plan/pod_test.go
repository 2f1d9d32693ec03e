package plan

import (
	"strings"
	"testing"
)

func TestAPodTakesThePlaceOfOneThatIsGone(t *testing.T) {
	p := mustNew(t, config(2, 1, 2))
	old, node, err := p.RemovePod("west-1-a")
	if err != nil || len(node.Pods) != 1 || old.App != EchoApp {
		t.Fatal(old, node, err)
	}
	if _, err := p.Machine("west-1-a"); err == nil {
		t.Error("a pod that was removed is a machine still")
	}
	fresh, err := p.AddPod("west-1", "", "", "again")
	if err != nil || fresh.Name != old.Name || fresh.Addresses != old.Addresses || fresh.UID == old.UID {
		t.Errorf("%+v after %+v: %v", fresh, old, err)
	}
	next, err := p.AddPod("west-1", "other", "shop", "")
	if err != nil || next.Name != "other" || next.App != "shop" || next.Addresses.IPv4.String() != "10.2.1.12" {
		t.Errorf("%+v %v", next, err)
	}
	m, err := p.Machine("other")
	if err != nil || m.Node != "west-1" || m.Cgroup() != "west-1/other" {
		t.Errorf("%+v %v", m, err)
	}
	if n := len(p.Wires()); n != 2+5+1+2 { // nodes, pods, routers, client
		t.Errorf("%d wires", n)
	}
}

func TestPodsThatCannotBe(t *testing.T) {
	p := mustNew(t, config(1, 1, MaxPods))
	for want, err := range map[string]error{
		"room for no more":            second(p.AddPod("east-1", "", "", "")),
		`no node "east-2"`:            second(p.AddPod("east-2", "", "", "")),
		`has no pod "east-1"`:         third(p.RemovePod("east-1")),
		"has a machine east-1-b":      free(p, "east-1-b"),
		`pod name "Shop"`:             free(p, "Shop"),
		`pod name "a-name-of-16-byt"`: free(p, "a-name-of-16-byt"),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

// free makes room and adds a pod of this name.
func free(p Plan, name string) error {
	p.RemovePod("east-1-a")
	return second(p.AddPod("east-1", name, "", ""))
}

func second(_ Pod, err error) error        { return err }
func third(_ Pod, _ Node, err error) error { return err }

// With Kubernetes nodes begin without pods; one that is bound has the name and
// the addresses that it has in any lab, where both are free.
func TestBind(t *testing.T) {
	p, err := New(Config{Lab: "lab", Dir: "/d", Clusters: 2, Nodes: 1, Pods: 2, Router: "builtin", Kubernetes: "/bin"})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(p.Clusters[0].Nodes[0].Pods); n != 0 {
		t.Fatalf("it has %d pods from the start", n)
	}
	for _, c := range []struct{ node, object, name, address string }{
		{"east-1", "demo/east-1-b", "east-1-b", "10.1.1.11"},
		{"east-1", "demo/web", "web", "10.1.1.10"},
		{"east-1", "demo/web-5d9c7b8f6d-x2x4z", "east-1-c", "10.1.1.12"}, // no device can be called so
		{"west-1", "demo/web", "west-1-a", "10.2.1.10"},                  // a machine of the lab is called so
		{"west-1", "other/east-1-a", "east-1-a", "10.2.1.11"},
	} {
		pod, err := p.Bind(c.node, c.object, "app", "uid-"+c.name)
		if err != nil {
			t.Fatal(err)
		}
		if pod.Name != c.name || pod.Addresses.IPv4.String() != c.address || pod.Object != c.object || pod.UID != "uid-"+c.name || pod.App != "app" {
			t.Errorf("%s on %s is %+v", c.object, c.node, pod)
		}
	}
	if _, err := p.Bind("east-9", "demo/x", "", "u"); err == nil {
		t.Error("a pod is bound to a node that is not there")
	}
}
