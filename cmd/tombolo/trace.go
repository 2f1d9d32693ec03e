package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/agent"
	"tombolo.io/tombolo/bpf"
	"tombolo.io/tombolo/clustermesh"
)

// tracer is what a trace is asked of.
type tracer struct {
	from, to, proto       string
	device, bpffs, runDir string
	output                output
}

func newTrace() *cobra.Command {
	t := &tracer{}
	c := &cobra.Command{
		Use:   "trace --from CLIENT --to ADDRESS:PORT",
		Short: "Shows what this node does with a packet from outside, and why",
		Long: `Shows what this node does with a packet from outside, and why.

A packet is made as if CLIENT had sent it – the SYN of a connection, or a datagram – and
the kernel runs the program on it that leads packets on the device, with the maps as they
are. Nothing is sent, and what the program remembers of it is forgotten again; its
counters count it. With the port of a client whose flow is known (tombolo conntrack ls) it
is a packet of that: of TCP one without SYN.

Each step is a line: what the address is, which service has the port, whether the client is
in its source ranges, which slots its hash leads to and what is wrong with those that are
passed over, the backend, the address that it sees, the way there, and the outcome in the
words of tombolo_packets_total and tombolo_packet_drops_total. Names of services, clusters
and nodes are those that the agent knows.`,
		Example: "  tombolo trace --from 198.51.100.9 --to 203.0.113.17:443\n" +
			"  tombolo trace --from 198.51.100.9:40000 --to '[2001:db8::17]:53' --proto udp -o json",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return t.run(c) },
	}
	flags := c.Flags()
	flags.StringVar(&t.from, "from", "", "the client: ADDRESS or ADDRESS:PORT")
	flags.StringVar(&t.to, "to", "", "what it dials: ADDRESS:PORT")
	flags.StringVar(&t.proto, "proto", "tcp", "tcp or udp")
	flags.StringVar(&t.device, "device", "", "where the packet comes in; by default the first device on which packets are led")
	flags.StringVar(&t.bpffs, "bpffs", agent.DefaultBPFFS, "directory of a bpffs, for what is pinned")
	runDirFlag(flags, &t.runDir)
	for _, name := range []string{"from", "to"} {
		if err := c.MarkFlagRequired(name); err != nil {
			panic(err) // it was added above
		}
	}
	c.RegisterFlagCompletionFunc("proto", cobra.FixedCompletions([]string{"tcp", "udp"}, cobra.ShellCompDirectiveNoFileComp))
	t.output.add(c)
	return c
}

func (t *tracer) run(c *cobra.Command) (err error) {
	protocol, from, to, err := t.packet()
	if err != nil {
		return err
	}
	kernel, err := bpf.OpenTracer(t.bpffs, t.device)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; packets from outside are not led here: tombolo status tells why (flag --packet-devices of tombolo agent)", err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kernel.Close()) }()
	tr, err := kernel.Trace(protocol, from, to)
	if err != nil {
		return err
	}
	known, _ := askServices(c, t.runDir, "", false) // without an agent there are numbers
	v := traceViewOf(tr, known)
	v.Route = routeTo(tr)
	return t.output.print(c.OutOrStdout(), v, func(bool) table { return v.table() })
}

// packet reads what the packet is to be.
func (t *tracer) packet() (protocol uint8, from, to netip.AddrPort, err error) {
	switch strings.ToLower(t.proto) {
	case "tcp":
		protocol = unix.IPPROTO_TCP
	case "udp":
		protocol = unix.IPPROTO_UDP
	default:
		return 0, from, to, fmt.Errorf("--proto %q: want tcp or udp", t.proto)
	}
	if from, err = netip.ParseAddrPort(t.from); err != nil {
		a, err := netip.ParseAddr(t.from)
		if err != nil {
			return 0, from, to, fmt.Errorf("--from %q: want ADDRESS or ADDRESS:PORT, of IPv6 [ADDRESS]:PORT", t.from)
		}
		from = netip.AddrPortFrom(a, 0)
	}
	if to, err = netip.ParseAddrPort(t.to); err != nil || to.Port() == 0 {
		return 0, from, to, fmt.Errorf("--to %q: want ADDRESS:PORT, of IPv6 [ADDRESS]:PORT", t.to)
	}
	from, to = netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	if from.Addr().Is4() != to.Addr().Is4() || from.Addr().Zone()+to.Addr().Zone() != "" {
		return 0, from, to, fmt.Errorf("--from %v and --to %v: want addresses of one family, without zones", from.Addr(), to.Addr())
	}
	return protocol, from, to, nil
}

// traceView is a trace as programs read it.
type traceView struct {
	Device   string         `json:"device"`
	Protocol string         `json:"protocol"`
	From     netip.AddrPort `json:"from"`
	To       netip.AddrPort `json:"to"`
	// Address is what the address is to the packet path.
	Address string `json:"address"`
	// Service is "NAMESPACE/NAME", or "number N" while nobody names it; empty for none.
	Service string `json:"service,omitempty"`
	// InRange is false for a client that the service's source ranges keep out.
	InRange bool `json:"inRange"`
	// Known is the flow that the packet belongs to, Led the one by which it went.
	Known   *flowView    `json:"known,omitempty"`
	Choices []choiceView `json:"choices,omitempty"`
	Led     *flowView    `json:"led,omitempty"`
	// Route is the way to the backend; empty where there is none to go.
	Route string `json:"route,omitempty"`
	// Outcome is a word of the packet counters; "passed" leaves it to the kernel.
	Outcome string `json:"outcome"`

	guarded bool
}

// choiceView is a slot that the packet's hash leads to.
type choiceView struct {
	Table    string         `json:"table"`
	Slot     uint32         `json:"slot"`
	Number   uint32         `json:"number"`
	Backend  netip.AddrPort `json:"backend"`
	Cluster  string         `json:"cluster,omitempty"`
	Node     string         `json:"node,omitempty"`
	Standing string         `json:"standing"`
}

func traceViewOf(t bpf.Trace, known []agent.Service) traceView {
	v := traceView{Device: t.Device, Protocol: clustermesh.Protocol(t.Protocol).String(), From: t.From, To: t.To,
		Address: ownedWords(t.Owned), InRange: t.InRange || t.Service == 0, Outcome: t.Outcome, guarded: t.Entry.Guard.Packets}
	names := frontendNames(known)
	flow := func(f *bpf.Flow) *flowView {
		if f == nil {
			return nil
		}
		view := viewOf(*f, names)
		return &view
	}
	v.Known, v.Led = flow(t.Known), flow(t.Led)
	if t.Service == 0 {
		return v
	}
	v.Service = fmt.Sprint("number ", t.Service)
	var backends []agent.Backend
	for _, s := range known {
		for _, p := range s.Ports {
			if p.Number == t.Service {
				v.Service, backends = s.Name, p.Backends
			}
		}
	}
	for _, c := range t.Choices {
		view := choiceView{Table: "primary", Slot: c.Slot, Number: c.Number, Backend: c.Address, Standing: c.Standing}
		if c.Backup {
			view.Table = "backup"
		}
		for _, b := range backends {
			if b.Address == c.Address {
				view.Cluster, view.Node = b.Cluster, b.Node
			}
		}
		v.Choices = append(v.Choices, view)
	}
	return v
}

// ownedWords says what an address is to the packet path.
func ownedWords(o bpf.Owned) string {
	switch {
	case o&bpf.ServiceAddress == 0 && o&bpf.NodeAddress == 0:
		return "of no service"
	case o&bpf.ServiceAddress == 0:
		return "this node's"
	case o&bpf.NodeAddress != 0:
		return "of services, and this node's"
	case o&bpf.SharedAddress != 0:
		return "of services, and of others"
	}
	return "of services"
}

// table tells the trace step by step.
func (v traceView) table() table {
	t := table{header: []string{"STEP", "WHAT"}}
	kind := map[string]string{"TCP": "SYN", "UDP": "datagram"}[v.Protocol]
	if v.Known != nil && v.Protocol == "TCP" {
		kind = "segment"
	}
	t.add("packet", fmt.Sprintf("%s %s, %v to %v, comes in by %s", v.Protocol, kind, v.From, v.To, v.Device))
	t.add("address", fmt.Sprintf("%v is %s", v.To.Addr(), v.Address))
	if v.Known != nil {
		t.add("flow", fmt.Sprintf("%s to %v", v.Known.State, v.Known.Backend))
	}
	switch {
	case v.Service != "":
		t.add("service", v.Service)
	case v.Address != "of no service" && v.Address != "this node's":
		t.add("service", fmt.Sprintf("none has port %d/%s", v.To.Port(), v.Protocol))
	}
	if v.guarded {
		t.add("range", map[bool]string{true: "the client is in the source ranges", false: "the client is in no source range"}[v.InRange])
	}
	for _, c := range v.Choices {
		t.add("choice", c.String())
	}
	if v.Service != "" && len(v.Choices) == 0 {
		t.add("choice", "none: the service has no backend")
	}
	if v.Led != nil {
		t.add("backend", fmt.Sprintf("%v, which sees %s", v.Led.Backend, v.Led.source()))
	}
	if v.Route != "" {
		t.add("route", v.Route)
	}
	t.add("outcome", v.Outcome)
	return t
}

// String says which slot it is, and who is in it.
func (c choiceView) String() string {
	who := fmt.Sprintf("backend %d, %v", c.Number, c.Backend)
	switch {
	case c.Number == 0:
		who = "nobody"
	case c.Node != "":
		who += fmt.Sprintf(" on %s/%s", c.Cluster, c.Node)
	case c.Cluster != "":
		who += " of " + c.Cluster
	}
	return fmt.Sprintf("%s slot %d: %s: %s", c.Table, c.Slot, who, c.Standing)
}

// source says whom the backend sees.
func (f flowView) source() string {
	if f.Source == f.Client {
		return "the client"
	}
	return f.Source.String()
}

// routeTo says by which way the kernel sends packets to the backend.
func routeTo(t bpf.Trace) string {
	if t.Led == nil || t.Outcome != "forwarded" && t.Outcome != "delivered" && t.Outcome != "tunnelled" {
		return ""
	}
	to, within := t.Led.Backend.Addr(), ""
	if t.Tunnel.IsValid() {
		to, within = t.Tunnel, fmt.Sprintf("in a tunnel to %v, ", t.Tunnel)
	}
	routes, err := netlink.RouteGet(to.AsSlice())
	if err != nil || len(routes) == 0 {
		return fmt.Sprintf("none is known: %v", err)
	}
	r := routes[0]
	device := fmt.Sprint("device ", r.LinkIndex)
	if l, err := netlink.LinkByIndex(r.LinkIndex); err == nil {
		device = l.Attrs().Name
	}
	switch {
	case r.Gw != nil:
		return fmt.Sprintf("%svia %v by %s", within, r.Gw, device)
	case r.Via != nil:
		return fmt.Sprintf("%svia %v by %s", within, r.Via, device)
	}
	return within + "by " + device
}
