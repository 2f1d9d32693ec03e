package global

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPlaces holds what clients on a node prefer. Only the ports are compared:
// the first is that of the cluster IP, a second one that of the load balancer.
func TestPlaces(t *testing.T) {
	const (
		three  = ": 10.1.0.1@a/z1, 10.1.0.2@b/z1, 10.1.0.3@c/z2; "
		all    = "east/10.1.0.1:8080 east/10.1.0.2:8080 east/10.1.0.3:8080"
		inside = "172.20.0.1:80: "
	)
	for _, c := range []struct{ name, in, want string }{
		{"no wish", "east" + three + "at: a/z1", inside + all},
		{"the same zone", "east near=zone" + three + "at: a/z1", inside + "east/10.1.0.1:8080 east/10.1.0.2:8080 | east/10.1.0.3:8080"},
		{"the other zone", "east near=zone" + three + "at: d/z2", inside + "east/10.1.0.3:8080 | east/10.1.0.1:8080 east/10.1.0.2:8080"},
		{"nobody in the zone", "east near=zone" + three + "at: d/z3", inside + all},
		{"a client in no zone", "east near=zone" + three + "at: a/", inside + all},
		{"one endpoint in no zone and nobody prefers", "east near=zone: 10.1.0.1@a/z1, 10.1.0.2@b; at: a/z1", inside + "east/10.1.0.1:8080 east/10.1.0.2:8080"},
		{"unless it does not serve", "east near=zone: 10.1.0.1@a/z1, 10.1.0.2@b unready, 10.1.0.3@c/z2; at: a/z1", inside + "east/10.1.0.1:8080 | east/10.1.0.3:8080"},
		{"the same node, then the zone", "east near=node" + three + "at: a/z1", inside + "east/10.1.0.1:8080 | east/10.1.0.2:8080 east/10.1.0.3:8080"},
		{"nobody on the node", "east near=node" + three + "at: d/z1", inside + "east/10.1.0.1:8080 east/10.1.0.2:8080 | east/10.1.0.3:8080"},
		{"nobody on the node nor in the zone", "east near=node" + three + "at: d/z3", inside + all},
		{"one endpoint on no node, all in zones", "east near=node: 10.1.0.1@a/z1, 10.1.0.2@/z1, 10.1.0.3@c/z2; at: a/z1", inside + "east/10.1.0.1:8080 east/10.1.0.2:8080 | east/10.1.0.3:8080"},
		{"who only ends is not preferred for its place", "east near=zone: 10.1.0.1@a/z1 ending, 10.1.0.2@b/z2 ending; at: a/z1", inside + "east/10.1.0.1:8080! east/10.1.0.2:8080!"},
		{"who ends here is none while one serves there", "east near=node: 10.1.0.1@a/z1 ending, 10.1.0.2@b/z2; at: a/z1", inside + "east/10.1.0.2:8080"},
		{"who is down here", "east near=node" + three + "at: a/z1; down: east/a", inside + "east/10.1.0.2:8080 | east/10.1.0.3:8080"},
		{"who comes back here is not given all at once", "east near=node" + three + "at: a/z1; drain: east/a=750",
			inside + "east/10.1.0.1:8080*25000 east/10.1.0.2:8080*100000 | east/10.1.0.3:8080"},
		{"nor is a whole zone", "east near=zone" + three + "at: c/z2; drain: east/c=500",
			inside + "east/10.1.0.1:8080*100000 east/10.1.0.2:8080*100000 east/10.1.0.3:8080*50000"},
		{"a zone is a place in every cluster", "east near=zone: 10.1.0.1@a/z1, 10.1.0.2@b/z2; west: 10.2.0.1@a/z1; at: a/z1", inside + "east/10.1.0.1:8080 west/10.2.0.1:8080 | east/10.1.0.2:8080"},
		{"a node is not", "east near=node: 10.1.0.1@b/z1; west: 10.2.0.1@a/z2; at: a/z3", inside + "east/10.1.0.1:8080 west/10.2.0.1:8080"},
		{"tiers come first", "east local near=zone: 10.1.0.1@a/z2; west: 10.2.0.1@a/z1; at: a/z1", inside + "east/10.1.0.1:8080 | west/10.2.0.1:8080"},
		{"a whole cluster may go at once: the next tier is in the backup too", "east local near=node: 10.1.0.1@a/z1, 10.1.0.2@b/z1; west: 10.2.0.1@w/z2; north prio=1: 10.3.0.1@n/z2; at: a/z1",
			inside + "east/10.1.0.1:8080 | east/10.1.0.2:8080*800000000 west/10.2.0.1:8080*100000000 north/10.3.0.1:8080*100000000"},
		{"in each tier of several the nearest", "east near=zone: 10.1.0.1@a/z1, 10.1.0.2@b/z2, 10.1.0.3@b/z2 unready, 10.1.0.4@b/z2 unready; west prio=1: 10.2.0.1@a/z1, 10.2.0.2@b/z2; at: a/z1",
			inside + "east/10.1.0.1:8080*700000000 west/10.2.0.1:8080*300000000 | east/10.1.0.2:8080*700000000 west/10.2.0.2:8080*300000000"},
		{"another cluster's wish does not bind", "east: 10.1.0.1@a/z1; west near=zone: 10.2.0.1@a/z2; at: a/z2", inside + "east/10.1.0.1:8080 west/10.2.0.1:8080"},
		{"from outside all alike", "east lb near=node" + three + "at: a/z1", inside + "east/10.1.0.1:8080 | east/10.1.0.2:8080 east/10.1.0.3:8080\n192.0.2.1:80:external: " + all},
		{"an internal policy local comes before all", "east lb itp near=zone local" + three + "west: 10.2.0.1@b/z1; at: b/z1",
			inside + "east/10.1.0.2:8080\n192.0.2.1:80:external: " + all + " | west/10.2.0.1:8080"},
		{"and does not fall back on neighbours", "east itp near=zone: 10.1.0.1@a/z1, 10.1.0.2@b/z1 unready; at: b/z1", inside + "-"},
		{"who ends there is the last resort there", "east itp: 10.1.0.1@a/z1, 10.1.0.2@b/z1 ending; at: b/z1", inside + "east/10.1.0.2:8080!"},
		{"and who is down there", "east itp: 10.1.0.1@a/z1, 10.1.0.2@b/z1; at: b/z1; down: east/b", inside + "east/10.1.0.2:8080"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, p := range Merge(parseInput(t, c.in)).Ports {
				got = append(got, strings.TrimSuffix(portText(p), "\n"))
			}
			if diff := cmp.Diff(c.want, strings.Join(got, "\n")); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", c.in, diff)
			}
		})
	}
}
