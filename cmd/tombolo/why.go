package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/agent"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
	"tombolo.io/tombolo/internal/control"
)

func newServicesWhy(runDir *string, complete cobra.CompletionFunc) *cobra.Command {
	var o output
	c := &cobra.Command{
		Use:   "why NAMESPACE/NAME",
		Short: "Tells step by step which endpoints a service uses here, and why not the others",
		Long: `Tells step by step which endpoints a service uses on this node, with what share
of the new connections, and why the others are not used.

The endpoints that any cluster names pass steps; those that take somebody out are
shown, in their order. HEALTH is the load that a tier of clusters can bear: the
part of its endpoints that serve, times the over-provisioning factor. LOAD is what
it gets of the new connections, and BACKUP what it would get if all who have a
share were gone, until the tables are built anew.`,
		Args: cobra.ExactArgs(1),
		Example: "  tombolo services why shop/cart\n" +
			"  tombolo services why shop/cart -o json | jq '.ports[0].endpoints[] | select(.step != \"used\")'",
		ValidArgsFunction: complete,
		RunE: func(c *cobra.Command, args []string) error {
			if _, err := clustermesh.ParseReachable(args[0]); err != nil {
				return err
			}
			var e global.Explanation
			err := control.NewClient(*runDir, agent.Role).Get(c.Context(), "/services/why?name="+url.QueryEscape(args[0]), &e)
			if errors.Is(err, control.ErrNotFound) {
				return notBalanced(err)
			}
			if err != nil {
				return err
			}
			if o.format == "table" {
				return writeWhy(c.OutOrStdout(), &e)
			}
			return o.print(c.OutOrStdout(), e, nil)
		},
	}
	o.add(c)
	runDirFlag(c.Flags(), runDir)
	return c
}

// writeWhy tells people of an explanation.
func writeWhy(w io.Writer, e *global.Explanation) error {
	where := "cluster " + e.Cluster
	if e.Node != "" {
		where = "node " + e.Node + " of " + where
	}
	if e.Zone != "" {
		where += " in zone " + e.Zone
	}
	fmt.Fprintf(w, "%s, for clients on %s\n", e.Name, where)
	if e.Reason != "" {
		fmt.Fprintf(w, "It has no ports here: %s.\n", e.Reason)
		return nil
	}
	fmt.Fprintf(w, "affinity %v, traffic distribution %v, internal traffic policy %v, over-provisioning factor %g\n",
		e.Affinity, e.Distribution, e.InternalPolicy, e.Factor)
	for i := range e.Ports {
		p := &e.Ports[i]
		name := strings.TrimPrefix(fmt.Sprintf("%s:%d/%v", p.Name, p.Port, p.Protocol), ":")
		fmt.Fprintf(w, "\nPort %s at %s (%s)\n", name, strings.Join(p.Frontends, ", "), p.Scope)
		for _, t := range []table{stepTable(p), tierTable(p), outcomeTable(p)} {
			if len(t.rows) == 0 {
				continue
			}
			fmt.Fprintln(w)
			if err := t.print(w); err != nil {
				return err
			}
		}
		if !slices.ContainsFunc(p.Endpoints, func(o global.Outcome) bool { return o.Step == global.StepUsed }) {
			fmt.Fprintln(w, "\nNobody is left: the port refuses.")
		}
	}
	return nil
}

// steps are what people call those of a selection.
var steps = map[global.Step]string{
	global.StepCluster: "its cluster takes part",
	global.StepPort:    "it has the port",
	global.StepFamily:  "its family has an address",
	global.StepAddress: "its address is its own",
	global.StepNode:    "it is on this node",
	global.StepServing: "it serves",
	global.StepTier:    "its tier is needed",
	global.StepNear:    "it is among the nearest",
}

// stepTable tells how many endpoints are left after each step.
func stepTable(p *global.PortExplanation) table {
	t := table{header: []string{"STEP", "LEFT", "OUT"}}
	left := len(p.Endpoints)
	t.add("all that clusters name", fmt.Sprint(left), "")
	for _, step := range global.Steps {
		var reasons []string
		counts := map[string]int{}
		for _, o := range p.Endpoints {
			if o.Step != step || step == global.StepUsed {
				continue
			}
			left--
			why := o.Cluster + ": " + o.Reason
			if counts[why]++; counts[why] == 1 {
				reasons = append(reasons, why)
			}
		}
		if len(reasons) == 0 {
			continue // a step that takes nobody out tells nothing
		}
		for i, why := range reasons {
			reasons[i] = fmt.Sprintf("%d of %s", counts[why], why)
		}
		t.add(steps[step], fmt.Sprint(left), strings.Join(reasons, "; "))
	}
	return t
}

func tierTable(p *global.PortExplanation) table {
	t := table{header: []string{"TIER", "CLUSTERS", "PRIORITY", "SERVE", "HEALTH", "LOAD", "BACKUP"}}
	for i, tier := range p.Tiers {
		t.add(fmt.Sprint(i+1), joined(tier.Clusters), fmt.Sprint(tier.Priority), fmt.Sprintf("%d/%d", tier.Usable, tier.Endpoints),
			percent(tier.Health), percent(tier.Load), percent(tier.Backup))
	}
	return t
}

func outcomeTable(p *global.PortExplanation) table {
	t := table{header: []string{"CLUSTER", "ENDPOINT", "NODE", "ZONE", "TIER", "TABLE", "SHARE", "WHY"}}
	for i := range p.Endpoints {
		o := &p.Endpoints[i]
		address, tier, share := endpointAddress(o), number(uint32(o.Tier)), ""
		if o.Table != "" {
			share = percent(o.Share)
		}
		t.add(o.Cluster, address, o.Node, o.Zone, tier, o.Table, share, o.Reason)
	}
	return t
}

// endpointAddress returns the address of an endpoint, with the port if it has one.
func endpointAddress(o *global.Outcome) string {
	if o.Port == 0 {
		return o.Address.String()
	}
	return netip.AddrPortFrom(o.Address, o.Port).String()
}
