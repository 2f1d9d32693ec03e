package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"tombolo.io/tombolo/agent"
	"tombolo.io/tombolo/clustermesh/global"
	"tombolo.io/tombolo/internal/control"
)

// agentIn shows an agent with three services in a new directory.
func agentIn(t *testing.T) string {
	t.Helper()
	port := agent.Port{
		Name: "http", Protocol: "TCP", Port: 80, Scope: "internal", Number: 3, SessionAffinity: "3h0m0s",
		Frontends: []string{"10.96.0.10:80/TCP"},
		Backends: []agent.Backend{
			{Tier: "primary", Cluster: "east", Address: netip.MustParseAddrPort("10.1.0.5:8080"), Node: "n1", Zone: "a", Weight: 100, Share: 33.333},
			{Tier: "backup", Cluster: "west", Address: netip.MustParseAddrPort("10.2.0.5:8080"), Weight: 50, Share: 100, Ending: true},
		},
	}
	port.Ejected = []agent.Ejected{
		{Cluster: "east", Address: netip.MustParseAddrPort("10.1.0.6:8080"), Node: "n2", Reason: "3 connections in a row were refused, until noon"},
		{Cluster: "east", Address: netip.MustParseAddrPort("10.1.0.7:8080"), Reason: "5 connections in a row had no answer, until one", Observed: true},
	}
	down := func(address string, port uint16) global.Outcome {
		return global.Outcome{Cluster: "west", Address: netip.MustParseAddr(address), Port: port, Node: "w1", Zone: "b",
			Step: global.StepServing, Reason: "down by verdict: cluster west"}
	}
	port.Unused = []global.Outcome{down("10.2.0.6", 8080), down("10.2.0.7", 8080),
		{Cluster: "east", Address: netip.MustParseAddr("10.1.0.9"), Step: global.StepPort, Reason: "its slice has no such port"}}
	port.Tables.Primary, port.Tables.Backup = 1021, 251
	port.Guarded, port.SourceRanges = true, []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	port.KeptOut = []string{"its own", "those of its pods"}
	six := port
	six.SourceRanges, six.KeptOut = nil, []string{"those of its pods"}
	six.Unused = []global.Outcome{down("fd02::6", 8080)}
	six.Frontends, six.Number, six.Backends, six.Retained = []string{"[fd96::10]:80/TCP"}, 4, nil, true
	six.Ejected = nil
	all := []agent.Service{
		{Name: "shop/cart", State: agent.StateOK, Ports: []agent.Port{port, six}, Clusters: []agent.Part{
			{Cluster: "east", Ready: 2, NotReady: 1}, {Cluster: "west", Ending: 1, Reason: "not shared"}},
			Refused: []string{"10.1.0.9 of west: east has this address"}},
		{Name: "shop/far", State: agent.StateUnused, Reason: "this cluster does not define it"},
	}
	s := inOrder(agent.Role)
	s.Pages = map[string]control.Page{"/services": func(r *http.Request) (any, error) {
		switch name := r.URL.Query().Get("name"); name {
		case "":
			return all, nil
		case "shop/cart":
			return all[:1], nil
		case "shop/far":
			return all[1:], nil
		default:
			return nil, fmt.Errorf("service %s: %w", name, control.ErrNotFound)
		}
	}, "/services/why": func(r *http.Request) (any, error) {
		switch name := r.URL.Query().Get("name"); name {
		case "shop/cart":
			return explained(), nil
		case "shop/far":
			return global.Explanation{Name: name, Cluster: "east", Reason: "not defined in this cluster"}, nil
		default:
			return nil, fmt.Errorf("service %s: %w", name, control.ErrNotFound)
		}
	}}
	dir := t.TempDir()
	serve(t, dir, s)
	return dir
}

func TestServices(t *testing.T) {
	dir := agentIn(t)
	const header = "SERVICE PORT SCOPE TIER CLUSTER BACKEND NODE ZONE SHARE STATE\n"
	const notes = "10.1.0.9 of west: east has this address; ejected because connections to them fail: 1; backends of a cluster that is not synced are kept"
	const out6 = "shop/cart http:80/TCP internal - - - - - - clients of no range: none; refuses sockets of this node: those of its pods\n"
	const used = "shop/cart http:80/TCP internal - - - - - - clients from 198.51.100.0/24 alone; refuses sockets of this node: its own and those of its pods\n" +
		"shop/cart http:80/TCP internal primary east 10.1.0.5:8080 n1 a 33.3% ready\n" +
		"shop/cart http:80/TCP internal backup west 10.2.0.5:8080 - - 100% ending\n" +
		"shop/cart http:80/TCP internal - east 10.1.0.6:8080 n2 - - ejected: 3 connections in a row were refused, until noon\n" +
		"shop/cart http:80/TCP internal - east 10.1.0.7:8080 - - - would be ejected: 5 connections in a row had no answer, until one\n"
	for args, want := range map[string]string{
		"services": "SERVICE STATE FRONTENDS READY REASON\n" +
			"shop/cart OK 10.96.0.10:80/TCP,[fd96::10]:80/TCP east 2/3, west 0/1 (not shared) " + notes + "\n" +
			"shop/far Unused - - this cluster does not define it",
		"services -o wide": "SERVICE STATE FRONTENDS READY NUMBERS TABLES AFFINITY CLIENTS UNUSED REASON\n" +
			"shop/cart OK 10.96.0.10:80/TCP,[fd96::10]:80/TCP east 2/3, west 0/1 (not shared) 3,4 1021/251 3h0m0s 198.51.100.0/24,none " +
			"3 of west: down by verdict: cluster west; 1 of east: its slice has no such port " + notes + "\n" +
			"shop/far Unused - - - - - - - this cluster does not define it",
		"services shop/cart": header + used +
			"shop/cart http:80/TCP internal - west 2 endpoints - - - not used: down by verdict: cluster west\n" +
			"shop/cart http:80/TCP internal - east 1 endpoints - - - not used: its slice has no such port\n" +
			out6 + "shop/cart http:80/TCP internal - - - - - - no backends: those found in the maps are kept\n" +
			"shop/cart http:80/TCP internal - west 1 endpoints - - - not used: down by verdict: cluster west",
		"services shop/cart -o wide": header + used +
			"shop/cart http:80/TCP internal - west 10.2.0.6:8080 w1 b - not used: down by verdict: cluster west\n" +
			"shop/cart http:80/TCP internal - west 10.2.0.7:8080 w1 b - not used: down by verdict: cluster west\n" +
			"shop/cart http:80/TCP internal - east 10.1.0.9 - - - not used: its slice has no such port\n" +
			out6 + "shop/cart http:80/TCP internal - - - - - - no backends: those found in the maps are kept\n" +
			"shop/cart http:80/TCP internal - west [fd02::6]:8080 w1 b - not used: down by verdict: cluster west",
		"services shop/far": header + "shop/far - - - - - - - - this cluster does not define it",
	} {
		out, err := run(t, append(strings.Fields(args), "--run-dir", dir)...)
		if got := strings.TrimSpace(fields(out)); err != nil || got != want {
			t.Errorf("%s: %v\n got %s\nwant %s", args, err, got, want)
		}
	}
	out, err := run(t, "services", "shop/cart", "-o", "yaml", "--run-dir", dir)
	if err != nil || !strings.Contains(out, "    - address: 10.1.0.5:8080\n") {
		t.Errorf("got %v\n%s", err, out)
	}
	if _, err := run(t, "services", "shop/none", "--run-dir", dir); !errors.Is(err, control.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := run(t, "services", "cart", "--run-dir", dir); err == nil || !strings.Contains(err.Error(), "want namespace/name") {
		t.Errorf("got %v", err)
	}
}

// A shell completes the names of services and roles from what runs.
func TestCompletion(t *testing.T) {
	dir := agentIn(t)
	for args, want := range map[string]string{
		"services":     "shop/cart\nshop/far\n",
		"services why": "shop/cart\nshop/far\n",
		"status":       "agent\n",
		"status -o":    "table\njson\nyaml\n",
	} {
		words := append([]string{"__complete"}, strings.Fields(args)...)
		if !strings.HasSuffix(args, "-o") {
			words = append(words, "--run-dir", dir)
		}
		out, err := run(t, append(words, "")...)
		if err != nil || !strings.HasPrefix(out, want+":") {
			t.Errorf("%s: got %v\n%s", args, err, out)
		}
	}
	t.Setenv("TOMBOLO_RUN_DIR", dir)
	for args, want := range map[string]string{"services": "\nshop/cart\nshop/far\n:", "status": "agent\n:"} {
		if out, err := run(t, "__complete", args, ""); err != nil || !strings.Contains("\n"+out, want) {
			t.Errorf("%s, the directory set by the environment: got %v\n%s", args, err, out)
		}
	}
}
