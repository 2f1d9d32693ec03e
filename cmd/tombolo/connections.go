package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/deploy/lab/echo"
)

// newConnections is the client that measures how long a failure lasts.
func newConnections() *cobra.Command {
	var target string
	var load echo.Open
	c := &cobra.Command{
		Use:   "connections",
		Short: "Opens connections at a rate and holds others, and prints what became of each as a line of JSON",
		Long: `Opens connections at a rate and holds others, and prints what became of each as a
line of JSON when it has ended. It goes on until a signal. New connections begin
at their rate whatever became of those before; a long one that breaks is replaced.`,
		Hidden:  true,
		Args:    cobra.NoArgs,
		Example: "  tombolo lab exec east-1-a -- tombolo connections --target 10.96.0.80:80 --rate 500 --hold 100",
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if load.Target, err = netip.ParseAddrPort(target); err != nil {
				return fmt.Errorf("reading --target: %w", err)
			}
			out := json.NewEncoder(c.OutOrStdout())
			var failed error
			load.Run(c.Context(), func(one echo.Connection) {
				if failed == nil {
					failed = out.Encode(one)
				}
			})
			return failed
		},
	}
	flags := c.Flags()
	flags.StringVar(&target, "target", "", "address and port to connect to")
	flags.IntVar(&load.Rate, "rate", 500, "new connections a second")
	flags.IntVar(&load.Hold, "hold", 100, "long connections held at any time")
	flags.DurationVar(&load.Beat, "beat", 100*time.Millisecond, "from a long connection's request to its next")
	flags.DurationVar(&load.Timeout, "timeout", 2*time.Second, "of a new connection, to the whole answer")
	c.MarkFlagRequired("target")
	return c
}
