package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/etcd"
)

// newStore returns the commands that look into a cluster's etcd.
func newStore() *cobra.Command {
	f := &storeFlags{}
	c := &cobra.Command{
		Use:   "store",
		Short: "Looks into a cluster's etcd, saves and restores it",
		Long: `Looks into a cluster's etcd, saves and restores it.

Keys are below tombolo/v1/, which may be left out: export/services/default/web.
Values are printed decoded; one that does not decode is shown with the reason.`,
	}
	f.add(c.PersistentFlags())
	c.AddCommand(newStoreList(f), newStoreGet(f), newStoreWatch(f), newStoreSnapshot(f), newStoreRestore(), newStoreUsers(f))
	return c
}

// outputFlag adds -o to a command that prints entries.
func outputFlag(c *cobra.Command, output *string, standard string) {
	c.Flags().StringVarP(output, "output", "o", standard, "table, json or yaml")
	c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
}

// dial returns a client of the store.
func (f *storeFlags) dial() (*etcd.Client, error) {
	if len(f.endpoints) == 0 {
		return nil, errors.New("which etcd? Give --etcd-endpoints (and --tls-ca, --tls-cert, --tls-key), or set TOMBOLO_ETCD_ENDPOINTS")
	}
	cfg, err := f.config()
	if err != nil {
		return nil, err
	}
	return etcd.Dial(cfg)
}

// withStore runs do with a client of the store that the flags name.
func (f *storeFlags) withStore(do func(c *cobra.Command, client *etcd.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		client, err := f.dial()
		if err != nil {
			return err
		}
		defer client.Close()
		if err := client.Answers(c.Context()); err != nil {
			return f.explain(c.Context(), err)
		}
		return f.explain(c.Context(), do(c, client, args))
	}
}

// explain adds to an error of a store that gave no answer in time what is wrong with the
// way to its members, as far as that can be told.
func (f *storeFlags) explain(ctx context.Context, err error) error {
	if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		return err
	}
	cfg, failed := f.config()
	if failed != nil {
		return err
	}
	return fmt.Errorf("%w: %w", err, cfg.Explain(ctx, err))
}

// storeLog tells on the standard error what a person who waits should know.
func storeLog(c *cobra.Command) *slog.Logger {
	return slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}
