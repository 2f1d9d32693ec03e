package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/agent"
	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/agent/health/gossip"
	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/internal/control"
)

// agentFlags are those of the agent.
type agentFlags struct {
	config    agent.Config
	maps      string
	uninstall bool
	store     storeFlags
	logs      logFlags
}

// sizesNamed returns the sizes of maps that have a name.
func sizesNamed(name string) (bpf.Sizes, bool) {
	all := bpf.NamedSizes()
	at := slices.IndexFunc(all, func(s bpf.Named) bool { return s.Name == name })
	if at < 0 {
		return bpf.Sizes{}, false
	}
	return all[at].Sizes, true
}

// sizeNames are the words that --maps takes.
func sizeNames() []string {
	var out []string
	for _, s := range bpf.NamedSizes() {
		out = append(out, s.Name)
	}
	return out
}

// mapMemory is what maps of a size take before they hold anything, in words.
func mapMemory(size string) string {
	sizes, _ := sizesNamed(size)
	return fmt.Sprintf("%.0f MiB", float64(sizes.Memory())/(1<<20))
}

// mapFlows are the flows of packets that are remembered, by --maps.
var mapFlows = map[string]uint32{"small": 1 << 13, "default": bpf.DefaultFlows, "large": 1 << 18}

// flowMemory is what the flows of --maps take, in words.
func flowMemory(maps string) string {
	return fmt.Sprintf("%.0f MiB", float64(bpf.FlowMemory(mapFlows[maps]))/(1<<20))
}

// newAgent is the role that keeps a node's data path.
func newAgent() *cobra.Command {
	f := &agentFlags{}
	c := &cobra.Command{
		Use:   agent.Role,
		Short: "Leads this node's clients of global services to their backends, by eBPF",
		Long: `Leads this node's clients of global services to their backends, by eBPF.

It reads the services of all clusters from the cluster's etcd and writes them to
maps that programs at the socket's connect() and sendmsg() read. On the node's
uplinks a program answers the probes by which other nodes tell whether this one
serves, and others lead packets from outside to LoadBalancer IPs, external IPs and
node ports to their backends. Maps and programs are pinned: they go on while no
agent runs, and a new one takes them over. With --uninstall they are detached and
removed instead.`,
		Example: `  tombolo agent --config /etc/tombolo/agent.yaml --node-name $(hostname)
  tombolo agent --node-name n1 --etcd-endpoints https://10.0.0.1:2379 \
    --tls-ca ca.crt --tls-cert node.crt --tls-key node.key
  tombolo agent --print-config > agent.yaml
  tombolo agent --uninstall`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c.Context()) },
	}
	flags := c.Flags()
	flags.StringVar(&f.config.Node, "node-name", "", "name of the node that this agent runs on")
	flags.StringVar(&f.config.DataPath.BPFFS, "bpffs", agent.DefaultBPFFS, "directory of a bpffs, for what is pinned")
	flags.StringVar(&f.config.DataPath.Cgroup, "cgroup", "", "cgroup2 directory whose sockets are balanced; the mount of cgroup2 by default")
	flags.StringVar(&f.maps, "maps", "default", fmt.Sprintf("size of the maps: default is for 10,000 services (%s), small for 1,000 (%s), large for 40,000 (%s)",
		mapMemory("default"), mapMemory("small"), mapMemory("large")))
	portFlag(flags, &f.config.ProbePort, "probe-port", bpf.DefaultProbePort, 1, "UDP port of probes between nodes, the same in the whole mesh")
	flags.StringSliceVar(&f.config.Uplinks, "uplinks", nil, "devices on which probes are answered, or none; by default those of the node's addresses and of the default routes")
	flags.StringSliceVar(&f.config.PacketDevices, "packet-devices", nil, "devices on which packets from outside to LoadBalancer IPs, external IPs and node ports are led to backends, or none; by default those of --uplinks")
	flags.StringVar((*string)(&f.config.Forwarding), "packet-forwarding", string(agent.SNAT), "how packets from outside go to backends on other nodes of the cluster: snat, from this node's address; dsr, as they came, in tunnels; hybrid, TCP by dsr and UDP by snat")
	flags.StringVar((*string)(&f.config.XDP), "packet-xdp", string(bpf.XDPOff), "where packets of flows that go on are led before the kernel makes anything of them, by XDP: off, nowhere; auto, on devices whose driver is known to do it well; native, on all, by their drivers; generic, on all, by the kernel. A driver may reset its device when this changes")
	flags.StringSliceVar(&f.config.NodePortAddresses, "nodeport-addresses", agent.EveryNodePort, "CIDRs: the node's addresses in them serve the node ports of services, or none")
	flags.BoolVar(&f.config.KubeProxyReplacement, "kube-proxy-replacement", false, "take every service of the cluster, for there is no kube-proxy; by default global ones and those of type LoadBalancer")
	flags.Uint32Var(&f.config.Flows, "packet-flows", 0, fmt.Sprintf("flows of packets from outside that are remembered; of more those longest unused are forgotten. By default as --maps: small %d (%s), default %d (%s), large %d (%s)",
		mapFlows["small"], flowMemory("small"), mapFlows["default"], flowMemory("default"), mapFlows["large"], flowMemory("large")))
	flags.DurationVar(&f.config.StaleAfter, "stale-after", 0, "how old a cluster's mirror may be before its endpoints leave the tables while others remain; 0 is never")
	flags.StringVar(&f.config.Pods, "pods", agent.PodsAuto, "whence it is known which pods run on this node: cri, the container runtime at one of the usual sockets; unix://PATH, the one at that socket; /PATH, a directory with a file for each; none; auto is the directory pods in the run directory, or else cri")
	portFlag(flags, &f.config.GossipPort, "gossip-port", gossip.DefaultPort, 0, "UDP and TCP port, at the node's address, of gossip between the agents of this cluster; 0 does without: then each watches all nodes itself")
	f.config.Knobs = health.DefaultKnobs()
	flags.StringVar((*string)(&f.config.Failover), "failover", string(health.On), "what becomes of dead nodes and clusters: on routes around them, observe only reports them, off does not look")
	flags.DurationVar(&f.config.Knobs.Interval, "probe-interval", f.config.Knobs.Interval, "time between two probes to each node that is watched; the third unanswered one is a suspicion")
	flags.IntVar(&f.config.Knobs.Burst, "probe-burst", f.config.Knobs.Burst, "probes, 15ms apart, that must all be unanswered before a suspect is dead")
	flags.IntVar(&f.config.Knobs.Budget, "probe-budget", f.config.Knobs.Budget, "probes a second that this node sends at most to confirm suspicions")
	flags.BoolVar(&f.uninstall, "uninstall", false, "detach the programs, remove the maps, and end")
	flags.StringVar(&f.config.MetricsListen, "metrics-listen", "", "TCP address that serves /metrics, /healthz and /readyz besides the socket")
	runDirFlag(flags, &f.config.RunDir)
	f.store.add(flags)
	f.logs.add(flags)
	c.RegisterFlagCompletionFunc("maps", cobra.FixedCompletions(sizeNames(), cobra.ShellCompDirectiveNoFileComp))
	c.RegisterFlagCompletionFunc("pods", cobra.FixedCompletions([]string{agent.PodsAuto, agent.PodsCRI, agent.PodsNone}, cobra.ShellCompDirectiveDefault))
	return configurable(c)
}

// complete makes the configuration of what the flags say.
func (f *agentFlags) complete() (err error) {
	sizes, ok := sizesNamed(f.maps)
	if !ok {
		return fmt.Errorf("reading --maps: %q is none of %s", f.maps, strings.Join(sizeNames(), ", "))
	}
	f.config.Version, f.config.DataPath.Sizes = version, sizes
	if f.config.Flows == 0 {
		f.config.Flows = mapFlows[f.maps]
	}
	f.config.Pages = func(client *etcd.Client) map[string]control.Page { return meshPages(client, askStore) }
	if f.config.DataPath.Cgroup == "" {
		f.config.DataPath.Cgroup, err = agent.FindCgroup()
	}
	return err
}

func (f *agentFlags) run(ctx context.Context) error {
	log, err := f.logs.logger(os.Stderr)
	if err != nil {
		return err
	}
	if err := f.complete(); err != nil {
		return err
	}
	if f.uninstall {
		if err := errors.Join(f.config.DataPath.Validate(), agent.Uninstall(f.config.DataPath)); err != nil {
			return err
		}
		log.Info("the programs are detached and the maps are removed", "bpffs", f.config.DataPath.BPFFS)
		return nil
	}
	if f.config.Store, err = f.store.config(); err != nil {
		return err
	}
	if err := f.config.Validate(); err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(loadbalancer.GCPercent)
	}
	return agent.New(f.config, log).Run(ctx)
}
