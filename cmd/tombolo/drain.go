package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/agent"
	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/apiserver"
	"tombolo.io/tombolo/clustermesh/inspect"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/internal/control"
)

// drainActions are what an API server does about drains, while it leads.
func drainActions(server *apiserver.APIServer, client *etcd.Client) map[string]control.Page {
	return map[string]control.Page{"/drains": func(r *http.Request) (any, error) {
		q := r.URL.Query()
		o := apiserver.DrainOrder{What: clustermesh.DrainKind(q.Get("what")), Name: q.Get("name"), Return: q.Has("over")}
		for name, d := range map[string]*time.Duration{"deadline": &o.Deadline, "over": &o.Over} {
			var err error
			if text := q.Get(name); text != "" {
				if *d, err = time.ParseDuration(text); err != nil {
					return nil, err
				}
			}
		}
		return struct{}{}, inTime(r, client, askStore, func(ctx context.Context) error { return server.Drain(ctx, o) })
	}}
}

// drainKinds are what can be drained, as the first argument.
var drainKinds = []string{string(clustermesh.DrainCluster), string(clustermesh.DrainNode), string(clustermesh.DrainService)}

// drainArgs wants a kind and a name.
func drainArgs(_ *cobra.Command, args []string) error {
	if len(args) != 2 || !slices.Contains(drainKinds, args[0]) {
		return fmt.Errorf("want cluster NAME, node NAME or service NAMESPACE/NAME")
	}
	return nil
}

func completeDrain(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return drainKinds, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

func newDrain() *cobra.Command {
	var runDir string
	var deadline time.Duration
	var dry, force bool
	var o output
	c := &cobra.Command{
		Use:   "drain {cluster NAME | node NAME | service NAMESPACE/NAME}",
		Short: "Moves new connections away from something of this cluster, in every cluster",
		Long: `Moves new connections away from something of this cluster, in every cluster:
from all of it, from one of its nodes, or from its endpoints of one service.
Connections that are there go on. A drained node, and all nodes of a drained
cluster, withdraw the LoadBalancer IPs that they advertise, after they have asked
their routers to prefer others.

It first looks at what that costs, and refuses when a service would have no
other backend or an address no other node; --dry-run only shows it. It runs on
the node of the API server that leads. A drain stays until tombolo undrain,
whatever restarts.`,
		Example: `  tombolo drain node east-2 --dry-run
  tombolo drain node east-2 --deadline 5m
  tombolo drain service demo/echo
  tombolo undrain node east-2 --over 1m`,
		Args:              drainArgs,
		ValidArgsFunction: completeDrain,
		RunE: func(c *cobra.Command, args []string) error {
			client := control.NewClient(runDir, apiserver.Role)
			query := url.Values{"what": {args[0]}, "name": {args[1]}}
			plan, err := planDrain(c.Context(), runDir, c.ErrOrStderr(), query)
			if err != nil {
				return elsewhere(c.Context(), runDir, err)
			}
			if dry {
				return printPlan(c.OutOrStdout(), o, plan)
			}
			if err := plan.Refusal(); err != nil && !force {
				return err
			}
			if deadline > 0 {
				query.Set("deadline", deadline.String())
			}
			if err := client.Post(c.Context(), "/drains?"+query.Encode(), &struct{}{}); err != nil {
				return elsewhere(c.Context(), runDir, err)
			}
			return ordered{What: args[0], Name: args[1], State: "Draining", Services: len(plan.Services), Deadline: query.Get("deadline")}.print(c.OutOrStdout(), o)
		},
	}
	flags := c.Flags()
	flags.DurationVar(&deadline, "deadline", 0, "how long connections have to finish before those that are left are ended; 0 is for ever")
	flags.BoolVar(&dry, "dry-run", false, "only show what would move")
	flags.BoolVar(&force, "force", false, "drain even what nothing else serves: it goes on as a last resort")
	o.add(c)
	runDirFlag(flags, &runDir)
	return c
}

// planDrain asks the API server what a drain would do, given whom this node's agent
// calls down: of verdicts the store knows nothing.
func planDrain(ctx context.Context, runDir string, warn io.Writer, query url.Values) (*inspect.Plan, error) {
	query = maps.Clone(query)
	if down, err := downHere(ctx, runDir); err != nil {
		fmt.Fprintf(warn, "Who is down is not looked at: no agent on this node says so (%v).\n", err)
	} else if len(down) > 0 {
		text, err := json.Marshal(down)
		if err != nil {
			return nil, err
		}
		query.Set("down", string(text))
	}
	plan := &inspect.Plan{}
	return plan, control.NewClient(runDir, apiserver.Role).Get(ctx, "/drains/plan?"+query.Encode(), plan)
}

// downHere asks this node's agent whom it calls down, and leaves out what it says of them.
func downHere(ctx context.Context, runDir string) (down []clustermesh.Verdict, err error) {
	var s health.Snapshot
	if err := control.NewClient(runDir, agent.Role).Get(ctx, "/verdicts", &s); err != nil {
		return nil, err
	}
	for _, v := range s.Verdicts {
		if v.State == clustermesh.VerdictDown {
			down = append(down, clustermesh.Verdict{Cluster: v.Cluster, Node: v.Node, AddressDown: v.AddressDown, PodsDown: v.PodsDown})
		}
	}
	return down, nil
}

// printPlan shows what a drain would do.
func printPlan(w io.Writer, o output, p *inspect.Plan) error {
	if o.format != "table" {
		return o.print(w, p, nil)
	}
	t := table{header: []string{"SERVICE", "BACKENDS", "LEFT", "CAPACITY LEFT", "NOTE"}}
	for _, s := range p.Services {
		note := ""
		if s.Left == 0 {
			note = "no other backend: needs --force"
		}
		t.add(s.Service, fmt.Sprint(s.Backends), fmt.Sprint(s.Left), percent(s.Share), note)
	}
	if err := t.print(w); err != nil || len(p.Withdrawn) == 0 {
		return err
	}
	fmt.Fprintln(w)
	t = table{header: []string{"WITHDRAWN", "BY NODE", "SERVICE", "NOTE"}}
	for _, r := range p.Withdrawn {
		note := ""
		if r.Last {
			note = "no other node advertises it: needs --force"
		}
		t.add(r.Address.String(), r.Node, r.Service, note)
	}
	return t.print(w)
}

// ordered is what an order to drain or to undrain came to.
type ordered struct {
	What string `json:"what"`
	Name string `json:"name"`
	// State is that of tombolo drains, or Back.
	State string `json:"state"`
	// Services counts those that use something of it, when it is drained.
	Services int `json:"services,omitempty"`
	// Deadline is how long connections have, Over until all is back.
	Deadline string `json:"deadline,omitempty"`
	Over     string `json:"over,omitempty"`
}

// print says in a line what happens now.
func (d ordered) print(w io.Writer, o output) error {
	if o.format != "table" {
		return o.print(w, d, nil)
	}
	_, err := fmt.Fprintln(w, d)
	return err
}

func (d ordered) String() string {
	name := d.What + "/" + d.Name
	switch {
	case d.State == "Back":
		return name + " is back"
	case d.State == "Returning":
		return fmt.Sprintf("%s comes back in steps, all of it in %s: see tombolo drains", name, d.Over)
	case d.Deadline != "":
		return fmt.Sprintf("%s is draining: new connections of %s go elsewhere, those that are there have %s: see tombolo drains", name, services(d.Services), d.Deadline)
	}
	return fmt.Sprintf("%s is draining: new connections of %s go elsewhere, those that are there go on: see tombolo drains", name, services(d.Services))
}

func services(n int) string {
	if n == 1 {
		return "1 service"
	}
	return fmt.Sprintf("%d services", n)
}

func newUndrain() *cobra.Command {
	var runDir string
	var o output
	over := apiserver.DefaultOver
	c := &cobra.Command{
		Use:   "undrain {cluster NAME | node NAME | service NAMESPACE/NAME}",
		Short: "Brings back what was drained, in steps",
		Long: `Brings back what was drained: a tenth of its share of new connections at once,
then a quarter, a half, and after the time that --over says all of it.`,
		Example:           "  tombolo undrain node east-2 --over 1m",
		Args:              drainArgs,
		ValidArgsFunction: completeDrain,
		RunE: func(c *cobra.Command, args []string) error {
			if over < 0 || over > clustermesh.MaxDrainOver {
				return fmt.Errorf("--over %v: want 0 to %v", over, clustermesh.MaxDrainOver)
			}
			query := url.Values{"what": {args[0]}, "name": {args[1]}, "over": {over.String()}}
			if err := control.NewClient(runDir, apiserver.Role).Post(c.Context(), "/drains?"+query.Encode(), &struct{}{}); err != nil {
				return elsewhere(c.Context(), runDir, err)
			}
			done := ordered{What: args[0], Name: args[1], State: "Returning", Over: over.String()}
			if over == 0 {
				done.State, done.Over = "Back", ""
			}
			return done.print(c.OutOrStdout(), o)
		},
	}
	o.add(c)
	c.Flags().DurationVar(&over, "over", over, "how long until all of it is back; 0 is at once")
	runDirFlag(c.Flags(), &runDir)
	return c
}

func newDrains() *cobra.Command {
	var f meshFlags
	var o output
	c := &cobra.Command{
		Use:   "drains",
		Short: "Shows what the clusters of the mesh drain, and how far that is",
		Long: `Shows what the clusters of the mesh drain, and how far that is. CONNECTIONS are
those that this cluster's nodes have to it still, as their agents last reported,
a second ago or so; those of other clusters' nodes are shown there.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var all []inspect.Drain
			err := f.ask(c.Context(), "/drains", &all, func(ctx context.Context, client *etcd.Client) (err error) {
				all, err = inspect.Drains(ctx, client)
				return err
			})
			if err != nil {
				return err
			}
			return o.print(c.OutOrStdout(), all, func(bool) table { return drainTable(all, time.Now()) })
		},
	}
	o.add(c)
	f.add(c.Flags())
	return c
}

func drainTable(all []inspect.Drain, now time.Time) table {
	t := table{header: []string{"CLUSTER", "WHAT", "NAME", "STATE", "MOVED", "CONNECTIONS", "SINCE", "NEXT", "REASON"}}
	for _, d := range all {
		next := ""
		switch {
		case d.State == "Draining" && d.Moved == 0:
			next = "routes first, all in " + age(max(0, d.Since.Add(clustermesh.RoutesFirst).Sub(now)))
		case d.State == "Draining" && !d.Deadline.IsZero():
			next = "ended in " + age(max(0, d.Deadline.Sub(now)))
		case d.State == "Returning":
			next = "back in " + age(max(0, d.Back.Sub(now)))
		}
		t.add(d.Cluster, string(d.What), d.Name, d.State, percent(d.Moved), left(d), age(now.Sub(d.Since)), next, d.Reason)
	}
	return t
}

// left says how many connections are left, and of how many nodes that is not known.
func left(d inspect.Drain) string {
	if d.Connections == nil {
		return ""
	}
	n := fmt.Sprint(*d.Connections)
	switch len(d.Silent) {
	case 0:
		return n
	case 1:
		return n + " (" + d.Silent[0] + " does not say)"
	}
	return fmt.Sprintf("%s (%d nodes do not say)", n, len(d.Silent))
}
