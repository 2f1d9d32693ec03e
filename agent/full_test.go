package agent

import (
	"errors"
	"slices"
	"testing"

	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/clustermesh"
)

func TestFullMapsAreNamed(t *testing.T) {
	small, large := bpf.SmallSizes(), bpf.LargeSizes()
	limits := func(s bpf.Sizes) loadbalancer.Limits {
		return loadbalancer.Limits{Services: s.Services, Slots: s.Slots, Backends: s.Backends, Nodes: s.Nodes, Frontends: s.Frontends, Ranges: s.Frontends}
	}
	lacks := func(name string, full ...string) loadbalancer.Failure {
		return loadbalancer.Failure{Service: clustermesh.ServiceName{Namespace: "shop", Name: name}, Full: full}
	}
	for _, c := range []struct {
		name     string
		failures []loadbalancer.Failure
		usage    loadbalancer.Usage
		want     []string
	}{
		{"none", []loadbalancer.Failure{lacks("a")}, loadbalancer.Usage{Limits: limits(small)}, nil},
		{"small", []loadbalancer.Failure{lacks("b", "backends"), lacks("a", "backends", "slots")},
			loadbalancer.Usage{Backends: 16383, Slots: 1310000, Limits: limits(small)}, []string{
				"the map of backends is full (16383 of 16383 in use), and 2 services are not whole, which tombolo services explains: " +
					"shop/a, shop/b; start the agent with --maps default, which has room for 262144",
				"the map of slots is full (1310000 of 1310720 in use), and 1 services are not whole, which tombolo services explains: " +
					"shop/a; start the agent with --maps default, which has room for 16777216",
			}},
		{"many", []loadbalancer.Failure{lacks("a", "nodes"), lacks("b", "nodes"), lacks("c", "nodes"), lacks("d", "nodes"),
			lacks("e", "nodes"), lacks("f", "nodes"), lacks("g", "nodes")}, loadbalancer.Usage{Nodes: 65535, Limits: limits(large)}, []string{
			"the map of nodes is full (65535 of 65535 in use), and 7 services are not whole, which tombolo services explains: " +
				"shop/a, shop/b, shop/c, shop/d, shop/e, and 2 more; there are no larger maps: share fewer services with this cluster, or with fewer endpoints",
		}},
	} {
		if got := fullReasons(c.failures, c.usage); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.want)
		}
	}
}

// What else is wrong with a service is not lost because a map is full.
func TestOtherErrorsBesideFullMaps(t *testing.T) {
	h := otherReasons([]loadbalancer.Failure{
		{Service: clustermesh.ServiceName{Namespace: "shop", Name: "a"}, Full: []string{"slots"}, Err: errors.New("full; refused")},
		{Service: clustermesh.ServiceName{Namespace: "shop", Name: "b"}, Full: []string{"slots"}, Err: errors.New("full; refused"), Besides: errors.New("refused")},
	})
	if want := []string{"service shop/b is not as it should be: refused"}; !slices.Equal(h, want) {
		t.Errorf("got %q, want %q", h, want)
	}
}
