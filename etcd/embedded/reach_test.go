package embedded_test

import (
	"context"
	"net"
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
	mixed := other.Issue("root")
	mixed.CA = ca.Issue("root").CA
	there := s.Config.Listen[0]
	nowhere := "https://" + etcdtest.Address(t)
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	plain := etcdtest.New(t).Config.Listen[0]
	for _, c := range []struct {
		name      string
		files     etcd.TLSFiles
		endpoints []string
		want      []string
	}{
		{"all is well", ca.Issue("root"), []string{there}, []string{there + ": it takes connections and does not answer"}},
		{"all is well, without TLS", etcd.TLSFiles{}, []string{plain}, []string{plain + ": it takes connections and does not answer"}},
		{"their certificate", other.Issue("root"), []string{there}, []string{there + ": its certificate is signed by unknown authority"}},
		{"another name", ca.Issue("root"), []string{strings.Replace(there, "127.0.0.1", "localhost", 1)}, []string{"localhost (name it in the certificate"}},
		{"our certificate", mixed, []string{there}, []string{there + ": it refuses our certificate: tls: "}},
		{"nobody there", ca.Issue("root"), []string{nowhere, there}, []string{nowhere + ": connection refused", there + ": it takes connections"}},
		{"somebody silent", ca.Issue("root"), []string{"https://" + mute.Addr().String()}, []string{"it takes connections and is silent"}},
		{"it wants TLS", etcd.TLSFiles{}, []string{strings.Replace(there, "https", "http", 1)}, []string{"it ends connections without TLS"}},
		{"it has no TLS", ca.Issue("root"), []string{strings.Replace(plain, "http", "https", 1)}, []string{"it speaks no TLS"}},
	} {
		config := etcd.Config{Endpoints: c.endpoints}
		if !c.files.Empty() {
			var err error
			if config.TLS, err = c.files.Client(); err != nil {
				t.Fatal(err)
			}
		}
		got := config.Explain(t.Context(), context.DeadlineExceeded).Error()
		for _, w := range c.want {
			if !strings.Contains(got, w) || strings.Contains(got, "\n") {
				t.Errorf("%s: %s does not say %q in one line", c.name, got, w)
			}
		}
		if again := config.Explain(t.Context(), context.DeadlineExceeded).Error(); again != got {
			t.Errorf("%s: first %s, then %s", c.name, got, again)
		}
	}
}
