package main

import (
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/agent"
	"tombolo.io/tombolo/bpf"
)

func TestTraceRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"":                                              `required flag(s) "from", "to"`,
		"--from 192.0.2.1":                              `required flag(s) "to"`,
		"--from web --to 192.0.2.1:80":                  `--from "web": want ADDRESS`,
		"--from 192.0.2.1 --to 192.0.2.1":               `--to "192.0.2.1": want ADDRESS:PORT`,
		"--from 192.0.2.1 --to 192.0.2.1:0":             "want ADDRESS:PORT",
		"--from 192.0.2.1 --to [fd00::1]:80":            "of one family",
		"--from fe80::1%eth0 --to [fd00::1]:80":         "without zones",
		"--from 192.0.2.1 --to 192.0.2.1:80 --proto ip": `--proto "ip": want tcp or udp`,
		"--from 192.0.2.1 --to 192.0.2.1:80 --bpffs /x": "/x",
	} {
		root := newRoot()
		root.SetArgs(append([]string{"trace"}, strings.Fields(args)...))
		if err := root.Execute(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want it to say %q", args, err, want)
		}
	}
}

func TestTraceTable(t *testing.T) {
	at := netip.MustParseAddrPort
	known := []agent.Service{{Name: "shop/web", Ports: []agent.Port{{Number: 12, Frontends: []string{"203.0.113.17:80/TCP"},
		Backends: []agent.Backend{{Cluster: "west", Node: "west-1", Address: at("10.2.1.10:8080")}}}}}}
	led := &bpf.Flow{Protocol: unix.IPPROTO_TCP, Client: at("198.51.100.9:40000"), Frontend: at("203.0.113.17:80"),
		Backend: at("10.2.1.10:8080"), Source: at("172.20.1.1:17702"), State: bpf.FlowSynSent}
	through := bpf.Trace{Device: "eth0", Protocol: unix.IPPROTO_TCP, From: led.Client, To: led.Frontend, Owned: bpf.ServiceAddress,
		Service: 12, Entry: bpf.Service{Guard: bpf.Guard{Packets: true}}, InRange: true, Led: led, Outcome: "forwarded", Choices: []bpf.Choice{
			{Slot: 77, Number: 5, Backend: bpf.Backend{Address: at("10.1.1.10:8080")}, Standing: "down by verdict"},
			{Slot: 900, Number: 7, Backend: bpf.Backend{Address: at("10.2.1.10:8080")}, Standing: "ready"}}}
	out := through
	out.InRange, out.Led, out.Outcome = false, nil, "source range"
	nobody := bpf.Trace{Device: "eth0", Protocol: unix.IPPROTO_UDP, From: led.Client, To: at("203.0.113.17:81"), Owned: bpf.ServiceAddress, Outcome: "no port"}
	for _, c := range []struct {
		trace bpf.Trace
		want  []string
	}{
		{through, []string{"packet TCP SYN, 198.51.100.9:40000 to 203.0.113.17:80, comes in by eth0", "address 203.0.113.17 is of services", "service shop/web",
			"range the client is in the source ranges", "choice primary slot 77: backend 5, 10.1.1.10:8080: down by verdict",
			"choice primary slot 900: backend 7, 10.2.1.10:8080 on west/west-1: ready", "backend 10.2.1.10:8080, which sees 172.20.1.1:17702", "outcome forwarded"}},
		{out, []string{"range the client is in no source range", "outcome source range"}},
		{nobody, []string{"packet UDP datagram, 198.51.100.9:40000 to 203.0.113.17:81, comes in by eth0", "service none has port 81/UDP", "outcome no port"}},
	} {
		var b strings.Builder
		if err := traceViewOf(c.trace, known).table().print(&b); err != nil {
			t.Fatal(err)
		}
		text := strings.Join(strings.Fields(b.String()), " ")
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%q is missing:\n%s", want, b.String())
			}
		}
	}
}
