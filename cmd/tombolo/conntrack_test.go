package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/agent"
	"tombolo.io/tombolo/bpf"
)

func TestConntrackRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"flush":                              "--all",
		"flush --all --client 192.0.2.1":     "by --all alone",
		"flush --client 192.0.2.1:http":      `--client "192.0.2.1:http": want ADDRESS`,
		"ls --frontend 192.0.2.0/24":         "--frontend",
		"ls --service web":                   "web",
		"ls --service shop/web --run-dir /x": "which frontends shop/web has, its agent knows",
	} {
		root := newRoot()
		root.SetArgs(append([]string{"conntrack"}, strings.Fields(args)...))
		if err := root.Execute(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want it to say %q", args, err, want)
		}
	}
}

func TestFlowViews(t *testing.T) {
	at := netip.MustParseAddrPort
	names := frontendNames([]agent.Service{{Name: "shop/web", Ports: []agent.Port{{Frontends: []string{"203.0.113.17:80/TCP"}}}}})
	local := bpf.Flow{Protocol: unix.IPPROTO_TCP, Client: at("198.51.100.9:40000"), Frontend: at("203.0.113.17:80"), Backend: at("10.1.1.10:8080"),
		Source: at("198.51.100.9:40000"), Local: true, State: bpf.FlowEstablished, Idle: 1400 * time.Millisecond}
	other := local
	other.Protocol, other.Source, other.State = unix.IPPROTO_UDP, at("172.20.1.1:10007"), bpf.FlowAssured
	var b strings.Builder
	if err := flowRows([]flowView{viewOf(local, names), viewOf(other, names)}).print(&b); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(b.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	want := []string{"PROTOCOL STATE CLIENT FRONTEND BACKEND SOURCE IDLE SERVICE",
		"TCP ESTABLISHED 198.51.100.9:40000 203.0.113.17:80 10.1.1.10:8080 the client 1s shop/web",
		"UDP ASSURED 198.51.100.9:40000 203.0.113.17:80 10.1.1.10:8080 172.20.1.1:10007 1s -"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", b.String())
	}
}

func TestEndMatcher(t *testing.T) {
	for value, want := range map[string]bool{"": true, "10.1.1.10": true, "10.1.1.10:8080": true, "10.1.1.10:80": false, "10.1.1.1": false, "fd00::1": false} {
		matches, err := endMatcher("backend", value)
		if err != nil {
			t.Fatal(err)
		}
		if matches(netip.MustParseAddrPort("10.1.1.10:8080")) != want {
			t.Errorf("%q: not %v", value, want)
		}
	}
}
