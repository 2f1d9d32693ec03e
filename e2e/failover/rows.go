package main

import (
	"errors"
	"syscall"
	"time"

	"tombolo.io/tombolo/deploy/lab"
	"tombolo.io/tombolo/deploy/lab/echo"
	wrong "tombolo.io/tombolo/deploy/lab/fault"
)

// returns is for how long a trial goes on after an outage: what is there again
// must come without a flap.
const returns = 15 * time.Second

// parted is what two clusters think that do not hear each other.
const parted = "east: west west-1 west-2; west: east east-1 east-2"

func always(text string) func(*trial) string { return func(*trial) string { return text } }

// dead is a node of which all others know that it is.
func dead(node string) string { return "*: " + node + "; " + node + ": ?" }

var faults = []fault{
	{name: "endpoint_unready", what: "endpoint goes unready",
		play: unready, lasts: 3 * time.Second, newWorst: 50 * time.Millisecond, kept: true, promised: true,
		strange: func(_ *trial, p echo.Pod) bool { return p.Pod == "west-1-a" }},
	{name: "pod_terminating", what: "terminating pod",
		play: terminating, lasts: 3 * time.Second, newWorst: 50 * time.Millisecond, kept: true, promised: true,
		strange: func(_ *trial, p echo.Pod) bool { return p.Pod == "west-1-a" }},
	{name: "node_power_off", what: "node powered off", variants: []string{"remote", "own"},
		play: func(t *trial) error { return t.cut(powerOff(t.node())) }, lasts: 5 * time.Second,
		down:     func(t *trial) string { return dead(t.node()) },
		lost:     func(t *trial, p echo.Pod) bool { return p.Node == t.node() },
		newWorst: time.Second, newMedian: 700 * time.Millisecond, longWorst: 1200 * time.Millisecond, promised: true},
	{name: "cluster_partitioned", what: "remote cluster partitioned, data and control",
		play: func(t *trial) error { return t.cut(wrong.Fault{From: "east", To: "west"}) }, lasts: 5 * time.Second,
		down:     always(parted),
		lost:     func(_ *trial, p echo.Pod) bool { return p.Cluster == "west" },
		newWorst: time.Second, longWorst: 1200 * time.Millisecond, promised: true},
	{name: "pod_silent", what: "a pod's address silent, its node alive, with outlier detection",
		before: outlierDetection, play: func(t *trial) error { return t.cut(wrong.Fault{From: "west-1-a"}) }, lasts: 8 * time.Second,
		newWorst: 2500 * time.Millisecond, promised: true},
	{name: "pod_refuses", what: "a pod that refuses connects, with outlier detection",
		before: outlierDetection, play: func(t *trial) error { return t.Kill(t.ctx, "west-1-a", lab.Responder, syscall.SIGKILL) }, lasts: 4 * time.Second,
		newWorst: 100 * time.Millisecond, promised: true, often: true},
	{name: "remote_control_plane_lost", what: "remote cluster's control plane lost, data path alive",
		play: remotePlaneLost, outage: true, lasts: returns, harmless: true, promised: true},
	{name: "etcd_lost", what: "all etcd members killed for 60 s, restarted with and without their data, and of an older snapshot",
		variants: []string{"with_data", "without_data", olderSnapshot},
		before:   outdate, play: etcdLost, outage: true, lasts: returns, harmless: true, promised: true},
	{name: "api_servers_lost", what: "the API servers of both clusters killed, their etcd and the data path alive", scenario: true, external: true,
		play: apiServersLost, outage: true, lasts: returns, harmless: true, promised: true},
	{name: "etcd_alone_lost", what: "the etcd of both clusters killed, their API servers and the data path alive", scenario: true, external: true,
		play: etcdAloneLost, outage: true, lasts: returns, harmless: true, promised: true},
	{name: "mirror_link_lost", what: "etcd's packets between the clusters lost, both ways, data path alive", scenario: true,
		play: mirrorLinkLost, outage: true, lasts: returns, harmless: true, promised: true},
	{name: "agent_killed", what: "agent killed -9 every 5 s for a minute, on the client's and on the backend's node",
		play: agentsKilled, outage: true, lasts: 5 * time.Second, harmless: true, promised: true},
	{name: "random_loss", what: "30 % random packet loss in each direction between clusters, 60 s",
		play: func(t *trial) error {
			return t.inject(wrong.Fault{Kind: wrong.Loss, Percent: 30, From: "east", To: "west"})
		}, outage: true, counted: true, promised: true},
	{name: "address_reused", what: "remote control plane lost, then a pod's address there reused by another service",
		play: reused, lasts: 6 * time.Second,
		strange:  func(_ *trial, p echo.Pod) bool { return p.Pod == "other" },
		lost:     func(_ *trial, p echo.Pod) bool { return p.Pod == "west-1-b" },
		newWorst: time.Second, longWorst: 1200 * time.Millisecond, promised: true},
	{name: "returned_otherwise", what: "a cluster comes back with another pod at an old address, and without its control plane", scenario: true,
		play: returned, lasts: 8 * time.Second, never: true, promised: true,
		down:    always(parted),
		strange: func(_ *trial, p echo.Pod) bool { return p.Pod == "other" }},
	{name: "one_way_partition", what: "only one of two clusters hears the other", scenario: true, variants: []string{string(wrong.In), string(wrong.Out)},
		play: func(t *trial) error {
			return t.cut(wrong.Fault{From: "east", To: "west", Direction: wrong.Direction(t.variant)})
		}, lasts: 5 * time.Second,
		// Without an answer it makes no difference whether the question arrived.
		down:     always(parted),
		lost:     func(_ *trial, p echo.Pod) bool { return p.Cluster == "west" },
		newWorst: time.Second, longWorst: 1200 * time.Millisecond, promised: true},
	{name: "split_cluster", what: "a cluster falls in two, and another reaches both parts", scenario: true, nodes: 3,
		play: func(t *trial) error {
			return errors.Join(t.cut(wrong.Fault{From: "east-3", To: "east-1"}), t.cut(wrong.Fault{From: "east-3", To: "east-2"}))
		}, lasts: 5 * time.Second,
		down:     always("east-1 east-2: east-3; east-3: east-1 east-2"),
		lost:     func(_ *trial, p echo.Pod) bool { return p.Node == "east-3" },
		newWorst: time.Second, longWorst: 1200 * time.Millisecond, promised: true},
	{name: "broken_uplink", what: "a node hears nobody, and convinces nobody", scenario: true, nodes: 3,
		play:     func(t *trial) error { return t.cut(wrong.Fault{From: "west-2", Direction: wrong.In}) },
		lasts:    5 * time.Second,
		down:     always("*: west-2; west-2:"),
		lost:     func(_ *trial, p echo.Pod) bool { return p.Node == "west-2" },
		newWorst: time.Second, longWorst: 1200 * time.Millisecond, promised: true},
	{name: "one_of_three_clusters", what: "one of three clusters dies", scenario: true, clusters: 3,
		play: func(t *trial) error { return t.cut(wrong.Fault{From: "west"}) }, lasts: 5 * time.Second,
		down:     always("east north: west west-1 west-2; west: east east-1 east-2 north north-1 north-2"),
		lost:     func(_ *trial, p echo.Pod) bool { return p.Cluster == "west" },
		newWorst: time.Second, longWorst: 1200 * time.Millisecond, promised: true},
	{name: "peer_node_power_off", what: "the same as node_power_off where kube-proxy's rules wait for the node's lease",
		target: peerAddress, trials: 3, before: peerStarts, play: peerNotices, lasts: 65 * time.Second,
		down: func(*trial) string { return dead("west-2") },
		lost: func(_ *trial, p echo.Pod) bool { return p.Node == "west-2" }, peer: true},
}
