package main

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/bgp"
	"tombolo.io/tombolo/internal/control"
)

// speakerIn shows a speaker with two routers in a new directory.
func speakerIn(t *testing.T) string {
	t.Helper()
	s := inOrder(bgp.Role)
	peers := []bgp.PeerStatus{
		{Name: "tor-a", Address: netip.MustParseAddr("192.0.2.1"), ASN: 65001, LocalASN: 64512, State: "Established",
			Since: time.Now().Add(-90 * time.Second), Advertised: map[string]int{"ipv4": 2, "ipv6": 1}},
		{Name: "tor-b", Address: netip.MustParseAddr("2001:db8::1"), ASN: 65001, LocalASN: 64512, State: "Connecting", Reason: "connection refused"},
		{Name: "tor-c", Address: netip.MustParseAddr("192.0.2.3"), ASN: 65001, LocalASN: 64512, State: "Established"},
	}
	routes := []bgp.Route{
		{Peer: "tor-a", Prefix: netip.MustParsePrefix("10.1.1.0/24"), NextHop: netip.MustParseAddr("192.0.2.9"), Advertisements: []string{"pods"}},
		{Peer: "tor-b", Prefix: netip.MustParsePrefix("198.51.100.7/32"), Service: "shop/cart", Held: "NoEndpoint",
			Communities: []string{"65000:1"}, LocalPref: 200, Advertisements: []string{"vips", "more"}},
	}
	s.Pages = map[string]control.Page{
		"/bgp/peers":  func(*http.Request) (any, error) { return peers, nil },
		"/bgp/routes": func(*http.Request) (any, error) { return routes, nil },
	}
	dir := t.TempDir()
	serve(t, dir, s)
	return dir
}

// fields is text with each run of spaces as one.
func fields(text string) string {
	var out []string
	for line := range strings.Lines(text) {
		out = append(out, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(out, "\n")
}

func TestBGP(t *testing.T) {
	dir := speakerIn(t)
	for _, c := range []struct {
		args string
		want string
	}{
		{"bgp peers", "PEER ADDRESS ASN LOCAL ASN STATE SINCE IPV4 IPV6 REASON\n" +
			"tor-a 192.0.2.1 65001 64512 Established 1m30s 2 1 -\n" +
			"tor-b 2001:db8::1 65001 64512 Connecting - 0 0 connection refused\n" +
			"tor-c 192.0.2.3 65001 64512 Established - 0 0 -"},
		{"bgp peers tor-b", "PEER ADDRESS ASN LOCAL ASN STATE SINCE IPV4 IPV6 REASON\n" +
			"tor-b 2001:db8::1 65001 64512 Connecting - 0 0 connection refused"},
		{"bgp routes", "PEER PREFIX NEXT HOP FOR STATE\n" +
			"tor-a 10.1.1.0/24 192.0.2.9 pods of this node advertised\n" +
			"tor-b 198.51.100.7/32 - service shop/cart held: NoEndpoint"},
		{"bgp routes --peer tor-b -o wide", "PEER PREFIX NEXT HOP FOR STATE COMMUNITIES LOCAL PREF ADVERTISEMENTS\n" +
			"tor-b 198.51.100.7/32 - service shop/cart held: NoEndpoint 65000:1 200 vips,more"},
		{"bgp routes --peer tor-c", "PEER PREFIX NEXT HOP FOR STATE"}, // a router that is told nothing
		{"bgp routes --peer tor-c -o json", "[]"},
	} {
		out, err := run(t, append(strings.Fields(c.args), "--run-dir", dir)...)
		if got := strings.TrimSpace(fields(out)); err != nil || got != c.want {
			t.Errorf("%s: %v\n got %s\nwant %s", c.args, err, got, c.want)
		}
	}
	out, err := run(t, "bgp", "peers", "-o", "yaml", "--run-dir", dir)
	if err != nil || !strings.Contains(out, "  name: tor-b\n") || !strings.Contains(out, "  reason: connection refused\n") {
		t.Errorf("got %v\n%s", err, out)
	}
	for _, args := range []string{"bgp peers none", "bgp routes --peer none", "bgp routes --peer none -o json"} {
		if _, err := run(t, append(strings.Fields(args), "--run-dir", dir)...); err == nil || !strings.Contains(err.Error(), "no BGPPeer none is for this node") {
			t.Errorf("%s: %v", args, err)
		}
	}
	t.Setenv("TOMBOLO_RUN_DIR", dir)
	for _, args := range [][]string{{"peers"}, {"routes", "--peer"}} {
		words := append([]string{"__complete", "bgp", args[0]}, append(args[1:], "")...)
		if out, err := run(t, words...); err != nil || !strings.HasPrefix(out, "tor-a\ntor-b\ntor-c\n:4\n") {
			t.Errorf("%s: %v\n%s", words, err, out)
		}
	}
}
