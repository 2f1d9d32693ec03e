package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/agent"
	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/internal/control"
)

// followEvery is how often an agent is asked for new events.
const followEvery = 300 * time.Millisecond

func newEvents() *cobra.Command {
	var runDir string
	var o output
	var follow bool
	c := &cobra.Command{
		Use:   "events",
		Short: "Shows what this node noticed of the death and return of others, with the evidence",
		Long: `Shows what this node's agent noticed of the death and return of nodes and
clusters: when, why, and who saw what; and which backends it left out because
connections to them fail (annotation tombolo.io/outlier-detection). The agent
remembers the last 1,000 since it started. With --follow it shows what comes; as
JSON, an event a line.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if follow && o.format == "yaml" {
				return fmt.Errorf("--follow goes with -o table or json")
			}
			client := control.NewClient(runDir, agent.Role)
			if follow {
				return followEvents(c.Context(), c.OutOrStdout(), client, o)
			}
			var all []health.Event
			if err := client.Get(c.Context(), "/events", &all); err != nil {
				return err
			}
			return o.print(c.OutOrStdout(), all, func(bool) table { return eventTable(all) })
		},
	}
	o.add(c)
	c.Flags().BoolVarP(&follow, "follow", "f", false, "show new ones as they come, until interrupted")
	runDirFlag(c.Flags(), &runDir)
	return c
}

// followEvents prints events until ctx ends.
func followEvents(ctx context.Context, w io.Writer, client *control.Client, o output) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for after := uint64(0); ; {
		var all []health.Event
		query := url.Values{"after": {fmt.Sprint(after)}}
		if err := client.Get(ctx, "/events?"+query.Encode(), &all); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		for _, e := range all {
			after = e.Seq
			if o.format == "json" {
				if err := json.NewEncoder(w).Encode(e); err != nil {
					return err
				}
				continue
			}
			fmt.Fprintln(w, strings.Join(eventRow(e), "  "))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func eventTable(all []health.Event) table {
	t := table{header: []string{"TIME", "WHAT", "FROM", "TO", "REASON"}}
	for _, e := range all {
		t.add(eventRow(e)...)
	}
	return t
}

func eventRow(e health.Event) []string {
	reason := e.Reason
	if e.Observed {
		reason = strings.TrimSuffix("only observed; "+reason, "; ")
	}
	if len(e.Evidence) > 0 {
		reason += " [" + strings.Join(e.Evidence, "; ") + "]"
	}
	return []string{e.Time.Local().Format("2006-01-02 15:04:05.000"), e.What, e.From, e.To, reason}
}
