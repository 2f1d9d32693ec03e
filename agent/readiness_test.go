package agent

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"

	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
)

func TestWritten(t *testing.T) {
	ip, other, sockets := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")
	status := func(others bool) *loadbalancer.ServiceStatus {
		return &loadbalancer.ServiceStatus{
			Name: clustermesh.ServiceName{Namespace: "d", Name: "web"},
			Merged: &global.Service{Definition: &clustermesh.Service{
				Type: clustermesh.LoadBalancer, LoadBalancerIPs: []netip.Addr{ip, other, sockets}, LoadBalancerOthers: others,
			}},
			Ports: []loadbalancer.PortStatus{{}, {Frontends: []loadbalancer.Frontend{
				{Address: netip.AddrPortFrom(ip, 80)}, {Address: netip.AddrPortFrom(ip, 80), Scope: loadbalancer.Outside}, {Address: netip.AddrPortFrom(sockets, 80)},
			}}},
		}
	}
	for _, c := range []struct {
		what   string
		led    outside
		others bool
		want   []netip.Addr
	}{
		{"packets are led", byUs, false, []netip.Addr{ip}},
		{"no uplink has a program", nowhere, false, nil},
		{"packets are not led by us", byOthers, false, []netip.Addr{ip, sockets}},
		{"they are not ours to lead", byUs, true, []netip.Addr{ip, sockets}},
		{"nor would they be", nowhere, true, []netip.Addr{ip, sockets}},
	} {
		var got []netip.Addr
		for _, a := range []netip.Addr{ip, other, sockets} {
			if written(status(c.others), a, c.led) {
				got = append(got, a)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: written are %v, want %v", c.what, got, c.want)
		}
	}
}

func TestReadinessPage(t *testing.T) {
	a := New(Config{Node: "n1"}, nil)
	ask := func(after string) (*clustermesh.Readiness, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/readiness?after="+after, nil)
		if err != nil {
			t.Fatal(err)
		}
		v, err := a.readiness(r)
		said, _ := v.(*clustermesh.Readiness)
		return said, err
	}
	if said, err := ask(""); err == nil {
		t.Errorf("before the maps are filled it says %+v", said)
	}
	first := &word{clustermesh.Readiness{Version: "1"}, make(chan struct{})}
	a.word.Store(first)
	if said, err := ask(""); err != nil || said.Version != "1" {
		t.Errorf("got %+v, %v", said, err)
	}
	answer := make(chan string, 1)
	go func() {
		said, err := ask("1")
		answer <- fmt.Sprint(said.Version, err)
	}()
	a.word.Store(&word{clustermesh.Readiness{Version: "2"}, make(chan struct{})})
	close(first.replaced)
	select {
	case got := <-answer:
		if got != "2<nil>" {
			t.Errorf("who waits is told %s", got)
		}
	case <-time.After(10 * time.Second):
		t.Error("who waits is not told")
	}
}
