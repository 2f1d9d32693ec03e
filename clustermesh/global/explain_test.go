package global

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// story writes what became of the endpoints of the first port.
func story(e Explanation) string {
	var b strings.Builder
	for i, t := range e.Ports[0].Tiers {
		fmt.Fprintf(&b, "%d %s: %d of %d bear %.4g, get %.4g, %.4g\n", i+1, strings.Join(t.Clusters, "+"), t.Usable, t.Endpoints, t.Health, t.Load, t.Backup)
	}
	for _, o := range e.Ports[0].Endpoints {
		fmt.Fprintf(&b, "%s/%s %s", o.Cluster, o.Address, o.Step)
		if o.Table != "" {
			fmt.Fprintf(&b, " %s %.4g", o.Table, o.Share)
		}
		if o.Reason != "" {
			fmt.Fprintf(&b, " (%s)", o.Reason)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestExplain(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"all clusters' reasons",
			"east: 10.1.0.1; west unshared: 10.2.0.1; north weight=0: 10.3.0.1 | fd03::1",
			`1 east: 1 of 1 bear 100, get 100, 0
			 east/10.1.0.1 used primary 100
			 north/10.3.0.1 cluster (weight 0)
			 west/10.2.0.1 cluster (not shared)`},
		{"no endpoint is left out",
			`east near=zone: [http/TCP/8080] 10.1.0.1@a/z1, 10.1.0.2@b/z1 unready, 10.1.0.3@c/z1 ending, 10.1.0.4@d/z1 gone, 10.1.0.5@e/z2 | [dns/UDP/53] 10.1.0.6 | fd01::1;
			 west: 10.1.0.1, 10.2.0.1@w/z1, 10.2.0.2@w/z2; north prio=1: 10.3.0.1@n/z1, 10.3.0.2@m/z1; at: a/z1; withdrawn: west/10.2.0.1; down: west/w; drain: north/m=1000`,
			`1 east+west: 2 of 7 bear 40, get 40, 100
			 2 north: 1 of 2 bear 70, get 60, 0
			 east/10.1.0.1 used primary 40
			 north/10.3.0.1 used primary 60
			 east/10.1.0.5 distance backup 100 (others of its tier are nearer)
			 east/10.1.0.6 port (its slice has no such port)
			 east/fd01::1 family (the service has no address of its family)
			 west/10.1.0.1 address (cluster east has its address)
			 east/10.1.0.2 serving (not ready)
			 east/10.1.0.3 serving (terminating, and others are ready)
			 east/10.1.0.4 serving (terminating, and serves no more)
			 west/10.2.0.1 serving (withdrawn: node n says that the pod ended)
			 west/10.2.0.2 serving (down by verdict: the pods of node w)
			 north/10.3.0.2 serving (drained: node m)`},
		{"reserve",
			"east: 10.1.0.1; west prio=1: 10.2.0.1; north prio=2: 10.3.0.1",
			`1 east: 1 of 1 bear 100, get 100, 0
			 2 west: 1 of 1 bear 100, get 0, 80
			 3 north: 1 of 1 bear 100, get 0, 20
			 east/10.1.0.1 used primary 100
			 west/10.2.0.1 tier backup 80 (its tier is held in reserve)
			 north/10.3.0.1 tier backup 20 (its tier is held in reserve)`},
		{"far from here",
			"east near=node: 10.1.0.1@a/z1, 10.1.0.2@b/z1, 10.1.0.3@c/z2; at: a/z1",
			`1 east: 3 of 3 bear 100, get 100, 100
			 east/10.1.0.1 used primary 100
			 east/10.1.0.2 distance backup 50 (others of its tier are nearer)
			 east/10.1.0.3 distance backup 50 (others of its tier are nearer)`},
		{"off this node",
			"east itp: 10.1.0.1@a, 10.1.0.2@b; west: 10.2.0.1@a; at: a/",
			`1 east: 1 of 1 bear 100, get 100, 0
			 east/10.1.0.1 used primary 100
			 east/10.1.0.2 node (not on this node, and the internal policy is Local)
			 west/10.2.0.1 node (not on this node, and the internal policy is Local)`},
		{"named twice",
			"east: 10.1.0.1 unready | 10.1.0.1",
			`1 east: 1 of 1 bear 100, get 100, 0
			 east/10.1.0.1 used primary 100
			 east/10.1.0.1 address (named twice: the better one counts)`},
		{"no port in common",
			"east: 10.1.0.1; west ports=web/TCP/80: 10.2.0.1",
			`1 east: 1 of 1 bear 100, get 100, 0
			 east/10.1.0.1 used primary 100
			 west/10.2.0.1 port (its cluster's Service has no such port)`},
		{"the last resort",
			"east: 10.1.0.1 ending, 10.1.0.2 unready; west prio=1: 10.2.0.1 ending; north prio=2: 10.3.0.1 ending",
			`1 east: 1 of 2 bear 0, get 100, 0
			 2 west: 1 of 1 bear 0, get 0, 80
			 3 north: 1 of 1 bear 0, get 0, 20
			 east/10.1.0.1 used primary 100 (terminating: the last resort, for nobody is ready)
			 west/10.2.0.1 tier backup 80 (its tier is held in reserve)
			 north/10.3.0.1 tier backup 20 (its tier is held in reserve)
			 east/10.1.0.2 serving (not ready)`},
		{"drained and nobody else",
			"east: 10.1.0.1; west: 10.2.0.1 ending; drain: service@east=1000",
			`1 east+west: 1 of 2 bear 0, get 100, 0
			 east/10.1.0.1 used primary 100 (drained: the service in cluster east, and nobody else serves)
			 west/10.2.0.1 serving (terminating, and others are ready)`},
		{"coming back",
			"east: 10.1.0.1; west: 10.2.0.1; drain: east=750",
			`1 east+west: 2 of 2 bear 87.5, get 100, 0
			 east/10.1.0.1 used primary 20 (drained: cluster east: 25% of it is left)
			 west/10.2.0.1 used primary 80`},
		{"verdicts that are not believed",
			"east: 10.1.200.1@a; west: 10.2.0.1; down: east/a!, west; drain: west=1",
			`1 east+west: 2 of 2 bear 100, get 100, 0
			 east/10.1.200.1 used primary 50.02 (down by verdict: node a, as all are, and not believed)
			 west/10.2.0.1 used primary 49.98 (drained: cluster west: 99.9% of it is left; down by verdict: cluster west, as all are, and not believed)`},
		{"who is ejected",
			"east: 10.1.0.1, 10.1.0.2; ejected: east/10.1.0.1",
			`1 east: 1 of 2 bear 70, get 100, 0
			 east/10.1.0.2 used primary 100
			 east/10.1.0.1 serving (ejected: it refuses)`},
		{"an ejection that is not believed",
			"east: 10.1.0.1; ejected: east/10.1.0.1",
			`1 east: 1 of 1 bear 100, get 100, 0
			 east/10.1.0.1 used primary 100 (ejected: it refuses, as all are, and not believed)`},
		{"nobody",
			"east: 10.1.0.1 unready; west: ",
			`1 east: 0 of 1 bear 0, get 0, 0
			 east/10.1.0.1 serving (not ready)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, e := Explain(parseInput(t, c.in))
			if diff := cmp.Diff(lines(c.want), story(e)); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", c.in, diff)
			}
		})
	}
}

// TestExplainIsMerge holds that an explanation tells of the tables that Merge
// makes, of every endpoint, and that nobody is left out without a reason.
func TestExplainIsMerge(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for i := range 5_000 {
		in := randomInput(r)
		s, e := Explain(in)
		if diff := cmp.Diff(text(Merge(in)), text(s)); diff != "" {
			t.Fatalf("input %d: (-merge +explain)\n%s", i, diff)
		}
		if len(e.Ports) != len(s.Ports) || e.Reason != s.Reason {
			t.Fatalf("input %d: %d ports (%s) explained, want %d (%s)", i, len(e.Ports), e.Reason, len(s.Ports), s.Reason)
		}
		for j, p := range s.Ports {
			if wrong := wrongStory(in, p, e.Ports[j]); wrong != "" {
				t.Fatalf("input %d: %s\n%s", i, wrong, portText(p))
			}
		}
	}
}

func wrongStory(in Input, p Port, e PortExplanation) string {
	shares := map[string]float64{}
	for _, o := range e.Endpoints {
		shares[o.Table] += o.Share
		used, kept := o.Table == "primary", o.Table == "backup"
		switch {
		case used && !slices.ContainsFunc(p.Primary, o.is), kept && !slices.ContainsFunc(p.Backup, o.is):
			return fmt.Sprintf("%+v is in another table", o)
		case used != (o.Step == StepUsed), kept != (o.Step == StepTier || o.Step == StepNear):
			return fmt.Sprintf("%+v is in a table, or in none, at the wrong step", o)
		case !used && o.Reason == "" || !used && !kept && o.Share != 0:
			return fmt.Sprintf("%+v has no reason", o)
		}
	}
	loads := [2]float64{}
	for _, t := range e.Tiers {
		loads[0], loads[1] = loads[0]+t.Load, loads[1]+t.Backup
	}
	for i, table := range [][]Backend{p.Primary, p.Backup} {
		want := 0.0
		if len(table) > 0 {
			want = 100
		}
		if got := shares[tableNames[i]]; math.Abs(got-want) > 0.1 || math.Abs(loads[i]-want) > 0.1 {
			return fmt.Sprintf("the shares of %s add up to %g, the loads to %g, want %g", tableNames[i], got, loads[i], want)
		}
	}
	for _, x := range in.Exports {
		for _, s := range x.Slices {
			for _, ep := range s.Endpoints {
				of := func(o Outcome) bool { return o.Cluster == x.Cluster && o.Address == ep.Address }
				if ep.Address.Is4() == p.Frontends[0].Address.Is4() && !slices.ContainsFunc(e.Endpoints, of) {
					return fmt.Sprintf("nothing is said of %s/%s", x.Cluster, ep.Address)
				}
			}
		}
	}
	return ""
}

var tableNames = []string{inPrimary - 1: "primary", inBackup - 1: "backup"}

func (o Outcome) is(b Backend) bool {
	return o.Cluster == b.Cluster && o.Address == b.Address && o.Port == b.Port
}
