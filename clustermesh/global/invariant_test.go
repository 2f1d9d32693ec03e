package global

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tombolo.io/tombolo/clustermesh"
)

// TestInvariants holds what is so of any input whatever.
func TestInvariants(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 10_000 {
		in := randomInput(r)
		s := Merge(in)
		for _, p := range s.Ports {
			if wrong := wrongTables(in, p); wrong != "" {
				t.Fatalf("input %d: %s: %s", i, wrong, portText(p))
			}
		}
		for what, other := range same(r, in) {
			if diff := cmp.Diff(portLines(s), portLines(Merge(other))); diff != "" {
				t.Fatalf("input %d: with %s (-before +after)\n%s", i, what, diff)
			}
		}
		outside := func(in Input) []string {
			return slices.DeleteFunc(portLines(Merge(in)), func(l string) bool { return !strings.Contains(l, "external") })
		}
		elsewhere := in
		elsewhere.Node, elsewhere.Zone = pick(r, "", "n1", "n2"), pick(r, "", "z1", "z2")
		if diff := cmp.Diff(outside(in), outside(elsewhere)); diff != "" {
			t.Fatalf("input %d: nodes differ in what comes from outside\n%s", i, diff)
		}
	}
}

// wrongTables says what is wrong with the tables of a port.
func wrongTables(in Input, p Port) string {
	seen := map[netip.AddrPort]bool{}
	for _, b := range slices.Concat(p.Primary, p.Backup) {
		at := netip.AddrPortFrom(b.Address, b.Port)
		switch {
		case seen[at]:
			return fmt.Sprint(at, " is there twice")
		case b.Weight == 0:
			return fmt.Sprint(at, " has no weight")
		case b.Address.Is4() != p.Frontends[0].Address.Is4():
			return fmt.Sprint(at, " is of another family")
		case !defined(in, p, b):
			return fmt.Sprint(at, " is no endpoint of the service")
		}
		seen[at] = true
	}
	for _, table := range [][]Backend{p.Primary, p.Backup} {
		if !slices.IsSortedFunc(table, Backend.Compare) {
			return "a table is not in order"
		}
	}
	if len(p.Primary) == 0 && len(p.Backup) > 0 {
		return "a backup without a primary"
	}
	return ""
}

// defined reports whether a cluster that shares the service says that the
// backend may serve.
func defined(in Input, p Port, b Backend) bool {
	for _, e := range in.Exports {
		if e.Cluster != b.Cluster || e.Service == nil || e.Cluster != in.Self && !(e.Service.Global && e.Service.Shared) {
			continue
		}
		for _, s := range e.Slices {
			if !slices.ContainsFunc(s.Ports, func(sp clustermesh.EndpointPort) bool { return sp.Port == b.Port && sp.Protocol == p.Protocol }) {
				continue
			}
			for _, ep := range s.Endpoints {
				serves := ep.Ready || ep.Terminating && ep.Serving || e.Service.PublishNotReady
				if ep.Address == b.Address && serves && in.Withdrawn[Pod{e.Cluster, ep.Address, ep.PodUID}] == "" {
					return true
				}
			}
		}
	}
	return false
}

// same returns inputs that mean the same as in.
func same(r *rand.Rand, in Input) map[string]Input {
	out := map[string]Input{}
	shuffled := in
	shuffled.Exports = slices.Clone(in.Exports)
	for i := range shuffled.Exports {
		s := slices.Clone(shuffled.Exports[i].Slices)
		r.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
		shuffled.Exports[i].Slices = s
	}
	r.Shuffle(len(in.Exports), func(i, j int) {
		shuffled.Exports[i], shuffled.Exports[j] = shuffled.Exports[j], shuffled.Exports[i]
	})
	out["everything in another order"] = shuffled

	stranger := in
	stranger.Exports = append(slices.Clone(in.Exports), Export{Cluster: "south", ClusterID: 9, Slices: randomSlices(r, 9),
		Service: &clustermesh.Service{Global: true, Weight: 100, Ports: randomPorts(r)}})
	out["a cluster that does not share"] = stranger

	nobody := in
	nobody.Health.Nodes, nobody.Drains.Nodes = maps.Clone(in.Health.Nodes), maps.Clone(in.Drains.Nodes)
	put(&nobody.Health.Nodes, NodeName{"east", "n9"}, NodeHealth{clustermesh.AllFamilies, clustermesh.AllFamilies})
	put(&nobody.Drains.Nodes, NodeName{"east", "n9"}, Whole)
	out["a verdict and a drain about a node that has no endpoint"] = nobody

	if len(in.Health.Clusters) == 0 && len(in.Health.Nodes) == 0 {
		down := in
		for name := range ids {
			put(&down.Health.Clusters, name, clustermesh.AllFamilies)
		}
		out["everybody down"] = down
	}
	return out
}
