package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/deploy/lab"
	"tombolo.io/tombolo/deploy/lab/demo"
	"tombolo.io/tombolo/deploy/lab/plan"
)

func newLabDemo(f *labFlags) *cobra.Command {
	size := plan.Config{Clusters: 2} // one of the client, one that takes over
	var keep bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Brings a lab up, plays failover and restarts under load, measures, and removes the lab",
		Long: "Brings a lab up and plays what Tombolo promises, each step measured by a real client in a\n" +
			"pod or by the kernels of the routers. Exit status 0 only if every step held. The lab is\n" +
			"named demo unless --name says otherwise; one of that name is removed first.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			binary, err := os.Executable()
			if err != nil {
				return fmt.Errorf("finding this program: %w", err)
			}
			if size.Lab = f.name; !c.Flags().Changed("name") {
				size.Lab = "demo"
			}
			if err := programs(&size, binary); err != nil {
				return err
			}
			l, err := lab.New(f.base(), binary, size)
			if err != nil {
				return err
			}
			if err := lab.Down(c.Context(), f.base(), size.Lab); err != nil && !errors.Is(err, lab.ErrNoLab) {
				return err
			}
			config := demo.Config{Lab: l, Out: c.OutOrStdout()}
			if !keep {
				config.Down = func(ctx context.Context) error { return lab.Down(ctx, f.base(), size.Lab) }
			}
			return demo.Run(c.Context(), config)
		},
	}
	sizeFlags(c, &size)
	kubernetesFlag(c, &size)
	c.Flags().BoolVar(&keep, "keep", false, "leave the lab as it is at the end")
	return c
}
