package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// wrapped makes cobra's template of --help one in which flags are no wider than
// 100 columns; cobra leaves that to whoever uses it.
var wrapped = strings.NewReplacer(
	".LocalFlags.FlagUsages ", "(.LocalFlags.FlagUsagesWrapped 100) ",
	".InheritedFlags.FlagUsages ", "(.InheritedFlags.FlagUsagesWrapped 100) ",
)

// newRoot returns the whole tree of commands.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "tombolo",
		Short: "Connects clusters: global services, failover, routes",
		Long: `Connects clusters: global services, failover, routes.

A cluster has an API server, which writes its objects to an etcd and mirrors those
of other clusters; on each node an agent, which leads connections to backends of all
clusters and away from dead ones; and, where routers are told, a speaker. All of them
are this program: tombolo apiserver, tombolo agent, tombolo speaker.

The other commands show what those know. Begin with tombolo status (is all in order
here?), tombolo check (do packets get through?) and tombolo services. tombolo lab
brings whole clusters up on this machine, to try all of it.

Every flag may also be set in the environment: --run-dir by TOMBOLO_RUN_DIR.`,
		Example: `  tombolo lab demo
  tombolo status
  tombolo services why shop/cart`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true, // main prints them, once

		PersistentPreRunE: environment,
	}
	root.AddCommand(
		newAPIServer(),
		newAgent(),
		newSpeaker(),
		newStatus(),
		newCheck(),
		newServices(), newConntrack(), newTrace(),
		newEvents(),
		newVerdict(),
		newGossip(), newPods(),
		newDrain(),
		newUndrain(),
		newDrains(),
		newClusters(),
		newObjects(),
		newIdentities(),
		newIPAM(),
		newBGP(),
		newLab(),
		newResponder(),
		newRouter(),
		newKubelet(),
		newKubeEtcd(),
		newLabEtcd(),
		newStore(),
		newRequests(),
		newConnections(),
	)
	root.InitDefaultCompletionCmd() // so that what follows knows it too
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	root.SetUsageTemplate(wrapped.Replace(root.UsageTemplate()))
	explainArgs(root)
	environmentCompletes(root)
	completeFlags(root)
	return root
}
