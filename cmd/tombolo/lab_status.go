package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/deploy/lab"
	"tombolo.io/tombolo/deploy/lab/objects"
	"tombolo.io/tombolo/deploy/lab/plan"
)

func newLabStatus(f *labFlags) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "status",
		Short: "Shows machines, addresses and processes; exit status 1 when a process is dead",
		Long: `Shows machines, addresses and processes with their process ids; exit status 1 when a
process is dead. With -o json also where each has its socket, its bpffs, its cgroup and
its log.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := f.load()
			if err != nil {
				return err
			}
			s, err := l.Status()
			if err != nil {
				return err
			}
			switch output {
			case "table":
				err = printStatus(c.OutOrStdout(), s)
			case "json":
				e := json.NewEncoder(c.OutOrStdout())
				e.SetIndent("", "  ")
				err = e.Encode(s)
			default:
				err = fmt.Errorf("output %q: want table or json", output)
			}
			if dead := s.Dead(); err == nil && len(dead) > 0 {
				err = fmt.Errorf("not running: %s", strings.Join(dead, ", "))
			}
			return err
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return c
}

func printStatus(w io.Writer, s lab.Status) error {
	fmt.Fprintf(w, "lab %s, routers %s, state in %s\n\n", s.Lab.Lab, s.Lab.Router, s.Lab.Dir)
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "CLUSTER\tID\tAS\tNODES\tPODS\tSERVICES\tLOADBALANCER\tDEMO/ECHO")
	for _, c := range s.Lab.Clusters {
		fmt.Fprintf(t, "%s\t%d\t%d\t%s\t%s\t%s\t%s\t%s\n", c.Name, c.ID, c.ASN, both(c.NodeCIDR), both(c.PodCIDR),
			both(c.ServiceCIDR), both(c.LoadBalancerCIDR), addrs(objects.EchoAddresses(c)))
	}
	fmt.Fprintln(t)
	t.Flush() // the second table has its own columns
	fmt.Fprintln(t, "MACHINE\tKIND\tADDRESSES\tPROCESSES")
	for _, m := range s.Machines {
		var all []string
		for _, a := range m.Addresses {
			all = append(all, addrs(a))
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", m.Name, m.Kind, strings.Join(all, " "), processes(m))
	}
	return t.Flush()
}

func processes(m lab.MachineStatus) string {
	var out []string
	for _, p := range m.Processes {
		if p.Alive {
			out = append(out, fmt.Sprintf("%s %d", p.Role, p.PID))
			continue
		}
		out = append(out, string(p.Role)+" dead")
	}
	if len(out) == 0 {
		return "-"
	}
	return strings.Join(out, ", ")
}

func both(n plan.Nets) string   { return n.IPv4.String() + " " + n.IPv6.String() }
func addrs(a plan.Addrs) string { return a.IPv4.String() + " " + a.IPv6.String() }
