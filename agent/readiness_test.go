package agent

import (
	"fmt"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
)

func TestWritten(t *testing.T) {
	ip, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	st := &loadbalancer.ServiceStatus{
		Name:   clustermesh.ServiceName{Namespace: "d", Name: "web"},
		Merged: &global.Service{Definition: &clustermesh.Service{LoadBalancerIPs: []netip.Addr{ip, other}}},
		Ports:  []loadbalancer.PortStatus{{}, {Frontends: []loadbalancer.Frontend{{Address: netip.AddrPortFrom(ip, 80)}}}},
	}
	if !written(st, ip) || written(st, other) {
		t.Errorf("written: %v, %v", written(st, ip), written(st, other))
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
