package apiserver

import (
	"strings"
	"testing"

	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/etcd"
)

func TestConfigValidate(t *testing.T) {
	for _, c := range []struct {
		name   string
		config Config
		want   []string
	}{
		{"nothing is given", Config{}, []string{"the cluster:", "pod and node CIDRs", "node's name", "data directory", "address to listen"}},
		{"both stores", Config{Store: Store{Endpoints: []string{"http://x:1"}, Dir: "/x"}}, []string{"either embedded"}},
		{"https without files", Config{Store: Store{Endpoints: []string{"https://x:1"}}}, []string{"need a CA"}},
		{"a store that asks for certificates", Config{Store: Store{
			Dir: "/x", Listen: []string{"https://192.0.2.1:2379"}, ServerTLS: etcd.TLSFiles{CA: "/a", Cert: "/b", Key: "/c"},
		}}, []string{"client certificate for root"}},
		{"a rule that is none", Config{IdentityLabels: []string{"a b"}}, []string{`label rule "a b"`}},
		{"a negative time", Config{Shrink: source.Shrink{Hold: -1}}, []string{"is negative"}},
	} {
		err := c.config.Validate()
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q is not in\n%v", c.name, w, err)
			}
		}
	}
}
