package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
	"tombolo.io/tombolo/internal/control"
)

// TestLife is a service's, with a client that connects all along: it comes,
// changes its endpoints, outlives the agent and the store, and goes.
func TestLife(t *testing.T) {
	r := newRig(t)
	one := r.Serve(t, netip.MustParseAddrPort("10.1.0.2:0"), "one")
	two := r.Serve(t, netip.AddrPortFrom(netip.MustParseAddr("10.1.0.3"), one.Port()), "two")
	answers := func(want string) func() bool {
		return func() bool { got, err := r.dial(vip); return err == nil && got == want }
	}
	always := func(what, want string) {
		t.Helper()
		for range 20 {
			if got, err := r.dial(vip); err != nil || got != want {
				t.Fatalf("%s: %q, %v; want %s", what, got, err, want)
			}
		}
	}

	first := r.start()
	r.put(append(web(one), east)...)
	r.vouch()
	r.until("the service answers", answers("one"))
	r.until("the agent is ready", func() bool { return first.Status().Ready() == nil })
	r.put(web(two)...)
	r.until("the other endpoint answers", answers("two"))
	first.stop()
	always("without an agent", "two")

	r.store.Stop()
	second := r.start()
	r.until("the agent says that the store is away", func() bool { return !second.Status().StaleSince.IsZero() })
	s := second.Status()
	if s.Health != clustermesh.HealthDegraded || s.Ready() == nil || s.Unclaimed != 1 || !strings.Contains(fmt.Sprint(s.Reasons), "etcd is stale since") {
		t.Errorf("without the store the status is %+v, ready: %v", s, s.Ready())
	}
	always("without the store", "two")
	r.until("the agent says why the store is away", func() bool {
		return strings.Contains(fmt.Sprint(second.Status().Reasons), r.store.Config.Listen[0]+": connection refused (does it run there")
	})

	r.store.Start()
	r.until("the agent is ready again", func() bool { return second.Status().Ready() == nil })
	if s := second.Status(); s.Unclaimed != 0 || s.Services != 1 {
		t.Errorf("with the store again the status is %+v", s)
	}
	always("with the store again", "two")
	r.put(web()...)
	r.until("a service without an endpoint refuses", func() bool { _, err := r.dial(vip); return errors.Is(err, unix.ECONNREFUSED) })
	var all []Service
	r.until("the page says so", func() bool {
		return r.ask("/services", &all) == nil && len(all) == 1 && all[0].State == StateNoBackends
	})

	if err := Uninstall(r.config.DataPath); !errors.Is(err, bpf.ErrInUse) {
		t.Errorf("uninstalling under an agent: %v", err)
	}
	second.stop()
	if err := Uninstall(r.config.DataPath); err != nil {
		t.Error(err)
	}
	if _, err := r.dial(vip); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("after uninstalling the address is not left alone: %v", err)
	}
}

func TestServicesPage(t *testing.T) {
	r := newRig(t)
	r.start()
	r.put(append(web(netip.MustParseAddrPort("10.1.0.2:8080")), east)...)
	r.vouch()
	var all []Service
	r.until("the service is shown", func() bool { return r.ask("/services", &all) == nil && len(all) == 1 && len(all[0].Ports) == 1 })
	p := all[0].Ports[0]
	if all[0].Name != "shop/web" || all[0].State != StateOK || fmt.Sprint(p.Frontends) != "[10.96.0.1:80/TCP]" ||
		p.Tables.Primary != 251 || p.Tables.Backup != 0 || p.Number == 0 || len(p.Backends) != 1 || p.Backends[0].Node != "n1" ||
		p.Backends[0].Address.String() != "10.1.0.2:8080" || p.Backends[0].Tier != "primary" {
		t.Errorf("services: %+v", all)
	}
	if err := r.ask("/services?name=shop/none", &all); !errors.Is(err, control.ErrNotFound) {
		t.Errorf("a service that there is not: %v", err)
	}
	if err := r.ask("/services?name=shop/web", &all); err != nil || len(all) != 1 {
		t.Errorf("one service: %v, %v", all, err)
	}
	var why global.Explanation
	if err := r.ask("/services/why?name=shop/web", &why); err != nil || len(why.Ports) != 1 || len(why.Ports[0].Endpoints) != 1 ||
		why.Ports[0].Endpoints[0].Table != "primary" || why.Ports[0].Endpoints[0].Share != 100 {
		t.Errorf("why: %+v, %v", why, err)
	}
	if err := r.ask("/services/why?name=shop/none", &why); !errors.Is(err, control.ErrNotFound) {
		t.Errorf("why of a service that there is not: %v", err)
	}
}

func TestASecondAgentIsRefused(t *testing.T) {
	r := newRig(t)
	a := r.start()
	r.until("the first runs", func() bool { return a.Status().Health != clustermesh.HealthStopped })
	if err := New(r.config, a.log).Run(t.Context()); !errors.Is(err, control.ErrClaimed) {
		t.Errorf("the same run directory: %v", err)
	}
	other := r.config
	other.RunDir = t.TempDir()
	if err := New(other, a.log).Run(t.Context()); !errors.Is(err, bpf.ErrInUse) {
		t.Errorf("the same maps: %v", err)
	}
}

func TestConfigSaysAllThatIsWrong(t *testing.T) {
	err := Config{}.Validate()
	for _, want := range []string{"--node-name", "--run-dir", "--etcd-endpoints", "--probe-port", "bpffs", "cgroup"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("an empty configuration: %v; want a word about %s", err, want)
		}
	}
}

func TestNodePortAddresses(t *testing.T) {
	for _, c := range []struct {
		said        []string
		want, wrong string
	}{
		{EveryNodePort, "[0.0.0.0/0 ::/0]", ""},
		{nil, "[]", ""},
		{[]string{"none"}, "[]", ""},
		{[]string{"10.0.0.0/8", "fd00::/8"}, "[10.0.0.0/8 fd00::/8]", ""},
		{[]string{"none", "10.0.0.0/8"}, "[]", `"none": want a CIDR`},
		{[]string{"10.0.0.1"}, "[]", `"10.0.0.1": want a CIDR`},
		{[]string{"10.0.0.1/8"}, "[]", "want 10.0.0.0/8, or a longer one"},
	} {
		got, err := Config{NodePortAddresses: c.said}.nodePorts()
		if fmt.Sprint(got) != c.want || (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%q: %v, %v", c.said, got, err)
		}
	}
}

func TestMetrics(t *testing.T) {
	r := newRig(t)
	r.start()
	r.put(append(web(netip.MustParseAddrPort("10.1.0.2:8080")), east)...)
	r.vouch()
	c := control.NewClient(r.config.RunDir, Role)
	r.until("the metrics say what is there", func() bool {
		text, err := c.Raw(t.Context(), "/metrics")
		return err == nil && strings.Contains(string(text), "\ntombolo_agent_services 1\n") &&
			strings.Contains(string(text), `tombolo_map_entries{map="slots"} 251`) &&
			strings.Contains(string(text), `tombolo_datapath_selections_total{outcome="stale"} 0`) &&
			strings.Contains(string(text), `tombolo_probe_datagrams_total{outcome="answered"} 0`)
	})
}
