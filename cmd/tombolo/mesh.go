package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/inspect"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/internal/control"
)

// askStore is how long a question about the mesh waits for the store.
const askStore = 5 * time.Second

// inTime does something for a request that waits for the store as long as patience says;
// then it looks for 2 s why there is no answer.
func inTime(r *http.Request, client *etcd.Client, patience time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(r.Context(), patience, fmt.Errorf("etcd gave no answer within %v", patience))
	defer cancel()
	err := do(ctx)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), client.Explain(r.Context(), err))
	}
	return err
}

// meshPages are what the roles with a client of the store answer about the
// mesh. They read the store when they are asked.
func meshPages(client *etcd.Client, patience time.Duration) map[string]control.Page {
	page := func(ask func(context.Context, *http.Request) (any, error)) control.Page {
		return func(r *http.Request) (any, error) {
			var v any
			err := inTime(r, client, patience, func(ctx context.Context) (err error) {
				v, err = ask(ctx, r)
				return err
			})
			if errors.Is(err, inspect.ErrNotFound) {
				err = fmt.Errorf("%w: %w", control.ErrNotFound, err)
			}
			return v, err
		}
	}
	return map[string]control.Page{
		"/processes": page(func(ctx context.Context, _ *http.Request) (any, error) { return inspect.Processes(ctx, client) }),
		"/drains":    page(func(ctx context.Context, _ *http.Request) (any, error) { return inspect.Drains(ctx, client) }),
		"/objects":   page(func(ctx context.Context, _ *http.Request) (any, error) { return inspect.Objects(ctx, client) }),
		"/drains/plan": page(func(ctx context.Context, r *http.Request) (any, error) {
			q := r.URL.Query()
			var down []clustermesh.Verdict
			if text := q.Get("down"); text != "" {
				if err := json.Unmarshal([]byte(text), &down); err != nil {
					return nil, fmt.Errorf("reading down: %w", err)
				}
			}
			return inspect.PlanDrain(ctx, client, clustermesh.DrainKind(q.Get("what")), q.Get("name"), down)
		}),
		checkPage: func(r *http.Request) (any, error) {
			patience, err := time.ParseDuration(r.URL.Query().Get("timeout"))
			if err != nil {
				return nil, fmt.Errorf("reading timeout: %w", err)
			}
			var all *inspect.Check
			err = inTime(r, client, patience+askStore, func(ctx context.Context) (err error) {
				all, err = inspect.RunCheck(ctx, client, patience)
				return err
			})
			return all, err
		},
		"/ipam/pools":     page(func(ctx context.Context, _ *http.Request) (any, error) { return inspect.Pools(ctx, client) }),
		"/ipam/addresses": page(func(ctx context.Context, _ *http.Request) (any, error) { return inspect.Addresses(ctx, client) }),
		"/clusters":       page(func(ctx context.Context, _ *http.Request) (any, error) { return inspect.Clusters(ctx, client) }),
		"/identities": page(func(ctx context.Context, r *http.Request) (any, error) {
			if !r.URL.Query().Has("of") {
				return inspect.Identities(ctx, client)
			}
			a, err := netip.ParseAddr(r.URL.Query().Get("of"))
			if err != nil {
				return nil, err
			}
			return inspect.IdentityOf(ctx, client, a)
		}),
	}
}

// meshFlags say whom to ask about the mesh: a store, where one is named, or
// the roles of this node.
type meshFlags struct {
	store  storeFlags
	runDir string
	// patience is how long a role may take to answer; 0 is as long as any question.
	patience time.Duration
}

func (f *meshFlags) add(flags *pflag.FlagSet) {
	f.store.add(flags)
	runDirFlag(flags, &f.runDir)
}

// ask reads the answer to a question into v: from the store by direct, or from
// the first role that runs here and knows.
func (f *meshFlags) ask(ctx context.Context, path string, v any, direct func(context.Context, *etcd.Client) error) error {
	if len(f.store.endpoints) > 0 {
		client, err := f.store.dial()
		if err != nil {
			return err
		}
		defer client.Close()
		return f.store.explain(ctx, direct(ctx, client))
	}
	var errs []error
	for _, role := range []string{"agent", "apiserver"} {
		client := control.NewClient(f.runDir, role)
		client.Patience = cmp.Or(f.patience, client.Patience)
		err := client.Get(ctx, path, v)
		if !errors.Is(err, control.ErrNotRunning) {
			return err
		}
		errs = append(errs, err)
	}
	return errors.Join(append(errs, errors.New("or give --etcd-endpoints, to ask a store"))...)
}

func newClusters() *cobra.Command {
	var f meshFlags
	var o output
	c := &cobra.Command{
		Use:   "clusters",
		Short: "Shows the clusters of the mesh, how fresh their mirrors are, and why one is refused",
		Long: `Shows the clusters of the mesh, as the store of this one knows them. PHASE is

  Ours        this cluster itself
  Synced      its mirror is complete, and follows every change
  Stale       it was synced; the connection is lost, and what was mirrored stays in use
  Connecting  it was never synced so far; REASON says what the connection fails for
  Refused     it may not join, for it clashes with this cluster or another peer, in its
              name, its number or its prefixes; what was mirrored before stays

UNSYNCED names the kinds of which the cluster's API server has not stored a complete
pass; of these, nothing is taken to be gone. With -o wide: the prefixes of its pods and
nodes, and how many of its values are INVALID.`,
		Example: `  tombolo clusters
  tombolo clusters -o wide`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var all []inspect.Cluster
			err := f.ask(c.Context(), "/clusters", &all, func(ctx context.Context, client *etcd.Client) (err error) {
				all, err = inspect.Clusters(ctx, client)
				return err
			})
			if err != nil {
				return err
			}
			return o.print(c.OutOrStdout(), all, func(wide bool) table { return clusterTable(all, wide, time.Now()) })
		},
	}
	o.add(c, "wide")
	f.add(c.Flags())
	return c
}

func clusterTable(all []inspect.Cluster, wide bool, now time.Time) table {
	t := table{header: []string{"CLUSTER", "ID", "PHASE", "SINCE", "NODES", "SERVICES", "ENDPOINTS", "IDENTITIES", "UNSYNCED", "REASON"}}
	if wide {
		t.header = append(t.header, "PODS", "NODE NETWORKS", "INVALID")
	}
	for _, c := range all {
		since := ""
		if !c.Since.IsZero() {
			since = age(now.Sub(c.Since))
		}
		row := []string{c.Name, number(uint32(c.ID)), c.Phase, since, fmt.Sprint(c.Nodes), fmt.Sprint(c.Services),
			fmt.Sprint(c.Endpoints), fmt.Sprint(c.Identities), joined(c.Unsynced), c.Reason}
		if wide {
			row = append(row, joined(c.PodCIDRs), joined(c.NodeCIDRs), number(uint32(c.Invalid)))
		}
		t.add(row...)
	}
	return t
}

func newIdentities() *cobra.Command {
	var f meshFlags
	var o output
	c := &cobra.Command{
		Use:   "identities [of ADDRESS]",
		Short: "Shows the identities of all clusters, or that of an address",
		Long: `Shows the identities of all clusters: the number that stands for pods of the same
labels, its cluster, how many addresses have it, and those labels. With an address it
shows whose that is; of more than one if clusters disagree.`,
		Example: "  tombolo identities\n  tombolo identities of 10.2.0.5 -o yaml",
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return []string{"of"}, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 0 && (len(args) != 2 || args[0] != "of") {
				return errors.New("want no arguments, or: of ADDRESS")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return f.identities(c, o)
			}
			a, err := netip.ParseAddr(args[1])
			if err != nil {
				return fmt.Errorf("%q is no IP address", args[1])
			}
			return f.identityOf(c, o, a)
		},
	}
	o.add(c)
	f.add(c.Flags())
	return c
}

func (f *meshFlags) identities(c *cobra.Command, o output) error {
	var all []inspect.Identity
	err := f.ask(c.Context(), "/identities", &all, func(ctx context.Context, client *etcd.Client) (err error) {
		all, err = inspect.Identities(ctx, client)
		return err
	})
	if err != nil {
		return err
	}
	return o.print(c.OutOrStdout(), all, func(bool) table {
		t := table{header: []string{"ID", "CLUSTER", "ADDRESSES", "LABELS"}}
		for _, i := range all {
			t.add(fmt.Sprint(i.ID), i.Cluster, fmt.Sprint(i.Addresses), labels(i.Labels))
		}
		return t
	})
}

func (f *meshFlags) identityOf(c *cobra.Command, o output, a netip.Addr) error {
	var all []inspect.Holder
	path := "/identities?of=" + url.QueryEscape(a.String())
	err := f.ask(c.Context(), path, &all, func(ctx context.Context, client *etcd.Client) (err error) {
		all, err = inspect.IdentityOf(ctx, client, a)
		return err
	})
	if err != nil {
		return err
	}
	return o.print(c.OutOrStdout(), all, func(bool) table {
		t := table{header: []string{"ADDRESS", "ID", "CLUSTER", "POD", "NODE", "LABELS"}}
		for _, h := range all {
			t.add(h.Address.String(), fmt.Sprint(h.Identity), h.Cluster, h.Pod, h.Node, labels(h.Labels))
		}
		return t
	})
}
