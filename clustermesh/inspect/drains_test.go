package inspect_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/inspect"
	"tombolo.io/tombolo/internal/etcdtest"
)

// The connections are summed over the cluster's own nodes, of drains of all
// clusters, and who does not say is named.
func TestDrains(t *testing.T) {
	c := etcdtest.New(t).Dial()
	put(t, c, clustermesh.Export, "", &clustermesh.Cluster{Name: "east", ID: 1})
	put(t, c, clustermesh.Mirror, "west", &clustermesh.Cluster{Name: "west", ID: 2})
	for _, n := range []string{"n1", "n2", "n3"} {
		put(t, c, clustermesh.Export, "", &clustermesh.Node{Name: n})
	}
	put(t, c, clustermesh.Mirror, "west", &clustermesh.Node{Name: "w1"})
	since := time.Unix(1700000000, 0).UTC()
	node := clustermesh.Drain{What: clustermesh.DrainNode, Name: "n1", Moved: clustermesh.DrainedWhole, Since: since}
	back := clustermesh.Drain{What: clustermesh.DrainNode, Name: "n3", Moved: 900, Since: since, Returning: since, Over: time.Minute}
	of := clustermesh.Drain{What: clustermesh.DrainService, Name: "shop/web", Moved: clustermesh.DrainedWhole, Since: since}
	put(t, c, clustermesh.Export, "", &node)
	put(t, c, clustermesh.Export, "", &back)
	put(t, c, clustermesh.Mirror, "west", &node)
	put(t, c, clustermesh.Mirror, "west", &of)
	report := func(node string, role string, counts ...clustermesh.DrainCount) {
		slices.SortFunc(counts, func(a, b clustermesh.DrainCount) int { return a.Compare(b.DrainRef) })
		put(t, c, clustermesh.Status, "", &clustermesh.ProcessStatus{Role: role, Node: node, Health: clustermesh.HealthOK, Drains: counts})
	}
	count := func(cluster string, d *clustermesh.Drain, n uint32) clustermesh.DrainCount {
		return clustermesh.DrainCount{DrainRef: clustermesh.DrainRef{Cluster: cluster, What: d.What, Name: d.Name}, Connections: n}
	}
	for _, step := range []struct {
		do   func()
		want string
	}{
		{func() {}, "east n1 - [n1 n2 n3]; east n3 - []; west n1 - [n1 n2 n3]; west shop/web - [n1 n2 n3]; "},
		{func() { report("n1", "agent", count("east", &node, 4), count("east", &back, 9), count("west", &of, 1)) },
			"east n1 4 [n2 n3]; east n3 - []; west n1 - [n1 n2 n3]; west shop/web 1 [n2 n3]; "},
		{func() {
			report("n2", "agent", count("east", &node, 4294967295), count("west", &node, 0), count("west", &of, 0))
			report("n3", "agent", count("east", &node, 0), count("west", &of, 7), count("west", &node, 2))
			report("n3", "speaker", count("west", &of, 7))
			report("n4", "agent", count("west", &of, 7)) // no node of this cluster
		}, "east n1 4294967299 []; east n3 - []; west n1 2 [n1]; west shop/web 8 []; "},
		{func() { etcdtest.Delete(t, c, clustermesh.Root+"status/agent/n3") },
			"east n1 4294967299 [n3]; east n3 - []; west n1 0 [n1 n3]; west shop/web 1 [n3]; "},
	} {
		step.do()
		all, err := inspect.Drains(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, d := range all {
			left := "-"
			if d.Connections != nil {
				left = fmt.Sprint(*d.Connections)
			}
			got += fmt.Sprintf("%s %s %s %v; ", d.Cluster, d.Name, left, d.Silent)
		}
		if got != step.want {
			t.Errorf("got  %s\nwant %s", got, step.want)
		}
	}
}
