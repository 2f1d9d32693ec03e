package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/clustermesh/inspect"
	"tombolo.io/tombolo/clustermesh/standing"
	"tombolo.io/tombolo/etcd"
)

// newObjects shows the conditions of our kinds, wherever the objects came from.
func newObjects() *cobra.Command {
	var f meshFlags
	var o output
	c := &cobra.Command{
		Use:   "objects [KIND]",
		Short: "Shows the cluster's ClusterPeers, BGPPeers, BGPAdvertisements and AddressPools, and how they stand",
		Long: `Shows the cluster's ClusterPeers, BGPPeers, BGPAdvertisements and AddressPools, and
how they stand: whether they are accepted, do what they are for, and contradict
others. In Kubernetes the same conditions are the objects' status. An object with a
mistake stands as it did before; tombolo status apiserver names the mistake.`,
		Example: `  tombolo objects
  tombolo objects bgppeer -o yaml`,
		Args:      cobra.MaximumNArgs(1),
		ValidArgs: []string{"clusterpeer", "bgppeer", "bgpadvertisement", "addresspool"},
		RunE: func(c *cobra.Command, args []string) error {
			var all []standing.Object
			err := f.ask(c.Context(), "/objects", &all, func(ctx context.Context, client *etcd.Client) (err error) {
				all, err = inspect.Objects(ctx, client)
				return err
			})
			if err != nil {
				return err
			}
			if len(args) > 0 {
				all = ofKind(all, args[0])
			}
			return o.print(c.OutOrStdout(), all, func(bool) table { return objectTable(all) })
		},
	}
	o.add(c)
	f.patience = askStore + 3*time.Second
	f.add(c.Flags())
	return c
}

// ofKind returns the objects of a kind, which may be named in any case, and by
// its plural.
func ofKind(all []standing.Object, kind string) []standing.Object {
	out := []standing.Object{}
	for _, o := range all {
		if k := strings.ToLower(kind); k == strings.ToLower(o.Kind) || k == strings.ToLower(o.Kind)+"s" {
			out = append(out, o)
		}
	}
	return out
}

// objectTable has a line an object: its last condition is what matters most,
// unless one before it does not hold.
func objectTable(all []standing.Object) table {
	t := table{header: []string{"KIND", "NAME", "ACCEPTED", "READY", "REASON", "MESSAGE"}}
	for _, o := range all {
		var tell standing.Condition
		for _, c := range o.Conditions {
			if tell = c; c.State != standing.True {
				break
			}
		}
		t.add(o.Kind, o.Name, string(o.Condition(standing.Accepted).State), string(o.Condition(standing.Ready).State), tell.Reason, tell.Message)
	}
	return t
}
