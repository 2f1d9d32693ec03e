package kubernetes

import (
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"tombolo.io/tombolo/clustermesh/source"
)

func TestRefusal(t *testing.T) {
	services, peers := kindOf(source.Service), kindOf(source.BGPPeer)
	for _, c := range []struct {
		kind kind
		err  error
		want []string
	}{
		{services, apierrors.NewForbidden(services.resource.GroupResource(), "", errors.New("no")), []string{"services", `"list" is not allowed`, "deploy/rbac/apiserver.yaml"}},
		{peers, apierrors.NewForbidden(peers.resource.GroupResource(), "", errors.New("no")), []string{"bgppeers.tombolo.io", `"list" is not allowed`, "deploy/rbac/apiserver.yaml"}},
		{peers, apierrors.NewNotFound(peers.resource.GroupResource(), ""), []string{"no bgppeers.tombolo.io", "deploy/crds"}},
		{services, apierrors.NewUnauthorized("who?"), []string{"does not know who we are", "--kubeconfig"}},
		{services, &url.Error{Op: "Get", URL: "https://api/very/long?with=parameters", Err: &net.OpError{Op: "dial", Err: errors.New("refused")}}, []string{"services: list: ", "refused"}},
	} {
		got := refusal{c.kind, "list", c.err}.String()
		for _, want := range c.want {
			if !strings.Contains(got, want) || strings.Contains(got, "parameters") {
				t.Errorf("%v: %q lacks %q", c.err, got, want)
			}
		}
	}
}

func TestConfig(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{Context: "east"}, "--kubeconfig"},
		{Config{Shrink: source.Shrink{Hold: -1}}, "negative"},
		{Config{}, "runs in no pod"},
		{Config{Kubeconfig: "/there/is/none"}, "/there/is/none"},
	} {
		if _, err := New(c.config, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.config, err, c.want)
		}
	}
}
