package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/clustermesh/inspect"
	"tombolo.io/tombolo/etcd"
)

func newStoreList(f *storeFlags) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "ls [PREFIX]",
		Short: "Lists keys; with -o json or yaml their values too",
		Long: `Lists the keys that begin with a prefix, or all: the revision of each, how many bytes
its value has, and why it does not decode, if so. With -o json it prints an object a
line, with -o yaml a document a key, both with the values.`,
		Args:    cobra.MaximumNArgs(1),
		Example: "  tombolo store ls export/services/\n  tombolo store ls mirror/west/ -o yaml",

		ValidArgsFunction: f.completeKey,
		RunE: f.withStore(func(c *cobra.Command, client *etcd.Client, args []string) error {
			p, err := inspect.NewPrinter(c.OutOrStdout(), output)
			if err != nil {
				return err
			}
			if err := inspect.List(c.Context(), client, argument(args), p.Entry); err != nil {
				return err
			}
			return p.Close()
		}),
	}
	outputFlag(c, &output, "table")
	return c
}

func newStoreGet(f *storeFlags) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "get KEY",
		Short: "Prints one key with its value",
		Long: `Prints one key with its value, its revision, and why the value does not decode, if
so. That there is no such key is an error.`,
		Args:    cobra.ExactArgs(1),
		Example: "  tombolo store get export/cluster\n  tombolo store get epoch -o json",

		ValidArgsFunction: f.completeKey,
		RunE: f.withStore(func(c *cobra.Command, client *etcd.Client, args []string) error {
			p, err := inspect.NewPrinter(c.OutOrStdout(), output)
			if err != nil {
				return err
			}
			e, err := inspect.Get(c.Context(), client, args[0])
			if err != nil {
				return err
			}
			if err := p.Entry(e); err != nil {
				return err
			}
			return p.Close()
		}),
	}
	outputFlag(c, &output, "yaml")
	return c
}

func newStoreWatch(f *storeFlags) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "watch [PREFIX]",
		Short: "Prints keys as they are, and then every change, until it is interrupted",
		Long: `Prints the keys that begin with a prefix as they are, and then every change, a line
each, until it is interrupted. It goes on when etcd was away.`,
		Example: `  tombolo store watch export/slices/
  tombolo store watch mirror/west/ -o json`,
		Args: cobra.MaximumNArgs(1),

		ValidArgsFunction: f.completeKey,
		RunE: f.withStore(func(c *cobra.Command, client *etcd.Client, args []string) error {
			p, err := inspect.NewPrinter(c.OutOrStdout(), output)
			if err != nil {
				return err
			}
			err = inspect.Watch(c.Context(), client, storeLog(c), argument(args), p.Change)
			if c.Context().Err() != nil {
				return nil // it was interrupted; all changes are printed
			}
			return err
		}),
	}
	outputFlag(c, &output, "table")
	return c
}

// completeTime is how long somebody who pressed a key waits for the store.
const completeTime = time.Second

// completeKey completes a key of the store, folder by folder; nothing while the
// store cannot be asked.
func (f *storeFlags) completeKey(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	client, err := f.dial()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer client.Close()
	ctx, cancel := withTimeout(c.Context(), completeTime)
	defer cancel()
	keys, err := inspect.Complete(ctx, client, word)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	directive := cobra.ShellCompDirectiveNoFileComp
	if slices.ContainsFunc(keys, func(k string) bool { return strings.HasSuffix(k, "/") }) {
		directive |= cobra.ShellCompDirectiveNoSpace // it goes on
	}
	return keys, directive
}

func argument(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

func newStoreSnapshot(f *storeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "snapshot FILE",
		Short: "Saves the whole store, as it is now, to a file; needs the certificate of root",
		Long: `Saves the whole store, as it is now, to a file, for tombolo store restore. The file
has everything that the store has, keys of gossip included; only root of etcd may.`,
		Example: `  tombolo store snapshot /var/backups/tombolo.db --etcd-endpoints https://10.0.0.1:2379 \
    --tls-ca ca.crt --tls-cert root.crt --tls-key root.key`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: offerFiles,
		RunE: f.withStore(func(c *cobra.Command, client *etcd.Client, args []string) error {
			size, err := etcd.Snapshot(c.Context(), client, args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: %d bytes\n", args[0], size)
			return nil
		}),
	}
}
