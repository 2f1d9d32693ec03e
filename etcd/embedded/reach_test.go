package embedded_test

import (
	"strings"
	"testing"

	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/internal/etcdtest"
)

// Somebody whose request had no answer is told what is wrong with the way to
// each member.
func TestReach(t *testing.T) {
	s, ca := secure(t)
	other := etcdtest.NewCA(t)
	nowhere := "https://" + etcdtest.Address(t)
	mixed := other.Issue("root")
	mixed.CA = ca.Issue("root").CA
	for _, c := range []struct {
		name      string
		files     etcd.TLSFiles
		endpoints []string
		want      []string
	}{
		{"all is well", ca.Issue("root"), s.Config.Listen, nil},
		{"their certificate", other.Issue("root"), s.Config.Listen, []string{s.Config.Listen[0], "certificate signed by unknown authority"}},
		{"our certificate", mixed, s.Config.Listen, []string{s.Config.Listen[0], "it refuses our certificate"}},
		{"nobody there", ca.Issue("root"), []string{nowhere, s.Config.Listen[0]}, []string{nowhere, "connection refused"}},
	} {
		config, err := c.files.Client()
		if err != nil {
			t.Fatal(err)
		}
		err = etcd.Config{Endpoints: c.endpoints, TLS: config}.Reach(t.Context())
		if (err != nil) != (c.want != nil) {
			t.Errorf("%s: %v", c.name, err)
		}
		for _, w := range c.want {
			if err != nil && !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v does not say %q", c.name, err, w)
			}
		}
	}
}
