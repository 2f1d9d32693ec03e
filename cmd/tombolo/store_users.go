package main

import (
	"errors"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/etcd/embedded"
)

func newStoreUsers(f *storeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "users",
		Short: "Gives an external etcd the users root, node and peer, and switches authentication on",
		Long: `Gives an external etcd the users root, node and peer with their roles, and
switches authentication on. An etcd that an API server runs has them already.

The members must ask for certificates (--client-cert-auth); the common name is
the user. Users that are there besides stay. It may be run again.`,
		Args:    cobra.NoArgs,
		Example: "  tombolo store users --etcd-endpoints https://10.0.0.1:2379,https://10.0.0.2:2379 \\\n    --tls-ca ca.crt --tls-cert root.crt --tls-key root.key",
		RunE: f.withStore(func(c *cobra.Command, client *etcd.Client, _ []string) error {
			if f.tls.Empty() {
				return errors.New("users are told apart by certificates: give endpoints with https://, and --tls-ca, --tls-cert and --tls-key of root")
			}
			users := embedded.Tombolo(clustermesh.Root)
			if err := embedded.Grant(c.Context(), client, users); err != nil {
				return err
			}
			t := table{header: []string{"USER", "READS", "WRITES"}, rows: [][]string{{"root", "everything", "everything"}}}
			for _, u := range users {
				t.add(u.Name, joined(u.Read), joined(u.Write))
			}
			return t.print(c.OutOrStdout())
		}),
	}
}
