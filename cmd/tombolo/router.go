package main

import (
	"log/slog"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/deploy/lab/router"
	"tombolo.io/tombolo/deploy/lab/router/builtin"
)

// newRouter is the built-in router of a lab.
func newRouter() *cobra.Command {
	return &cobra.Command{
		Use:    "router FILE",
		Short:  "Speaks BGP with nodes and other routers, and puts the routes into the kernel",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			config, err := router.Load(args[0])
			if err != nil {
				return err
			}
			return builtin.Run(c.Context(), config, slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil)))
		},
	}
}
