package main

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/agent"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/internal/control"
)

func newServices() *cobra.Command {
	var runDir string
	var o output
	complete := func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		all, err := askServices(c, runDir, "", false)
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for _, s := range all {
			names = append(names, s.Name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
	c := &cobra.Command{
		Use:   "services [NAMESPACE/NAME]",
		Short: "Shows the services as this node balances them; one with all its backends",
		Long: `Shows the services as this node's agent balances them: how each stands, at which
addresses it is reached, and how many ready endpoints each cluster has for it. Of one
service it shows each backend of each port: its tier, cluster and node, and the share
of new connections that it gets. tombolo services why tells what led to that.

Endpoints that are not used (down, drained, withdrawn, not ready, …) are counted by
cluster and reason where one service is shown, and where all are with -o wide. -o
wide of one service has a line for each; json and yaml have them all.`,
		Args: cobra.MaximumNArgs(1),
		Example: "  tombolo services\n  tombolo services -o wide\n" +
			"  tombolo services shop/cart\n  tombolo services shop/cart -o yaml\n  tombolo services why shop/cart",
		ValidArgsFunction: complete,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				all, err := askServices(c, runDir, "", o.format != "table")
				if err != nil {
					return err
				}
				return o.print(c.OutOrStdout(), all, func(wide bool) table { return serviceTable(all, wide) })
			}
			if _, err := clustermesh.ParseReachable(args[0]); err != nil {
				return err
			}
			one, err := askServices(c, runDir, args[0], true)
			if errors.Is(err, control.ErrNotFound) {
				return notBalanced(err)
			}
			if err != nil {
				return err
			}
			return o.print(c.OutOrStdout(), one, func(wide bool) table { return backendTable(one, wide) })
		},
	}
	o.add(c, "wide")
	runDirFlag(c.Flags(), &runDir)
	c.AddCommand(newServicesWhy(&runDir, complete))
	return c
}

// notBalanced says what may be why an agent knows no service of a name.
func notBalanced(err error) error {
	return fmt.Errorf(`%w; this node balances none of that name: tombolo services lists those that it does, which are global (annotation tombolo.io/global: "true"), of type LoadBalancer, or all with tombolo agent --kube-proxy-replacement`, err)
}

// askServices returns all services of this node's agent, or the one of a name, with
// the endpoints that they do not use or without.
func askServices(c *cobra.Command, runDir, name string, unused bool) ([]agent.Service, error) {
	query := url.Values{}
	if name != "" {
		query.Set("name", name)
	}
	if unused {
		query.Set("unused", "true")
	}
	var out []agent.Service
	err := control.NewClient(runDir, agent.Role).Get(c.Context(), "/services?"+query.Encode(), &out)
	return out, err
}

// serviceTable has a line for each service.
func serviceTable(all []agent.Service, wide bool) table {
	t := table{header: []string{"SERVICE", "STATE", "FRONTENDS", "READY", "REASON"}}
	if wide {
		t.header = []string{"SERVICE", "STATE", "FRONTENDS", "READY", "NUMBERS", "TABLES", "AFFINITY", "CLIENTS", "UNUSED", "REASON"}
	}
	for _, s := range all {
		row := []string{s.Name, s.State, frontends(s), readiness(s)}
		if wide {
			row = append(row, cells(s, func(p agent.Port) string { return number(p.Number) }),
				cells(s, func(p agent.Port) string { return fmt.Sprintf("%d/%d", p.Tables.Primary, p.Tables.Backup) }),
				cells(s, func(p agent.Port) string { return p.SessionAffinity }),
				cells(s, clients),
				strings.Join(unusedOf(s), "; "))
		}
		t.add(append(row, serviceReason(s))...)
	}
	return t
}

// cells lists what each port of a service has, once each in a row.
func cells(s agent.Service, of func(agent.Port) string) string {
	var out []string
	for _, p := range s.Ports {
		if v := of(p); v != "" && (len(out) == 0 || out[len(out)-1] != v) {
			out = append(out, v)
		}
	}
	return strings.Join(out, ",")
}

// mostRanges is how many ranges a line names.
const mostRanges = 5

// clients says from where clients may come to a port, if not from everywhere.
func clients(p agent.Port) string {
	if !p.Guarded {
		return ""
	}
	var out []string
	for _, r := range p.SourceRanges[:min(len(p.SourceRanges), mostRanges)] {
		out = append(out, r.String())
	}
	if more := len(p.SourceRanges) - mostRanges; more > 0 {
		out = append(out, fmt.Sprintf("%d more", more))
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ",")
}

// keptOut says who may come to a guarded port, and which sockets of the node may not.
func keptOut(p agent.Port) string {
	out := "clients from " + clients(p) + " alone"
	if clients(p) == "none" {
		out = "clients of no range: none"
	}
	if len(p.KeptOut) > 0 {
		out += "; refuses sockets of this node: " + strings.Join(p.KeptOut, " and ")
	}
	return out
}

func frontends(s agent.Service) string {
	var out []string
	for _, p := range s.Ports {
		out = append(out, p.Frontends...)
	}
	return strings.Join(out, ",")
}

// readiness says how many endpoints of each cluster are ready, of how many.
func readiness(s agent.Service) string {
	var out []string
	for _, p := range s.Clusters {
		text := fmt.Sprintf("%s %d/%d", p.Cluster, p.Ready, p.Ready+p.Ending+p.NotReady)
		if p.Reason != "" {
			text += " (" + p.Reason + ")"
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

func serviceReason(s agent.Service) string {
	out := s.Refused
	if s.Reason != "" {
		out = append([]string{s.Reason}, out...)
	}
	if n := ejected(s); n > 0 {
		out = append(out, fmt.Sprintf("ejected because connections to them fail: %d", n))
	}
	for _, p := range s.Ports {
		if p.Retained {
			out = append(out, "backends of a cluster that is not synced are kept")
			break
		}
	}
	return strings.Join(out, "; ")
}

// ejected counts the backends that are left out, each once for a port.
func ejected(s agent.Service) int {
	type backend struct {
		port uint16
		at   netip.AddrPort
	}
	seen := map[backend]bool{}
	for _, p := range s.Ports {
		for _, e := range p.Ejected {
			seen[backend{p.Port, e.Address}] = !e.Observed
		}
	}
	n := 0
	for _, really := range seen {
		if really {
			n++
		}
	}
	return n
}

// percent writes a share with three digits, which tell all that matters apart.
func percent(share float64) string { return fmt.Sprintf("%.3g%%", share) }

// backendTable has a line for each backend of each port, and if it is wide for each
// other endpoint.
func backendTable(all []agent.Service, wide bool) table {
	t := table{header: []string{"SERVICE", "PORT", "SCOPE", "TIER", "CLUSTER", "BACKEND", "NODE", "ZONE", "SHARE", "STATE"}}
	for _, s := range all {
		for _, p := range s.Ports {
			port := strings.TrimPrefix(fmt.Sprintf("%s:%d/%s", p.Name, p.Port, p.Protocol), ":")
			if p.Guarded {
				t.add(s.Name, port, p.Scope, "", "", "", "", "", "", keptOut(p))
			}
			if len(p.Backends) == 0 {
				state := "no backends: refuses"
				switch {
				case p.Unserved != "":
					state = "not served: " + p.Unserved
				case p.Retained:
					state = "no backends: those found in the maps are kept"
				}
				t.add(s.Name, port, p.Scope, "", "", "", "", "", "", state)
			}
			for _, b := range p.Backends {
				state := "ready"
				if b.Ending {
					state = "ending"
				}
				t.add(s.Name, port, p.Scope, b.Tier, b.Cluster, b.Address.String(), b.Node, b.Zone, percent(b.Share), state)
			}
			for _, e := range p.Ejected {
				state := "ejected: " + e.Reason
				if e.Observed {
					state = "would be " + state
				}
				t.add(s.Name, port, p.Scope, "", e.Cluster, e.Address.String(), e.Node, e.Zone, "", state)
			}
			if wide {
				for _, o := range p.Unused {
					t.add(s.Name, port, p.Scope, "", o.Cluster, endpointAddress(&o), o.Node, o.Zone, "", "not used: "+o.Reason)
				}
				continue
			}
			for _, g := range groupsOf(p.Unused) {
				t.add(s.Name, port, p.Scope, "", g.cluster, fmt.Sprintf("%d endpoints", g.count), "", "", "", "not used: "+g.reason)
			}
		}
		if len(s.Ports) == 0 {
			t.add(s.Name, "", "", "", "", "", "", "", "", s.Reason)
		}
	}
	return t
}
