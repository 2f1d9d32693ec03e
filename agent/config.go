package agent

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"tombolo.io/tombolo/agent/census"
	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/agent/uplink"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/internal/control"
)

// Config is what an agent is told when it starts. Everything else it reads from
// the store.
type Config struct {
	// Node is the name of the node.
	Node string
	// RunDir is where its socket is.
	RunDir string
	// MetricsListen is a TCP address for metrics and probes besides the socket, or empty.
	MetricsListen string
	// Store is the cluster's etcd.
	Store etcd.Config
	// DataPath says where the maps and programs live.
	DataPath bpf.Config
	// ProbePort is the port of probes in the whole mesh, and Uplinks the devices
	// on which this node answers them: those that are found when empty, and none
	// for uplink.None.
	ProbePort uint16
	Uplinks   []string
	// PacketDevices are the devices on which packets from outside are led to backends:
	// those of Uplinks when empty, and none for uplink.None. Flows is how many flows
	// of theirs are remembered; 0 is bpf.DefaultFlows.
	PacketDevices []string
	Flows         uint32
	// Forwarding is how packets go to backends on other nodes of the cluster.
	Forwarding Forwarding
	// XDP says where packets of flows that go on are led earlier; empty is bpf.XDPOff.
	XDP bpf.XDP
	// NodePortAddresses are CIDRs: the node's addresses in them serve node ports. Just
	// uplink.None, or nothing, is nowhere.
	NodePortAddresses []string
	// KubeProxyReplacement takes every service of the cluster, as kube-proxy does.
	KubeProxyReplacement bool
	// Pods says whence it is known which pods run on the node, as parsePods reads it.
	Pods string
	// GossipPort is where the agents of this cluster gossip, UDP and TCP, each at its
	// node's address; 0 is nowhere.
	GossipPort uint16
	// StaleAfter is how old a mirror may be before its cluster's endpoints leave the
	// tables while others remain; zero is for ever.
	StaleAfter time.Duration
	// Failover is what becomes of verdicts about other nodes, Knobs by what they
	// are judged.
	Failover health.Mode
	Knobs    health.Knobs
	// Version is reported with the status.
	Version string
	// Pages returns pages that are served besides the agent's own, with the
	// agent's client of the store; it may be nil.
	Pages func(*etcd.Client) map[string]control.Page
}

// Validate says what is wrong with the configuration, all of it at once.
func (c Config) Validate() error {
	var errs []error
	if c.Node == "" {
		errs = append(errs, errors.New("the node's name is missing: give --node-name"))
	}
	if c.RunDir == "" {
		errs = append(errs, errors.New("the run directory is missing: give --run-dir"))
	}
	if len(c.Store.Endpoints) == 0 {
		errs = append(errs, errors.New("the cluster's etcd is missing: give --etcd-endpoints"))
	}
	if c.Flows != 0 && (c.Flows < bpf.LeastFlows || c.Flows > bpf.MostFlows) {
		errs = append(errs, fmt.Errorf("--packet-flows %d: want %d to %d", c.Flows, bpf.LeastFlows, bpf.MostFlows))
	}
	if c.StaleAfter < 0 {
		errs = append(errs, fmt.Errorf("--stale-after %v: want 0, which is never, or more", c.StaleAfter))
	}
	if c.ProbePort == 0 {
		errs = append(errs, errors.New("the port of probes is missing: give --probe-port"))
	}
	if slices.Contains(c.Uplinks, uplink.None) && len(c.Uplinks) > 1 {
		errs = append(errs, fmt.Errorf("--uplinks: %s stands alone", uplink.None))
	}
	if slices.Contains(c.PacketDevices, uplink.None) && len(c.PacketDevices) > 1 {
		errs = append(errs, fmt.Errorf("--packet-devices: %s stands alone", uplink.None))
	}
	if _, err := c.Forwarding.direct(); err != nil {
		errs = append(errs, err)
	}
	if c.XDP != "" && !slices.Contains(bpf.XDPModes, c.XDP) {
		errs = append(errs, fmt.Errorf("--packet-xdp %q: want one of %q", c.XDP, bpf.XDPModes))
	}
	if _, err := c.nodePorts(); err != nil {
		errs = append(errs, err)
	}
	if _, err := c.podsSource(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(append(errs, c.health().Validate(), c.DataPath.Validate())...)
}

func (c Config) census() census.Config {
	return census.Config{Node: c.Node, RunDir: c.RunDir, Port: c.ProbePort, Observe: c.Failover != health.On}
}

func (c Config) health() health.Config {
	return health.Config{Node: c.Node, RunDir: c.RunDir, Mode: c.Failover, Knobs: c.Knobs, Port: c.ProbePort}
}
