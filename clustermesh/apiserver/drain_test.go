package apiserver

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

func TestStep(t *testing.T) {
	start := time.Unix(1_000, 0).UTC()
	drain := func(deadline, returning, over int) *clustermesh.Drain {
		d := &clustermesh.Drain{What: clustermesh.DrainNode, Name: "n1", Moved: 1000, Since: start, Over: time.Duration(over) * time.Second}
		if deadline > 0 {
			d.Deadline = start.Add(time.Duration(deadline) * time.Second)
		}
		if returning > 0 {
			d.Returning = start.Add(time.Duration(returning) * time.Second)
		}
		return d
	}
	routes := drain(0, 0, 0)
	routes.Moved = 0
	for _, c := range []struct {
		name string
		d    *clustermesh.Drain
		at   int
		want string // moved, ended, seconds until the next step
	}{
		{"without a deadline it stays", drain(0, 0, 0), 1000, "1000 -"},
		{"routes first", routes, 3, "0 in 7"},
		{"by a clock that is behind", routes, -50, "0 in 10"},
		{"and then connections", routes, 10, "1000 -"},
		{"before its deadline", drain(60, 0, 0), 20, "1000 in 40"},
		{"at its deadline", drain(60, 0, 0), 60, "1000 ended -"},
		{"a tenth at once", drain(0, 5, 30), 5, "900 in 10"},
		{"a clock that is behind", drain(0, 5, 30), 0, "900 in 15"},
		{"a quarter", drain(0, 5, 30), 15, "750 in 10"},
		{"half", drain(0, 5, 30), 34, "500 in 1"},
		{"all", drain(0, 5, 30), 35, "over"},
		{"long after", drain(0, 5, 30), 1000, "over"},
		{"at once", drain(0, 5, 0), 5, "over"},
		{"in less than a step has", drain(0, 5, 0), 5, "over"},
	} {
		now := start.Add(time.Duration(c.at) * time.Second)
		next, at := step(c.d, now)
		got := "over"
		if next != nil {
			got = fmt.Sprint(next.Moved)
			if next.Ended {
				got += " ended"
			}
			if at.IsZero() {
				got += " -"
			} else {
				got += fmt.Sprintf(" in %v", at.Sub(now).Seconds())
			}
			if again, same := step(next, now); *again != *next || !same.Equal(at) {
				t.Errorf("%s: another leader goes on otherwise: %+v", c.name, again)
			}
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// drained returns what is stored of a drain, or "".
func (r *rig) drained(key string) string {
	value, ok := r.have["export/drains/"+key]
	if !ok {
		return ""
	}
	o, err := clustermesh.DecodeAt(clustermesh.Root+"export/drains/"+key, value)
	if err != nil {
		r.Fatal(err)
	}
	d := o.(*clustermesh.Drain)
	out := fmt.Sprint(d.Moved)
	if d.Ended {
		out += " ended"
	}
	if d.Reason != "" {
		out += " " + d.Reason
	}
	return out
}

func TestDrain(t *testing.T) {
	r := newRig(t)
	r.write("nodes.yaml", nodesYAML(1, 3))
	r.write("web.yaml", serviceYAML("web", global, 1))
	first := r.serve("n1")
	r.well(first)
	order := func(s *server, what clustermesh.DrainKind, name string, change ...func(*DrainOrder)) error {
		o := DrainOrder{What: what, Name: name}
		for _, f := range change {
			f(&o)
		}
		return s.Drain(t.Context(), o)
	}
	back := func(over time.Duration) func(*DrainOrder) {
		return func(o *DrainOrder) { o.Return, o.Over = true, over }
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{order(first, "pod", "x"), "want cluster, node or service"},
		{order(first, clustermesh.DrainCluster, "west"), "one drains only what is its own"},
		{order(first, clustermesh.DrainNode, "n9"), "has no such node"},
		{order(first, clustermesh.DrainService, "shop/cart"), "has no such service"},
		{order(first, clustermesh.DrainNode, "n1", back(0)), "it is not drained"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("got %v, want it to say %q", c.err, c.want)
		}
	}
	soon := func(o *DrainOrder) { o.Deadline = 50 * time.Millisecond }
	for _, err := range []error{
		order(first, clustermesh.DrainNode, "n1"), order(first, clustermesh.DrainCluster, "east"),
		order(first, clustermesh.DrainService, "shop/web", soon),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	r.until("all three are stored, and one has come to its deadline", func() bool {
		return r.drained("node/n1") == "1000" && r.drained("cluster/east") == "1000" && r.drained("service/shop/web") == "1000 ended"
	})
	second := r.serve("n2")
	r.until("the second stands by", func() bool { return second.Status().LeaderName == "n1" })
	if err := order(second, clustermesh.DrainNode, "n2"); err == nil || !strings.Contains(err.Error(), "ask that of node n1") {
		t.Errorf("one that stands by says %v", err)
	}
	first.stop()
	r.until("the second leads", func() bool { return second.Status().Leader && second.Status().Synced })
	r.until("its marker counts them", func() bool { return r.marker("export/drains").Count == 3 })
	if got := r.drained("node/n1"); got != "1000" {
		t.Errorf("after another leads the node is drained by %q", got)
	}
	if err := order(second, clustermesh.DrainCluster, "east", back(0)); err != nil {
		t.Fatal(err)
	}
	r.until("it is back at once", func() bool { return r.drained("cluster/east") == "" })
	if err := order(second, clustermesh.DrainNode, "n1", back(3*time.Second)); err != nil {
		t.Fatal(err)
	}
	var seen []string
	r.until("it is back step by step", func() bool {
		now := r.drained("node/n1")
		if len(seen) == 0 || seen[len(seen)-1] != now {
			seen = append(seen, now)
		}
		return now == ""
	})
	steps := "1000 900 750 500 "
	for _, s := range seen { // some may pass unseen on a busy machine
		_, rest, ok := strings.Cut(steps, s)
		if !ok || len(seen) < 3 {
			t.Fatalf("the steps were %q", seen)
		}
		steps = rest
	}
}

func TestCordonedNodeIsDrained(t *testing.T) {
	r := newRig(t)
	r.write("nodes.yaml", nodesYAML(1, 3)+"spec: {unschedulable: true}\n")
	plain := r.serve("n1")
	r.well(plain)
	if got := r.drained("node/n2"); got != "" {
		t.Errorf("without being asked for, a cordoned node is drained: %s", got)
	}
	plain.stop()
	s := r.serve("n1", func(c *Config) { c.CordonDrains = true })
	r.until("its routes are", func() bool { return r.drained("node/n2") == "0 cordoned" })
	r.write("nodes.yaml", nodesYAML(1, 3))
	r.until("they come back", func() bool { return r.drained("node/n2") == "" })
	r.write("nodes.yaml", nodesYAML(1, 3)+"spec: {unschedulable: true}\n")
	r.until("its routes are again", func() bool { return r.drained("node/n2") == "0 cordoned" })
	r.until("it is drained", func() bool { return r.drained("node/n2") == "1000 cordoned" })
	if err := s.Drain(t.Context(), DrainOrder{What: clustermesh.DrainNode, Name: "n2", Return: true}); err == nil || !strings.Contains(err.Error(), "uncordon it") {
		t.Errorf("undraining a cordoned node says %v", err)
	}
	r.write("nodes.yaml", nodesYAML(1, 3))
	r.until("it comes back", func() bool { return r.drained("node/n2") == "900 cordoned" })

	r.write("nodes.yaml", nodesYAML(1, 3)+"spec: {unschedulable: true}\n")
	r.until("it is drained once more", func() bool { return r.drained("node/n2") == "1000 cordoned" })
	if err := s.Drain(t.Context(), DrainOrder{What: clustermesh.DrainNode, Name: "n2", Deadline: time.Hour}); err != nil {
		t.Fatal(err)
	}
	r.until("it is drained by hand besides", func() bool { return r.drained("node/n2") == "1000" })
	back := DrainOrder{What: clustermesh.DrainNode, Name: "n2", Return: true}
	if err := s.Drain(t.Context(), back); err == nil || !strings.Contains(err.Error(), "kubectl uncordon n2") {
		t.Fatalf("undraining a cordoned node that is drained by hand says %v", err)
	}
	r.write("nodes.yaml", nodesYAML(1, 3))
	r.until("it is uncordoned, and undrained", func() bool { return s.Drain(t.Context(), back) == nil })
	r.until("it is back", func() bool { return r.drained("node/n2") == "" })
}
