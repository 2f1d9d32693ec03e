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
