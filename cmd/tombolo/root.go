package main

import "github.com/spf13/cobra"

// newRoot returns the whole tree of commands.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "tombolo",
		Short:         "Connects clusters: global services, failover, routes",
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
		newServices(),
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
		newStore(),
		newRequests(),
		newConnections(),
	)
	root.InitDefaultCompletionCmd() // so that what follows knows it too
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	explainArgs(root)
	environmentCompletes(root)
	completeFlags(root)
	return root
}
