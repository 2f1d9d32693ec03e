package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/deploy/lab/echo"
)

// newRequests is the client that measures: it runs in a pod of a lab.
func newRequests() *cobra.Command {
	var target, mode string
	var each bool
	load := echo.Load{AtOnce: true}
	c := &cobra.Command{
		Use:     "requests",
		Short:   "Asks responders again and again, and reports who answered as JSON",
		Hidden:  true,
		Args:    cobra.NoArgs,
		Example: "  tombolo lab exec east-1-a -- tombolo requests --target 10.96.0.80:80 --count 1000",
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if load.Target, err = netip.ParseAddrPort(target); err != nil {
				return fmt.Errorf("reading --target: %w", err)
			}
			load.Mode = echo.Mode(mode)
			if each {
				return stream(c, load)
			}
			var all []echo.Sample
			if err := load.Run(c.Context(), func(s echo.Sample) { all = append(all, s) }); err != nil {
				return err
			}
			report := echo.Summarize(all)
			if err := writeReport(c.OutOrStdout(), report); err != nil {
				return err
			}
			return answered(target, report)
		},
	}
	flags := c.Flags()
	flags.StringVar(&target, "target", "", "address and port to ask")
	flags.StringVar(&mode, "mode", string(echo.HTTP), "http, udp, udp-unconnected, or http-mapped and udp-mapped: IPv4 through sockets of AF_INET6")
	flags.IntVar(&load.Count, "count", 0, "end after so many requests; 0 goes on until a signal")
	flags.DurationVar(&load.Interval, "interval", 0, "from the start of a request to the next of the same worker")
	flags.IntVar(&load.Parallel, "parallel", 1, "number of workers")
	flags.DurationVar(&load.Timeout, "timeout", 5*time.Second, "of one request, to the whole answer; a connection of which the first packet is lost has failed before")
	flags.BoolVar(&each, "each", false, "print a line of JSON a request instead of the report")
	c.MarkFlagRequired("target")
	return c
}

// stream prints each sample at once; the first one that cannot be printed is
// the error.
func stream(c *cobra.Command, load echo.Load) error {
	out := json.NewEncoder(c.OutOrStdout())
	var failed error
	err := load.Run(c.Context(), func(s echo.Sample) {
		if failed == nil {
			failed = out.Encode(s)
		}
	})
	return errors.Join(err, failed)
}

// answered says that nobody answered, if nobody did: a script that looks at the
// exit status alone should not go on then.
func answered(target string, r echo.Report) error {
	if r.Requests == 0 || r.Failed < r.Requests {
		return nil
	}
	return fmt.Errorf("none of %d requests to %s was answered", r.Requests, target)
}

func writeReport(w io.Writer, r echo.Report) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
