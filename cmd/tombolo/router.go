package main

import (
	"log/slog"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/deploy/lab/router"
	"tombolo.io/tombolo/deploy/lab/router/builtin"
)

// newRouter is the built-in router of a lab.
func newRouter() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:    "router",
		Short:  "Speaks BGP with nodes and other routers, and puts the routes into the kernel",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			config, err := router.Load(file)
			if err != nil {
				return err
			}
			return builtin.Run(c.Context(), config, slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil)))
		},
	}
	c.Flags().StringVar(&file, "config", "", "the router's configuration, as JSON")
	c.MarkFlagRequired("config")
	return c
}
