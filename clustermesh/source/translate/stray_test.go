package translate

import (
	"strings"
	"testing"

	"tombolo.io/tombolo/clustermesh/source"
)

func TestStrays(t *testing.T) {
	some := func(key string) map[string]string { return map[string]string{key: "x"} }
	for _, c := range []struct {
		name                string
		kind                source.Kind
		annotations, labels map[string]string
		want                string
	}{
		{"one that is known", source.Service, some("tombolo.io/global"), nil, ""},
		{"a slip", source.Service, some("tombolo.io/globl"), nil, `metadata.annotations["tombolo.io/globl"]: is not known; tombolo.io/global was meant? those of a Service are tombolo.io/affinity, tombolo.io/global,`},
		{"a longer one", source.Service, some("tombolo.io/load-balancer-ip"), nil, "tombolo.io/load-balancer-ips was meant?"},
		{"the word of another", source.Service, some("tombolo.io/lb-pool"), nil, `metadata.annotations["tombolo.io/lb-pool"]: is not known; those of a Service are`},
		{"of Cilium, for Cilium", source.Service, some("service.cilium.io/lb-algorithm"), nil, ""},
		{"of a node", source.Node, some("tombolo.io/weight"), nil, `metadata.annotations["tombolo.io/weight"]: means nothing on a Node, which has no annotations of ours`},
		{"of a namespace", source.Namespace, some("tombolo.io/global"), nil, "means nothing on a Namespace"},
		{"of what we made", source.Service, some("tombolo.io/content"), some("tombolo.io/imported"), ""},
		{"of a pod", source.Pod, some("tombolo.io/not-ready"), nil, ""},
		{"a label", source.Service, nil, some("tombolo.io/shared"), `metadata.labels["tombolo.io/shared"]: means nothing as a label: it is an annotation of a Service`},
		{"somebody's own label", source.Node, nil, some("tombolo.io/speaker"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var all []string
			for _, f := range Strays(c.kind, c.annotations, c.labels) {
				all = append(all, f.Error())
			}
			got := strings.Join(all, "\n")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestEdits(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"ab", "ab", 0}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"abc", "acb", 2}, {"abcd", "bcd", 1}} {
		if got := edits(c.a, c.b); got != c.want || edits(c.b, c.a) != c.want {
			t.Errorf("%q and %q: got %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
