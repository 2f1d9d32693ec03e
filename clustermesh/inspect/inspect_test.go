package inspect_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/inspect"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/internal/etcdtest"
)

func TestPlain(t *testing.T) {
	o := &clustermesh.BGPPeer{
		Name: "tor", Address: netip.MustParseAddr("10.0.0.1"), LocalASN: 65001, HoldTime: 9 * time.Second,
		Families:     []clustermesh.Family{clustermesh.IPv4Unicast},
		NodeSelector: clustermesh.Selector{MatchLabels: map[string]string{"rack": "1"}},
	}
	got, err := json.Marshal(inspect.Plain(o))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"address":"10.0.0.1","families":["ipv4"],"holdTime":"9s","localASN":65001,"name":"tor","nodeSelector":{"matchLabels":{"rack":"1"}}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	cluster, err := json.Marshal(inspect.Plain(&clustermesh.Cluster{Name: "east", ID: 3, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, Seal: []byte{1, 2, 255}}))
	if want := `{"id":3,"name":"east","podCIDRs":["10.1.0.0/16"],"seal":"AQL/"}`; err != nil || string(cluster) != want {
		t.Errorf("got  %s %v\nwant %s", cluster, err, want)
	}
}

// store returns a store with a node that decodes and a service that does not.
func store(t *testing.T) *etcd.Client {
	t.Helper()
	c := etcdtest.New(t).Dial()
	node := &clustermesh.Node{Name: "n1", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}
	value, err := clustermesh.Encode(node)
	if err != nil {
		t.Fatal(err)
	}
	etcdtest.Put(t, c, clustermesh.KeyOf(clustermesh.Export, node).String(), string(value),
		clustermesh.Root+"export/services/default/web", "\xff", clustermesh.EpochKey, "E1")
	return c
}

func TestList(t *testing.T) {
	c := store(t)
	var keys []string
	err := inspect.List(t.Context(), c, "", func(e inspect.Entry) error {
		keys = append(keys, e.Key)
		if bad := strings.Contains(e.Key, "services"); bad != (e.Error != "") || bad == (e.Value != nil) {
			t.Errorf("%s: value %v, error %q", e.Key, e.Value, e.Error)
		}
		return nil
	})
	want := "tombolo/v1/epoch tombolo/v1/export/nodes/n1 tombolo/v1/export/services/default/web"
	if err != nil || strings.Join(keys, " ") != want {
		t.Errorf("got %v %v, want %s", keys, err, want)
	}
	if e, err := inspect.Get(t.Context(), c, "epoch"); err != nil || e.Value != "E1" {
		t.Errorf("the epoch is %v %v", e.Value, err)
	}
	if _, err := inspect.Get(t.Context(), c, "export/cluster"); !errors.Is(err, inspect.ErrNotFound) {
		t.Errorf("a key that is not there: %v", err)
	}
}

func TestWatch(t *testing.T) {
	c := store(t)
	var out strings.Builder
	p, err := inspect.NewPrinter(&out, "json")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	end := errors.New("seen enough")
	err = inspect.Watch(ctx, c, etcdtest.Log(), "export/nodes/", func(op etcd.Op, e inspect.Entry) error {
		if err := p.Change(op, e); err != nil {
			return err
		}
		if op == etcd.Delete {
			return end
		}
		return c.Delete(ctx, e.Key)
	})
	if !errors.Is(err, end) {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"op":"put"`) || !strings.Contains(lines[0], `"addresses":["10.0.0.1"]`) ||
		!strings.Contains(lines[1], `"op":"delete"`) {
		t.Errorf("got\n%s", out.String())
	}
}
