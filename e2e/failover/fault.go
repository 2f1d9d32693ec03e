package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"time"

	"tombolo.io/tombolo/deploy/lab"
	"tombolo.io/tombolo/deploy/lab/echo"
	wrong "tombolo.io/tombolo/deploy/lab/fault"
	"tombolo.io/tombolo/deploy/lab/objects"
)

// fault is a row of the table.
type fault struct {
	// name is what figures are called, what is what people read.
	name, what string
	// target is asked instead of demo/echo.
	target netip.AddrPort
	// trials bounds how often the fault is played; zero is no bound.
	trials int
	// clusters and nodes (of a cluster) are those of the lab, 2 when zero.
	clusters, nodes int
	// scenario: no row of the table; played only by tests and by name.
	scenario bool
	// verdicts bounds how many there may be in the maps of all nodes together;
	// zero is no bound.
	verdicts int
	// before changes the lab before the load begins; nil does nothing.
	before func(*trial) error
	// play brings the fault about, and returns as soon as it is there, or when it
	// is over.
	play func(*trial) error
	// lasts is from the fault to the end of the trial, besides the outage of those
	// that have one: it is as long as the bench says.
	lasts  time.Duration
	outage bool
	// lost says whose long connections the fault leaves without a backend, and
	// strange who should not be reached any more.
	lost, strange func(*trial, echo.Pod) bool
	// What the figures should be; zero is not measured.
	newWorst, newMedian, longWorst time.Duration
	// harmless faults should have no failure at all, and unnoticed ones no verdict.
	harmless, unnoticed bool
	// peer: another's way, which has no goal.
	peer bool
	// promised: tests hold it to five times its figures. The others wait for what
	// detects them.
	promised bool
	// kept: no long connection should break.
	kept bool
	// never: nobody strange may be reached, not even for a moment.
	never bool
}

var faults = []fault{
	{name: "endpoint_unready", what: "endpoint goes unready",
		play: unready, lasts: 3 * time.Second, newWorst: 50 * time.Millisecond, kept: true, promised: true,
		strange: func(_ *trial, p echo.Pod) bool { return p.Pod == "west-1-a" }},
	{name: "pod_terminating", what: "terminating pod",
		play: terminating, lasts: 3 * time.Second, newWorst: 50 * time.Millisecond, kept: true, promised: true,
		strange: func(_ *trial, p echo.Pod) bool { return p.Pod == "west-1-a" }},
	{name: "node_power_off", what: "node powered off",
		play: func(t *trial) error { return t.cut(powerOff(t.node())) }, lasts: 5 * time.Second,
		lost:     func(t *trial, p echo.Pod) bool { return p.Node == t.node() },
		newWorst: time.Second, newMedian: 700 * time.Millisecond, longWorst: 1200 * time.Millisecond, promised: true},
	{name: "cluster_partitioned", what: "remote cluster partitioned, data and control",
		play: func(t *trial) error { return t.cut(wrong.Fault{From: "east", To: "west"}) }, lasts: 5 * time.Second,
		lost:     func(_ *trial, p echo.Pod) bool { return p.Cluster == "west" },
		newWorst: time.Second, longWorst: 1200 * time.Millisecond, promised: true},
	{name: "pod_silent", what: "a pod's address silent, its node alive, with outlier detection",
		before: outlierDetection, play: func(t *trial) error { return t.cut(wrong.Fault{From: "west-1-a"}) }, lasts: 8 * time.Second,
		newWorst: 2500 * time.Millisecond, promised: true},
	{name: "pod_refuses", what: "a pod that refuses connects, with outlier detection",
		before: outlierDetection, play: func(t *trial) error { return t.Kill(t.ctx, "west-1-a", lab.Responder, syscall.SIGKILL) }, lasts: 4 * time.Second,
		newWorst: 100 * time.Millisecond, promised: true},
	{name: "remote_control_plane_lost", what: "remote cluster's control plane lost, data path alive",
		play: func(t *trial) error { return t.Kill(t.ctx, "west-1", lab.APIServer, syscall.SIGKILL) }, outage: true, harmless: true, promised: true},
	{name: "etcd_lost", what: "all etcd members killed for 60 s, restarted with and without their data",
		play: etcdLost, outage: true, lasts: 15 * time.Second, harmless: true, promised: true},
	{name: "agent_killed", what: "agent killed -9 every 5 s for a minute, on the client's and on the backend's node",
		play: agentsKilled, outage: true, lasts: 5 * time.Second, harmless: true, promised: true},
	{name: "random_loss", what: "30 % random packet loss in each direction between clusters, 60 s",
		play: func(t *trial) error {
			return t.inject(wrong.Fault{Kind: wrong.Loss, Percent: 30, From: "east", To: "west"})
		}, outage: true, unnoticed: true, promised: true},
	{name: "address_reused", what: "remote control plane lost, then a pod's address there reused by another service",
		play: reused, lasts: 6 * time.Second,
		strange:  func(_ *trial, p echo.Pod) bool { return p.Pod == "other" },
		lost:     func(_ *trial, p echo.Pod) bool { return p.Pod == "west-1-b" },
		newWorst: time.Second, longWorst: 1200 * time.Millisecond, promised: true},
	{name: "returned_otherwise", what: "a cluster comes back with another pod at an old address, and without its control plane", scenario: true,
		play: returned, lasts: 8 * time.Second, never: true,
		strange: func(_ *trial, p echo.Pod) bool { return p.Pod == "other" }},
	{name: "one_way_partition", what: "only one of two clusters hears the other", scenario: true,
		play: func(t *trial) error {
			return t.cut(wrong.Fault{From: "east", To: "west", Direction: []wrong.Direction{wrong.In, wrong.Out}[t.n%2]})
		}, lasts: 5 * time.Second,
		lost:     func(_ *trial, p echo.Pod) bool { return p.Cluster == "west" },
		newWorst: time.Second, longWorst: 1200 * time.Millisecond, promised: true},
	{name: "split_cluster", what: "a cluster falls in two, and another reaches both parts", scenario: true, nodes: 3,
		play: func(t *trial) error {
			return errors.Join(t.cut(wrong.Fault{From: "east-3", To: "east-1"}), t.cut(wrong.Fault{From: "east-3", To: "east-2"}))
		}, lasts: 5 * time.Second,
		lost:     func(_ *trial, p echo.Pod) bool { return p.Node == "east-3" },
		newWorst: time.Second, longWorst: 1200 * time.Millisecond, promised: true},
	{name: "broken_uplink", what: "a node hears nobody, and convinces nobody", scenario: true, nodes: 3,
		play:  func(t *trial) error { return t.cut(wrong.Fault{From: "west-2", Direction: wrong.In}) },
		lasts: 5 * time.Second, verdicts: 5, // of each other node about this one
		lost:     func(_ *trial, p echo.Pod) bool { return p.Node == "west-2" },
		newWorst: time.Second, longWorst: 1200 * time.Millisecond, promised: true},
	{name: "one_of_three_clusters", what: "one of three clusters dies", scenario: true, clusters: 3,
		play: func(t *trial) error { return t.cut(wrong.Fault{From: "west"}) }, lasts: 5 * time.Second,
		lost:     func(_ *trial, p echo.Pod) bool { return p.Cluster == "west" },
		newWorst: time.Second, longWorst: 1200 * time.Millisecond, promised: true},
	{name: "peer_node_power_off", what: "the same as node_power_off where kube-proxy's rules wait for the node's lease",
		target: peerAddress, trials: 3, before: peerStarts, play: peerNotices, lasts: 65 * time.Second,
		lost: func(_ *trial, p echo.Pod) bool { return p.Node == "west-2" }, peer: true},
}

func powerOff(node string) wrong.Fault { return wrong.Fault{From: node} }

// span is how long a trial takes from the fault on.
func (f fault) span(outage time.Duration) time.Duration {
	if f.outage {
		return f.lasts + outage
	}
	return f.lasts
}

// node is the one that loses power: a remote one and one of the client's own
// cluster by turns; not those that the control planes are on.
func (t *trial) node() string { return []string{"west-2", "east-2"}[t.n%2] }

func (t *trial) cut(f wrong.Fault) error {
	f.Kind, f.Percent = wrong.Cut, 100
	return t.inject(f)
}

func (t *trial) inject(f wrong.Fault) error {
	if f.Direction == "" {
		f.Direction = wrong.Both
	}
	if f.Traffic == "" {
		f.Traffic = wrong.All
	}
	_, err := t.Inject(t.ctx, f)
	return err
}

// apply writes demo/echo of a cluster.
func (t *trial) apply(cluster string, s objects.Service) error {
	c, ok := t.Cluster(cluster)
	if !ok {
		return fmt.Errorf("the lab has no cluster %s", cluster)
	}
	s.Name, s.Addresses = objects.Echo, objects.EchoAddresses(c)
	raw, err := s.YAML(c)
	if err != nil {
		return err
	}
	t.fault = time.Now()
	_, err = t.Apply(cluster, raw)
	return err
}

func unready(t *trial) error {
	return t.apply("west", objects.Service{NotReady: []string{"west-1-a"}})
}

func terminating(t *trial) error {
	return t.apply("west", objects.Service{Terminating: []string{"west-1-a"}})
}

// outlierDetection is the wish of both clusters.
func outlierDetection(t *trial) error {
	s := objects.Service{Annotations: map[string]string{"tombolo.io/outlier-detection": "true"}}
	return errors.Join(t.apply("east", s), t.apply("west", s))
}

// etcdLost kills the API servers of both clusters, with the etcd in them.
func etcdLost(t *trial) error {
	for _, node := range []string{"east-1", "west-1"} {
		if err := t.Kill(t.ctx, node, lab.APIServer, syscall.SIGKILL); err != nil {
			return err
		}
	}
	if err := t.wait(t.outage); err != nil {
		return err
	}
	for _, cluster := range []string{"east", "west"} {
		again := func() error { return t.Start(t.ctx, cluster+"-1", lab.APIServer) }
		if t.n%2 == 1 {
			again = func() error { return t.Restore(t.ctx, cluster, "") }
		}
		if err := again(); err != nil {
			return err
		}
	}
	return nil
}

func agentsKilled(t *trial) error {
	for range int(t.outage / (5 * time.Second)) {
		next := time.Now().Add(5 * time.Second)
		for _, node := range []string{"east-1", "west-1"} {
			if err := t.Kill(t.ctx, node, lab.Agent, syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
				return err
			}
		}
		for _, node := range []string{"east-1", "west-1"} {
			if err := t.Start(t.ctx, node, lab.Agent); err != nil {
				return err
			}
		}
		if err := t.wait(time.Until(next)); err != nil {
			return err
		}
	}
	return nil
}

// reused takes west's control plane from east, and gives the addresses of a pod
// of demo/echo to one of another app; the clock starts when that one is there.
func reused(t *trial) error {
	if err := t.cut(wrong.Fault{From: "east", To: "west", Traffic: wrong.Control}); err != nil {
		return err
	}
	if err := t.wait(3 * time.Second); err != nil {
		return err
	}
	t.fault = time.Now()
	if err := t.RemovePod(t.ctx, "west-1-b"); err != nil {
		return err
	}
	_, err := t.AddPod(t.ctx, "west-1", "other", "other")
	return err
}

// returned parts east from west until west is down, gives the addresses of a pod of
// demo/echo to one of another app, and mends all but the control planes.
func returned(t *trial) error {
	if err := t.cut(wrong.Fault{From: "east", To: "west"}); err != nil {
		return err
	}
	if err := t.wait(3 * time.Second); err != nil {
		return err
	}
	if down, err := t.down(); err != nil || down == 0 {
		return errors.Join(errors.New("after 3 s nobody is down"), err)
	}
	if err := t.RemovePod(t.ctx, "west-1-b"); err != nil {
		return err
	}
	if _, err := t.AddPod(t.ctx, "west-1", "other", "other"); err != nil {
		return err
	}
	if err := t.cut(wrong.Fault{From: "east", To: "west", Traffic: wrong.Control}); err != nil {
		return err
	}
	if _, err := t.Heal(t.ctx, func(f wrong.Fault) bool { return f.Traffic == wrong.All }); err != nil {
		return err
	}
	if err := t.wait(5 * time.Second); err != nil {
		return err
	}
	if down, err := t.down(); err != nil || down > 0 {
		return errors.Join(fmt.Errorf("5 s after it came back %d clusters and nodes are still down, whose own agents know which pods live", down), err)
	}
	return nil
}
