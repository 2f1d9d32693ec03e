package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/agent"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/clustermesh"
)

func newConntrack() *cobra.Command {
	c := &cobra.Command{
		Use:   "conntrack",
		Short: "Shows or forgets the flows of packets that this node leads to backends",
		Long: `Shows or forgets the flows of packets from outside that this node leads to backends of
LoadBalancer IPs. The kernel keeps them; that works without the agent, too. Connections
that programs of this node open are led by their sockets and are no flows.`,
		Args: cobra.NoArgs,
	}
	c.AddCommand(newConntrackList(), newConntrackFlush())
	return c
}

func newConntrackList() *cobra.Command {
	var f flowFilter
	var o output
	c := &cobra.Command{
		Use:   "ls",
		Short: "Shows the flows that this node remembers",
		Long: `Shows the flows that this node remembers, those with the latest packet first.

CLIENT sends to FRONTEND and is led to BACKEND, which sees SOURCE: the client itself
where the backend is on this node, else an address of this node and a port of its.
STATE is in the words of the kernel's own conntrack: TCP is SYN_SENT until the backend
answers, then ESTABLISHED, FIN_WAIT or CLOSE_WAIT once one side has ended, TIME_WAIT once
both have, CLOSE after a reset; UDP is UNREPLIED or ASSURED. IDLE counts from the last
packet. SERVICE is as the agent knows it; without an agent it is not known.`,
		Example: "  tombolo conntrack ls\n  tombolo conntrack ls --service shop/cart -o json\n" +
			"  tombolo conntrack ls --frontend 203.0.113.17:443 --client 198.51.100.9",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.withFlows(c, func(_ *bpf.FlowTable, flows []bpf.Flow) error {
				all := make([]flowView, 0, len(flows))
				for _, flow := range flows {
					all = append(all, viewOf(flow, f.names))
				}
				return o.print(c.OutOrStdout(), all, func(bool) table { return flowRows(all) })
			})
		},
	}
	o.add(c)
	f.add(c)
	return c
}

func newConntrackFlush() *cobra.Command {
	var f flowFilter
	var all bool
	c := &cobra.Command{
		Use:   "flush",
		Short: "Forgets flows: their TCP connections are reset",
		Long: `Forgets flows. The next packet of a TCP connection that is forgotten is answered with a
reset; the next datagram begins a flow anew, maybe to another backend. Flags say which
flows; all of them takes --all.`,
		Example: "  tombolo conntrack flush --backend 10.1.2.3\n  tombolo conntrack flush --service shop/cart\n" +
			"  tombolo conntrack flush --all",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if f.empty() != all {
				return errors.New("name the flows by --client, --frontend, --backend or --service, or all of them by --all alone")
			}
			return f.withFlows(c, func(t *bpf.FlowTable, flows []bpf.Flow) error {
				for i, flow := range flows {
					if err := t.Forget(flow); err != nil {
						return fmt.Errorf("%w; %d of %d are forgotten", err, i, len(flows))
					}
				}
				fmt.Fprintf(c.OutOrStdout(), "flows forgotten: %d\n", len(flows))
				return nil
			})
		},
	}
	f.add(c)
	c.Flags().BoolVar(&all, "all", false, "forget all flows of this node")
	return c
}

// flowFilter says which flows are meant, and where they are.
type flowFilter struct {
	bpffs, runDir string
	// client, frontend and backend are addresses, with a port or without.
	client, frontend, backend string
	service                   string
	// names are the services by their frontends, "ADDRESS:PORT/PROTOCOL".
	names map[string]string
}

func (f *flowFilter) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.client, "client", "", "only those of this client: ADDRESS or ADDRESS:PORT")
	flags.StringVar(&f.frontend, "frontend", "", "only those to this frontend: ADDRESS or ADDRESS:PORT")
	flags.StringVar(&f.backend, "backend", "", "only those to this backend: ADDRESS or ADDRESS:PORT")
	flags.StringVar(&f.service, "service", "", "only those of this service: NAMESPACE/NAME")
	flags.StringVar(&f.bpffs, "bpffs", agent.DefaultBPFFS, "directory of a bpffs, for what is pinned")
	runDirFlag(flags, &f.runDir)
}

func (f *flowFilter) empty() bool { return f.client+f.frontend+f.backend+f.service == "" }

// withFlows passes on the flows that are meant, those with the latest packet first.
func (f *flowFilter) withFlows(c *cobra.Command, do func(*bpf.FlowTable, []bpf.Flow) error) error {
	matches, err := f.matcher(c)
	if err != nil {
		return err
	}
	t, err := bpf.OpenFlows(f.bpffs)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; packets from outside were never led here: tombolo status tells why (flag --packet-devices of tombolo agent)", err)
	}
	if err != nil {
		return err
	}
	var flows []bpf.Flow
	for flow, err := range t.All() {
		if err != nil {
			return errors.Join(err, t.Close())
		}
		if matches(flow) {
			flows = append(flows, flow)
		}
	}
	slices.SortStableFunc(flows, func(a, b bpf.Flow) int { return cmp.Compare(a.Idle, b.Idle) })
	return errors.Join(do(t, flows), t.Close())
}

// matcher reads the flags. The agent is needed where a service is named, and names them
// for people otherwise.
func (f *flowFilter) matcher(c *cobra.Command) (func(bpf.Flow) bool, error) {
	var ends [3]func(netip.AddrPort) bool
	for i, flag := range []struct{ name, value string }{{"client", f.client}, {"frontend", f.frontend}, {"backend", f.backend}} {
		var err error
		if ends[i], err = endMatcher(flag.name, flag.value); err != nil {
			return nil, err
		}
	}
	if f.service != "" {
		if _, err := clustermesh.ParseReachable(f.service); err != nil {
			return nil, err
		}
	}
	all, err := askServices(c, f.runDir, "", false)
	if err != nil && f.service != "" {
		return nil, fmt.Errorf("which frontends %s has, its agent knows: %w", f.service, err)
	}
	f.names = frontendNames(all)
	return func(flow bpf.Flow) bool {
		return ends[0](flow.Client) && ends[1](flow.Frontend) && ends[2](flow.Backend) &&
			(f.service == "" || f.names[frontendOf(flow)] == f.service)
	}, nil
}

func endMatcher(flag, value string) (func(netip.AddrPort) bool, error) {
	if value == "" {
		return func(netip.AddrPort) bool { return true }, nil
	}
	if at, err := netip.ParseAddrPort(value); err == nil {
		return func(a netip.AddrPort) bool { return a == at }, nil
	}
	addr, err := netip.ParseAddr(value)
	if err != nil {
		return nil, fmt.Errorf("--%s %q: want ADDRESS or ADDRESS:PORT, of IPv6 [ADDRESS]:PORT", flag, value)
	}
	return func(a netip.AddrPort) bool { return a.Addr() == addr }, nil
}

func frontendNames(all []agent.Service) map[string]string {
	names := map[string]string{}
	for _, s := range all {
		for _, p := range s.Ports {
			for _, at := range p.Frontends {
				names[at] = s.Name
			}
		}
	}
	return names
}

func frontendOf(f bpf.Flow) string {
	return fmt.Sprintf("%v/%v", f.Frontend, clustermesh.Protocol(f.Protocol))
}

// flowView is a flow as programs read it.
type flowView struct {
	Protocol string         `json:"protocol"`
	State    bpf.FlowState  `json:"state"`
	Client   netip.AddrPort `json:"client"`
	Frontend netip.AddrPort `json:"frontend"`
	Backend  netip.AddrPort `json:"backend"`
	Source   netip.AddrPort `json:"source"`
	Local    bool           `json:"local"`
	// Tunnelled: the backend's node leads it, and this one sends it there as it came.
	Tunnelled bool `json:"tunnelled"`
	// IdleSeconds is how long ago the last packet was.
	IdleSeconds float64 `json:"idleSeconds"`
	Service     string  `json:"service,omitempty"`
}

func viewOf(f bpf.Flow, names map[string]string) flowView {
	return flowView{Protocol: clustermesh.Protocol(f.Protocol).String(), State: f.State, Client: f.Client, Frontend: f.Frontend,
		Backend: f.Backend, Source: f.Source, Local: f.Local, Tunnelled: f.Tunnelled, IdleSeconds: f.Idle.Seconds(), Service: names[frontendOf(f)]}
}

func flowRows(all []flowView) table {
	t := table{header: strings.Fields("PROTOCOL STATE CLIENT FRONTEND BACKEND SOURCE IDLE SERVICE")}
	for _, f := range all {
		idle := time.Duration(f.IdleSeconds * float64(time.Second)).Round(time.Second)
		t.add(f.Protocol, string(f.State), f.Client.String(), f.Frontend.String(), f.Backend.String(), f.source(), idle.String(), f.Service)
	}
	return t
}
