package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
	"tombolo.io/tombolo/internal/control"
)

// TestABackendThatRefuses is what clients and people see of a backend that
// refuses, of a service with outlier detection: three failures, and then who
// answers, with the reason on every page.
func TestABackendThatRefuses(t *testing.T) {
	r := newRig(t)
	lives := r.Serve(t, netip.MustParseAddrPort("10.1.0.2:0"), "one")
	refuses := netip.AddrPortFrom(netip.MustParseAddr("10.1.0.3"), lives.Port())
	a := r.start()
	objects := web(lives, refuses)
	objects[1].(*clustermesh.Service).Outliers = clustermesh.DefaultOutlierDetection()
	r.put(append(objects, east)...)
	r.vouch()
	refused := 0
	answers := func() bool {
		got, err := r.dial(vip)
		if errors.Is(err, unix.ECONNREFUSED) {
			refused++
		}
		return err == nil && got == "one"
	}
	r.until("the service answers", answers)
	r.until("a backend is ejected", func() bool { answers(); return a.Status().Ejected == 1 })
	for range 50 {
		if got, err := r.dial(vip); err != nil || got != "one" {
			t.Fatalf("%q, %v", got, err)
		}
	}
	var all []Service
	if err := r.ask("/services", &all); err != nil || len(all) != 1 || len(all[0].Ports) != 1 {
		t.Fatalf("services: %+v, %v", all, err)
	}
	p := all[0].Ports[0]
	if len(p.Backends) != 1 || p.Backends[0].Address != lives || len(p.Ejected) != 1 || p.Ejected[0].Address != refuses ||
		p.Ejected[0].Node != "n1" || p.Ejected[0].Observed || !strings.HasPrefix(p.Ejected[0].Reason, "3 connections in a row were refused, until ") {
		t.Errorf("services: %+v", p)
	}
	var why global.Explanation
	if err := r.ask("/services/why?name=shop/web", &why); err != nil || len(why.Ports) != 1 || len(why.Ports[0].Endpoints) != 2 ||
		!strings.HasPrefix(why.Ports[0].Endpoints[1].Reason, "ejected: 3 connections in a row were refused") {
		t.Errorf("why: %+v, %v", why, err)
	}
	var events []health.Event
	r.until("the event is told", func() bool { return r.ask("/events", &events) == nil && len(events) > 0 })
	if e := events[0]; e.To != "ejected" || e.What != "shop/web port 80 at "+refuses.String()+" of east" || e.Observed {
		t.Errorf("events: %+v", events)
	}
	c := control.NewClient(r.config.RunDir, Role)
	text, err := c.Raw(t.Context(), "/metrics")
	for _, want := range []string{"tombolo_outlier_ejections_active 1", "tombolo_outlier_ejections_total 1"} {
		if err != nil || !strings.Contains(string(text), "\n"+want+"\n") {
			t.Errorf("the metrics lack %s, %v", want, err)
		}
	}
	// Some may be refused before the kernel looks on, and some after the third before the
	// agent has heard of that.
	failures := 0
	_, counted, _ := strings.Cut(string(text), "\ntombolo_outlier_failures_total{cause=\"refused\"} ")
	if _, err := fmt.Sscan(counted, &failures); err != nil || failures < 3 || failures > refused {
		t.Errorf("the metrics say %d failures (%v); %d connections were refused", failures, err, refused)
	}
}

// TestABackendThatRefusesIsOnlyObserved: with --failover=observe people are told,
// and nothing changes.
func TestABackendThatRefusesIsOnlyObserved(t *testing.T) {
	r := newRig(t)
	r.config.Failover = health.Observe
	lives := r.Serve(t, netip.MustParseAddrPort("10.1.0.2:0"), "one")
	refuses := netip.AddrPortFrom(netip.MustParseAddr("10.1.0.3"), lives.Port())
	r.start()
	objects := web(lives, refuses)
	objects[1].(*clustermesh.Service).Outliers = clustermesh.DefaultOutlierDetection()
	r.put(append(objects, east)...)
	r.vouch()
	r.until("the service answers", func() bool { got, err := r.dial(vip); return err == nil && got == "one" })
	var events []health.Event
	r.until("the event is told", func() bool { _, _ = r.dial(vip); return r.ask("/events", &events) == nil && len(events) > 0 })
	if e := events[0]; e.To != "ejected" || !e.Observed {
		t.Errorf("events: %+v", events)
	}
	var all []Service
	if err := r.ask("/services", &all); err != nil || len(all) != 1 || len(all[0].Ports) != 1 || len(all[0].Ports[0].Backends) != 2 {
		t.Errorf("services: %+v, %v", all, err)
	}
}
