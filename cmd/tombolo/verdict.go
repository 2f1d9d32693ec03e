package main

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/agent"
	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/internal/control"
)

func newVerdict() *cobra.Command {
	var runDir string
	var o output
	c := &cobra.Command{
		Use:   "verdict",
		Short: "Shows what this node thinks of the clusters and nodes of the mesh; set and clear override it",
		Long: `Shows what this node thinks of the clusters and nodes of the mesh: up, suspect,
down, draining, or unmonitored (it never answered a probe, so that its death would
not be noticed), why, and for how long.

set and clear override it on this node alone; an override survives the agent's
restart. To move connections away from something in every cluster, use tombolo
drain.`,
		Example: `  tombolo verdict
  tombolo verdict set node west-2 down
  tombolo verdict set cluster west up
  tombolo verdict clear node west-2`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var s health.Snapshot
			if err := control.NewClient(runDir, agent.Role).Get(c.Context(), "/verdicts", &s); err != nil {
				return err
			}
			if err := o.print(c.OutOrStdout(), s, func(bool) table { return verdictTable(&s, time.Now()) }); err != nil || o.format != "table" {
				return err
			}
			_, err := fmt.Fprint(c.OutOrStdout(), expectation(&s))
			return err
		},
	}
	o.add(c)
	runDirFlag(c.PersistentFlags(), &runDir)
	c.AddCommand(&cobra.Command{
		Use:   "set {cluster | node} NAME {up | down}",
		Short: "Sets a verdict by hand, on this node",
		Long: `Sets a verdict by hand, on this node alone: connections leave what is down, and use
what is up whether it answers probes or not, until tombolo verdict clear. A node of
which two clusters have one of that name is named CLUSTER/NODE.`,
		Example: `  tombolo verdict set node west-2 down
  tombolo verdict set node west/n1 down
  tombolo verdict set cluster west up`,
		Args: verdictArgs(3),
		ValidArgsFunction: func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 2 {
				return verdictStates, cobra.ShellCompDirectiveNoFileComp
			}
			return completeVerdict(c, runDir, args, false)
		},
		RunE: func(c *cobra.Command, args []string) error {
			return setVerdict(c, runDir, args[0], args[1], args[2])
		},
	}, &cobra.Command{
		Use:   "clear {cluster | node} NAME",
		Short: "Takes back what was set by hand",
		Long: `Takes back what was set by hand on this node: from then on its agent judges by
itself again.`,
		Example: "  tombolo verdict clear node west-2",
		Args:    verdictArgs(2),
		ValidArgsFunction: func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return completeVerdict(c, runDir, args, true)
		},
		RunE: func(c *cobra.Command, args []string) error {
			return setVerdict(c, runDir, args[0], args[1], "")
		},
	})
	return c
}

func setVerdict(c *cobra.Command, runDir, kind, name, state string) error {
	query := url.Values{"kind": {kind}, "name": {name}, "state": {state}}
	return control.NewClient(runDir, agent.Role).Post(c.Context(), "/verdicts?"+query.Encode(), &struct{}{})
}

// What verdict set takes, beside a name.
var (
	verdictKinds  = []string{"cluster", "node"}
	verdictStates = []string{"up", "down"}
)

// completeVerdict completes a kind and a name, byHand only of what was set by hand.
func completeVerdict(c *cobra.Command, runDir string, args []string, byHand bool) ([]string, cobra.ShellCompDirective) {
	var out []string
	switch len(args) {
	case 0:
		out = verdictKinds
	case 1:
		var s health.Snapshot
		if err := control.NewClient(runDir, agent.Role).Get(c.Context(), "/verdicts", &s); err == nil {
			out = judged(&s, args[0], byHand)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// judged names the clusters, or the nodes, of which there is a verdict; a node with
// its cluster where another one has a node of that name.
func judged(s *health.Snapshot, kind string, byHand bool) []string {
	of := map[string]int{}
	for _, v := range s.Verdicts {
		of[v.Node]++
	}
	var out []string
	for _, v := range s.Verdicts {
		switch {
		case byHand && !v.Override:
		case kind == "cluster" && v.Node == "":
			out = append(out, v.Cluster)
		case kind == "node" && v.Node != "" && of[v.Node] > 1:
			out = append(out, v.Cluster+"/"+v.Node)
		case kind == "node" && v.Node != "":
			out = append(out, v.Node)
		}
	}
	return out
}

// verdictArgs wants a kind, a name, and perhaps a state.
func verdictArgs(n int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) != n && n == 3:
			return fmt.Errorf("want cluster or node, a name, and up or down")
		case len(args) != n:
			return fmt.Errorf("want cluster or node, and a name")
		case !slices.Contains(verdictKinds, args[0]):
			return fmt.Errorf("%q can have no verdict: want cluster or node", args[0])
		case n == 3 && !slices.Contains(verdictStates, args[2]):
			return fmt.Errorf("a verdict by hand is up or down, not %q", args[2])
		}
		return nil
	}
}

// expectation says how soon who dies is found dead from here; nothing while nobody is
// watched.
func expectation(s *health.Snapshot) string {
	if s.Watched == 0 {
		return ""
	}
	asked := s.Interval.Round(time.Millisecond).String()
	if s.Interval > s.Wanted {
		asked += fmt.Sprintf(", and not every %v, which --probe-budget does not allow", s.Wanted)
	}
	return fmt.Sprintf("\nA node that dies is found dead within %v: %d are watched from here, each asked every %s.\n",
		s.Expected.Round(10*time.Millisecond), s.Watched, asked)
}

func verdictTable(s *health.Snapshot, now time.Time) table {
	t := table{header: []string{"CLUSTER", "NODE", "STATE", "FOR", "RTT", "WATCHED", "REASON"}}
	for _, v := range s.Verdicts {
		rtt, watched := "", ""
		if v.RTT > 0 {
			rtt = v.RTT.Round(time.Microsecond).String()
		}
		if v.Watched {
			watched = "yes"
		}
		reason := v.Reason
		if s.Mode == health.Observe && v.State == "down" {
			reason = strings.TrimSuffix("only observed; "+reason, "; ")
		}
		t.add(v.Cluster, v.Node, string(v.State), age(now.Sub(v.Since)), rtt, watched, reason)
	}
	return t
}
