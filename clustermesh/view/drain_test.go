package view

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"tombolo.io/tombolo/clustermesh"
)

// drainsText writes what of a service is drained.
func drainsText(v *View, name string) string {
	namespace, service, _ := strings.Cut(name, "/")
	d := v.Service(clustermesh.ServiceName{Namespace: namespace, Name: service}).Drains
	var out []string
	for c, n := range d.Clusters {
		out = append(out, fmt.Sprintf("%s %d", c, n))
	}
	for c, n := range d.Nodes {
		out = append(out, fmt.Sprintf("%s/%s %d", c.Cluster, c.Node, n))
	}
	for c, n := range d.Services {
		out = append(out, fmt.Sprintf("%s here %d", c, n))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func TestDrains(t *testing.T) {
	v := New("n1")
	v.Apply(events(t, v, `
		put export/cluster 1
		put export/services/a/x 0
		put export/slices/a/x/p 10.1.0.1 on n1
		put private/services/a/y 0
		put private/slices/a/y/p 10.1.0.2 on n2
		put private/peers/west https://w
		synced private/synced/peers
		put mirror/west/cluster 2
		put mirror/west/services/a/x 0
		put mirror/west/slices/a/x/p 10.2.0.1 on n1`))
	for _, step := range []struct {
		events, marks, x, y string
	}{
		{"put export/drains/node/n2 1000", "a/y", "east/n2 1000", "east/n2 1000"},
		{"put export/drains/node/n2 1001", "a/y", "east/n2 1001", "east/n2 1001"}, // its time is over
		{"put export/drains/node/n2 1000", "a/y", "east/n2 1000", "east/n2 1000"},
		{"put mirror/west/drains/node/n1 750", "a/x", "east/n2 1000, west/n1 750", "east/n2 1000, west/n1 750"},
		{"put mirror/west/drains/service/a/x 500", "a/x", "east/n2 1000, west here 500, west/n1 750", "east/n2 1000, west/n1 750"},
		{"put export/drains/cluster/east 1000", "a/x a/y", "east 1000, east/n2 1000, west here 500, west/n1 750", "east 1000, east/n2 1000, west/n1 750"},
		{"delete export/drains/cluster/east", "a/x a/y", "east/n2 1000, west here 500, west/n1 750", "east/n2 1000, west/n1 750"},
		{"put export/drains/cluster/other 1000", "a/x a/y", "east/n2 1000, west here 500, west/n1 750", "east/n2 1000, west/n1 750"}, // no cluster's own name
		{"delete private/peers/west", "a/x", "east/n2 1000", "east/n2 1000"},
		{"put private/peers/west https://w", "a/x", "east/n2 1000, west here 500, west/n1 750", "east/n2 1000, west/n1 750"},
		{"delete mirror/west/drains/service/a/x\ndelete mirror/west/drains/node/n1\ndelete export/drains/node/n2", "a/x a/y", "", ""},
	} {
		before := v.Service(clustermesh.ServiceName{Namespace: "a", Name: "x"}).Drains
		kept := maps.Clone(before.Nodes)
		c := v.Apply(events(t, v, step.events))
		var marks []string
		for name := range c.Services {
			marks = append(marks, name.String())
		}
		slices.Sort(marks)
		if got := strings.Join(marks, " "); got != step.marks {
			t.Errorf("%s marks %s, want %s", step.events, got, step.marks)
		}
		if x, y := drainsText(v, "a/x"), drainsText(v, "a/y"); x != step.x || y != step.y {
			t.Errorf("%s:\n got %s; %s\nwant %s; %s", step.events, x, y, step.x, step.y)
		}
		if !maps.Equal(before.Nodes, kept) {
			t.Errorf("%s changed an input that was given out", step.events)
		}
	}
}
