package agent

import (
	"tombolo.io/tombolo/agent/census"
	"tombolo.io/tombolo/agent/disconnect"
	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/agent/health/gossip"
	"tombolo.io/tombolo/agent/health/probe"
	"tombolo.io/tombolo/agent/healthcheck"
	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/agent/packets"
	"tombolo.io/tombolo/agent/pods"
	"tombolo.io/tombolo/agent/responder"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/etcd"
)

// parts are what an agent wires together.
type parts struct {
	client       *etcd.Client
	datapath     *bpf.Datapath
	balancer     *loadbalancer.LoadBalancer
	disconnector *disconnect.Disconnector
	kernel       *bpf.Responder
	responder    *responder.Responder
	// packets keeps leads; both are nil where packets are not led.
	packets *packets.Packets
	// noPackets says why, unless that is as it should be.
	noPackets error
	leads     *bpf.Packets
	checks    *healthcheck.Server // nil with packets
	judge     *health.Health
	pods      *pods.Node
	census    *census.Census
}

// assemble makes the parts, which do nothing yet: the judge tells the balancer what
// is down, and the census what moved under a node; the census confirms nodes to the
// judge, and tells the balancer which pods ended; and the balancer wakes the
// disconnector.
func (a *Agent) assemble(client *etcd.Client, datapath *bpf.Datapath, kernel *bpf.Responder, leads *bpf.Packets) *parts {
	p := &parts{
		client: client, datapath: datapath, kernel: kernel, leads: leads,
		disconnector: disconnect.New(disconnect.Config{Proc: "/proc"}, datapath, a.log),
		pods:         pods.New(a.config.podsConfig(kernel.BootID()), kernel, a.log),
		responder:    responder.New(responder.Config{Node: a.config.Node, Uplinks: a.config.Uplinks}, kernel, a.log),
	}
	p.balancer = loadbalancer.New(a.loadbalancer(p.disconnector.Wake), loadbalancer.Kernel(datapath), a.log)
	if leads != nil {
		p.packets = packets.New(packets.Config{
			Node: a.config.Node, Devices: a.config.packetDevices(), Outdated: !datapath.Restored(), Ask: a.askTunnels(),
			XDP: a.config.XDP == bpf.XDPNative || a.config.XDP == bpf.XDPGeneric,
		}, leads, p.balancer, a.log)
		p.checks = healthcheck.New(a.config.Node, p.balancer, p.packets.Leads, a.log)
	}
	deps := health.Deps{
		Sighted:  func(s health.Sighting) { p.census.Sighted(s) },
		Open:     func(c probe.Config) (health.Prober, error) { return probe.Open(c) },
		Balancer: p.balancer, Log: a.log,
		Uses: func() map[uint16][]string { return p.balancer.Snapshot().Uses() },
	}
	if a.config.gossips() {
		pool := gossip.New(gossip.Config{Node: a.config.Node, RunDir: a.config.RunDir, Port: a.config.GossipPort}, a.log)
		a.pool.Store(pool)
		deps.Pool = pool
	}
	p.judge = health.New(a.config.health(), deps)
	p.census = census.New(a.config.census(), census.Deps{
		Life:     func() health.Life { return health.Life{BootID: kernel.BootID(), Epoch: kernel.Epoch()} },
		Pods:     func() *pods.Set { return p.pods.Snapshot().Set },
		Balanced: p.balancer.Snapshot, Balancer: p.balancer, Judge: p.judge, Log: a.log,
	})
	p.balancer.Inherit(p.census.Inherit())
	a.balancer.Store(p.balancer)
	a.judge.Store(p.judge)
	a.pods.Store(p.pods)
	return p
}
