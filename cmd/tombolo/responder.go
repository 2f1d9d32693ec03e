package main

import (
	"github.com/spf13/cobra"

	"tombolo.io/tombolo/deploy/lab/echo"
	"tombolo.io/tombolo/deploy/lab/plan"
)

// newResponder is what a pod of a lab runs.
func newResponder() *cobra.Command {
	var pod echo.Pod
	var port uint16
	c := &cobra.Command{
		Use:    "responder",
		Short:  "Answers over HTTP and UDP with who it is and whom it saw",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return echo.Serve(c.Context(), pod, port)
		},
	}
	c.Flags().StringVar(&pod.Cluster, "cluster", "", "the cluster it is in")
	c.Flags().StringVar(&pod.Node, "node", "", "the node it is on")
	c.Flags().StringVar(&pod.Pod, "pod", "", "its own name")
	c.Flags().Uint16Var(&port, "port", plan.Port, "where it listens")
	return c
}
