package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/agent"
	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/internal/control"
)

// The columns of a map of latencies.
const (
	byCluster = "clusters"
	byNode    = "nodes"
)

// showLatency shows the map that this node's agent makes with the others.
func showLatency(c *cobra.Command, runDir, by string, o output) error {
	if by != byCluster && by != byNode {
		return fmt.Errorf("--latency=%s: want %s or %s", by, byCluster, byNode)
	}
	var l health.Latency
	if err := control.NewClient(runDir, agent.Role).Get(c.Context(), "/latency", &l); err != nil {
		return err
	}
	if err := o.print(c.OutOrStdout(), l, func(bool) table { return latencyTable(&l, by) }); err != nil {
		return err
	}
	if o.format == "table" {
		printMissing(c.OutOrStdout(), &l)
	}
	return nil
}

func printMissing(w io.Writer, l *health.Latency) {
	if len(l.Missing) > 0 {
		fmt.Fprintln(w, "no answer from the agents of", strings.Join(l.Missing, ", "))
	}
}

// latencyTable has a row for each node of this cluster, and a column for each
// cluster, with the median of its nodes and the worst, or for each node.
func latencyTable(l *health.Latency, by string) table {
	column := func(d health.Distance) string {
		if by == byNode {
			return d.Cluster + "/" + d.Node
		}
		return d.Cluster
	}
	columns := map[string]struct{}{}
	for _, from := range l.From {
		for _, d := range from.To {
			columns[column(d)] = struct{}{}
		}
	}
	names := slices.Sorted(maps.Keys(columns))
	t := table{header: append([]string{"FROM"}, names...)}
	for _, from := range l.From {
		rtts := map[string][]time.Duration{}
		for _, d := range from.To {
			rtts[column(d)] = append(rtts[column(d)], d.RTT)
		}
		row := []string{from.Node}
		for _, name := range names {
			row = append(row, summary(rtts[name]))
		}
		t.add(row...)
	}
	return t
}

// summary is the median of round-trip times, and the worst if it is another.
func summary(all []time.Duration) string {
	if len(all) == 0 {
		return "-"
	}
	slices.Sort(all)
	median, worst := short(all[(len(all)-1)/2]), short(all[len(all)-1])
	if median == worst {
		return median
	}
	return fmt.Sprintf("%s (worst %s)", median, worst)
}

// short writes a round-trip time with as many digits as matter.
func short(d time.Duration) string {
	if d < time.Millisecond {
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(100 * time.Microsecond).String()
}
