package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/inspect"
	"tombolo.io/tombolo/etcd"
)

// checkPage is where the roles with a client of the store answer a check.
const checkPage = "/check"

// patience of a check: agents take some 10 s where much is silent.
const (
	checkPatience    = 20 * time.Second
	minCheckPatience = time.Second
	maxCheckPatience = 10 * time.Minute
)

func newCheck() *cobra.Command {
	var f meshFlags
	var o output
	timeout := checkPatience
	c := &cobra.Command{
		Use:   "check",
		Short: "Checks the paths from every node of this cluster to the mesh's nodes, and says how to mend what is wrong",
		Long: `Asks the agents of all nodes of this cluster to check their paths to the nodes of
the mesh: are node and pod addresses routed both ways, is the port of probes open,
do addresses arrive as they were sent, which packets pass, do the clocks agree;
and whether kernel and mounts of their own node fit. What is wrong is said with
how to mend it, and the exit status is 1 then. Notes are no reason for that.

ANSWER, PODS and BACK count the nodes of the cluster that answered at their address,
at their pods' prefix, and to an address of this node's pods. SOURCE is kept when
no NAT rewrote an address. MTU is the longest packet that passes to all of them,
RTT the longest way there and back, CLOCK how far clocks are apart at most.`,
		Example: `  tombolo check
  tombolo check -o json | jq '.findings[]'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if timeout < minCheckPatience || timeout > maxCheckPatience {
				return fmt.Errorf("--timeout %v: want %v to %v", timeout, minCheckPatience, maxCheckPatience)
			}
			f.patience = timeout + 2*askStore
			var all *inspect.Check
			query := url.Values{"timeout": {timeout.String()}}
			err := f.ask(c.Context(), checkPage+"?"+query.Encode(), &all, func(ctx context.Context, client *etcd.Client) (err error) {
				all, err = inspect.RunCheck(ctx, client, timeout)
				return err
			})
			if err != nil {
				return err
			}
			if err := printCheck(c.OutOrStdout(), o, all); err != nil {
				return err
			}
			return sound(all)
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", timeout, "how long to wait for the agents")
	o.add(c)
	f.add(c.Flags())
	return c
}

// sound is the error that gives the command its exit status.
func sound(all *inspect.Check) error {
	if !all.Wrong() {
		return nil
	}
	var codes []string
	for _, f := range all.Findings {
		if f.Level == clustermesh.FindingWrong && !slices.Contains(codes, f.Code) {
			codes = append(codes, f.Code)
		}
	}
	return errors.New("not in order: " + strings.Join(codes, ", "))
}

// printCheck shows what was measured, and below it what is wrong.
func printCheck(w io.Writer, o output, all *inspect.Check) error {
	if o.format != "table" {
		return o.print(w, all, nil)
	}
	if err := pathTable(all).print(w); err != nil {
		return err
	}
	if len(all.Findings) == 0 {
		fmt.Fprintf(w, "\nNothing is wrong with the paths of %d nodes.\n", len(all.Nodes))
	}
	for _, f := range all.Findings {
		fmt.Fprintf(w, "\n%s: %s\n", f.Level, f.Code)
		for _, line := range []struct{ name, text string }{
			{"from", several(f.From)}, {"to", several(f.To)}, {"over", several(f.Families)}, {"what", f.Problem}, {"mend", f.Mend},
		} {
			if line.text != "" {
				fmt.Fprintf(w, "  %-5s %s\n", line.name, line.text)
			}
		}
	}
	return nil
}

func pathTable(all *inspect.Check) table {
	t := table{header: []string{"NODE", "CLUSTER", "FAMILY", "NODES", "ANSWER", "PODS", "BACK", "SOURCE", "MTU", "RTT", "CLOCK", "WRONG"}}
	for _, n := range all.Nodes {
		if len(n.Paths) == 0 {
			t.add(n.Node, "", "", "", "", "", "", "", "", "", "", codesOf(all, n.Node, "", ""))
		}
		for _, p := range n.Paths {
			of := func(k int) string { return fmt.Sprintf("%d/%d", k, p.Checked) }
			source := "kept"
			if seen := max(p.Address, p.Pods, p.Back); p.Kept < seen {
				source = fmt.Sprintf("kept %d/%d", p.Kept, seen)
			} else if seen == 0 {
				source = ""
			}
			rtt, clock := "", ""
			if p.RTT > 0 {
				rtt, clock = p.RTT.Round(10*time.Microsecond).String(), p.Clock.Round(10*time.Microsecond).String()
			}
			t.add(n.Node, p.Cluster, p.Family, fmt.Sprint(p.Nodes), of(p.Address), of(p.Pods), of(p.Back), source,
				number(uint32(p.MTU)), rtt, clock, codesOf(all, n.Node, p.Cluster, p.Family))
		}
	}
	return t
}

// codesOf returns what is wrong with the paths from a node to a cluster.
func codesOf(all *inspect.Check, node, cluster, family string) string {
	var codes []string
	for _, f := range all.Findings {
		there := len(f.To) == 0 && cluster == "" || slices.ContainsFunc(f.To, func(to string) bool {
			return to == cluster || strings.HasPrefix(to, cluster+"/")
		})
		in := len(f.Families) == 0 || slices.Contains(f.Families, family)
		if f.Level == clustermesh.FindingWrong && there && in && slices.Contains(f.From, node) && !slices.Contains(codes, f.Code) {
			codes = append(codes, f.Code)
		}
	}
	return strings.Join(codes, ",")
}

// several lists the first names of many.
func several(names []string) string {
	const most = 8
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
