package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/agent"
	"tombolo.io/tombolo/internal/control"
)

func newPods() *cobra.Command {
	var runDir string
	var o output
	c := &cobra.Command{
		Use:   "pods",
		Short: "Shows which pods run on this node, as its agent knows from the node itself",
		Long: `Shows which pods run on this node, as its agent knows from the node itself: from
the container runtime or from a directory, and not from Kubernetes (flag --pods of
tombolo agent). Agents of other clusters ask for it while their mirror of this
cluster is stale.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var all agent.PodList
			if err := control.NewClient(runDir, agent.Role).Get(c.Context(), "/pods", &all); err != nil {
				return err
			}
			if err := o.print(c.OutOrStdout(), all, func(bool) table { return podsTable(&all) }); err != nil || o.format != "table" {
				return err
			}
			if all.From != "" {
				fmt.Fprintf(c.OutOrStdout(), "\nfrom: %s\n", all.From)
			}
			for _, p := range all.Problems {
				fmt.Fprintln(c.OutOrStdout(), "problem:", p)
			}
			return nil
		},
	}
	o.add(c)
	runDirFlag(c.Flags(), &runDir)
	return c
}

func podsTable(all *agent.PodList) table {
	t := table{header: []string{"POD", "UID", "ADDRESSES", "CGROUP"}}
	for _, p := range all.Pods {
		addresses := joined(p.Addresses)
		if p.HostNetwork {
			addresses = "the node's"
		}
		t.add(p.Name, p.UID, addresses, p.Cgroup)
	}
	return t
}
