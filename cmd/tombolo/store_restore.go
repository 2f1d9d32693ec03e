package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd/embedded"
)

func newStoreRestore() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "restore FILE --data-dir DIR",
		Short: "Makes a data directory of a snapshot, for an API server that does not run",
		Long: `Makes a data directory of a snapshot, for an API server that does not run.

The directory must not hold a store. The restored one has a new epoch: nodes and
other clusters keep what they have until the API server has made a complete pass
over its objects. Traffic is not touched.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: offerFiles,

		Example: "  mv /var/lib/tombolo/etcd /var/lib/tombolo/etcd.old\n  tombolo store restore snapshot.db --data-dir /var/lib/tombolo/etcd",
		RunE: func(c *cobra.Command, args []string) error {
			cfg := embedded.Config{Dir: dir, EpochKey: clustermesh.EpochKey}
			if err := embedded.Restore(c.Context(), cfg, storeLog(c), args[0]); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: restored; start the API server on it\n", dir)
			return nil
		},
	}
	c.Flags().StringVar(&dir, "data-dir", "", "data directory of the API server")
	c.MarkFlagRequired("data-dir")
	hideStore(c)
	return c
}

// hideStore keeps the flags that say where etcd is, which the other commands beside
// it have, out of the help of one that asks no etcd. They may be given all the same:
// the environment of a node has them.
func hideStore(c *cobra.Command) {
	(&storeFlags{}).add(c.Flags())
	c.Flags().VisitAll(func(f *pflag.Flag) {
		f.Hidden = f.Hidden || strings.HasPrefix(f.Name, "etcd-") || strings.HasPrefix(f.Name, "tls-")
	})
}
