package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/agent"
	"tombolo.io/tombolo/bgp"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/apiserver"
	"tombolo.io/tombolo/clustermesh/inspect"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/internal/control"
)

// roleStatus is a role of this node: what it answers, or why it does not.
type roleStatus struct {
	Role string `json:"role"`
	*control.Report
	Error string `json:"error,omitempty"`
	// state is what stands in the place of a health when there is no report.
	state string
}

// askRole is how long a role may take to show its status, which it has at hand.
const askRole = 3 * time.Second

func newStatus() *cobra.Command {
	var f meshFlags
	var o output
	var everywhere bool
	var latency string
	c := &cobra.Command{
		Use:   "status [ROLE]",
		Short: "Shows the roles of this node, and what is wrong with them; exit status 1 when something is",
		Long: `Shows the roles of this node, as they answer on their sockets, and what is wrong
with them. With --all it shows those of every node of the cluster, as they last
reported to its etcd. The exit status is 1 when something is not in order.

With --latency it shows how long probes take from each node of this cluster to those
of every cluster: the median of those that the node probes, and the worst; to each
node with --latency=nodes. A node probes some often and the others every 30 s.`,
		Example: `  tombolo status
  tombolo status agent -o yaml
  tombolo status --all
  tombolo status --latency`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			roles, err := control.Roles(f.runDir)
			if err != nil || len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return roles, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			if err := knownRoles(args); err != nil {
				return err
			}
			if latency != "" {
				return showLatency(c, f.runDir, latency, o)
			}
			if everywhere {
				return f.processes(c, o, args)
			}
			roles := args
			if len(roles) == 0 {
				var err error
				if roles, err = control.Roles(f.runDir); err != nil {
					return err
				}
			}
			all := askAll(c, f.runDir, roles)
			if err := o.print(c.OutOrStdout(), all, func(bool) table { return statusTable(all, time.Now()) }); err != nil {
				return err
			}
			if o.format == "table" {
				printReasons(c.OutOrStdout(), all)
			}
			return troubled(f.runDir, all)
		},
	}
	c.Flags().BoolVarP(&everywhere, "all", "A", false, "those of all nodes of the cluster")
	c.Flags().StringVar(&latency, "latency", "", "how far the nodes of this cluster are from clusters, or from nodes")
	c.Flags().Lookup("latency").NoOptDefVal = byCluster
	c.MarkFlagsMutuallyExclusive("all", "latency")
	o.add(c)
	f.add(c.Flags())
	return c
}

// knownRoles refuses what is no role: asked for one, status would say that it
// does not run.
func knownRoles(args []string) error {
	known := []string{agent.Role, apiserver.Role, bgp.Role}
	for _, role := range args {
		if !slices.Contains(known, role) {
			return fmt.Errorf("there is no role %q; roles are %s", role, strings.Join(known, ", "))
		}
	}
	return nil
}

// processes shows what the roles of all nodes reported.
func (f *meshFlags) processes(c *cobra.Command, o output, roles []string) error {
	var all []inspect.Process
	err := f.ask(c.Context(), "/processes", &all, func(ctx context.Context, client *etcd.Client) (err error) {
		all, err = inspect.Processes(ctx, client)
		return err
	})
	if err != nil {
		return err
	}
	if len(roles) > 0 {
		all = slices.DeleteFunc(all, func(p inspect.Process) bool { return !slices.Contains(roles, p.Role) })
	}
	if err := o.print(c.OutOrStdout(), all, func(bool) table { return processTable(all, time.Now()) }); err != nil {
		return err
	}
	var names []string
	for _, p := range all {
		if p.Health != clustermesh.HealthOK {
			names = append(names, p.Role+" of "+p.Node)
		}
	}
	return notInOrder(names)
}

func processTable(all []inspect.Process, now time.Time) table {
	t := table{header: []string{"ROLE", "NODE", "UP", "HEALTH", "VERSION", "REASON"}}
	for _, p := range all {
		up := ""
		if !p.Started.IsZero() {
			up = age(now.Sub(p.Started))
		}
		t.add(p.Role, p.Node, up, string(p.Health), p.Version, strings.Join(p.Reasons, "; "))
	}
	return t
}

func askAll(c *cobra.Command, runDir string, roles []string) []roleStatus {
	var out []roleStatus
	for _, role := range roles {
		s := roleStatus{Role: role, Report: &control.Report{}}
		client := control.NewClient(runDir, role)
		client.Patience = askRole
		if err := client.Get(c.Context(), "/status", s.Report); err != nil {
			s.Report, s.Error, s.state = nil, err.Error(), "Silent"
			if errors.Is(err, control.ErrNotRunning) {
				s.state = "Dead"
			}
		}
		out = append(out, s)
	}
	return out
}

func statusTable(all []roleStatus, now time.Time) table {
	t := table{header: []string{"ROLE", "NODE", "PID", "UP", "HEALTH", "READY", "VERSION"}}
	for _, s := range all {
		if s.Report == nil {
			t.add(s.Role, "", "", "", s.state, "no", "")
			continue
		}
		ready := "yes"
		if s.NotReady != "" {
			ready = "no"
		}
		t.add(s.Role, s.Node, fmt.Sprint(s.PID), age(now.Sub(s.Started)), string(s.Health), ready, s.Version)
	}
	return t
}

// printReasons writes what is wrong, a line each.
func printReasons(w io.Writer, all []roleStatus) {
	for _, s := range all {
		for _, r := range reasonsOf(s) {
			fmt.Fprintf(w, "%s: %s\n", s.Role, r)
		}
	}
}

func reasonsOf(s roleStatus) []string {
	if s.Report == nil {
		return []string{s.Error}
	}
	out := s.Reasons
	if s.NotReady != "" {
		out = append([]string{"not ready: " + s.NotReady}, out...)
	}
	return out
}

// troubled is the error that gives the command its exit status.
func troubled(runDir string, all []roleStatus) error {
	if len(all) == 0 {
		return fmt.Errorf("no role runs in %s; give the --run-dir of one", runDir)
	}
	var names []string
	for _, s := range all {
		if s.Report == nil || s.NotReady != "" || s.Health != clustermesh.HealthOK {
			names = append(names, s.Role)
		}
	}
	return notInOrder(names)
}

func notInOrder(names []string) error {
	if len(names) == 0 {
		return nil
	}
	return errors.New("not in order: " + strings.Join(names, ", "))
}

// age is a duration as people say it, in its two largest units.
func age(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}
