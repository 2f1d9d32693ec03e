package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

func newLabPod(f *labFlags) *cobra.Command {
	c := &cobra.Command{
		Use:   "pod",
		Short: "Adds pods to a lab that is up, and removes them",
		Long: `Adds pods to a lab that is up, and removes them: machines with a responder, and the
objects that belong to them.`,
	}
	c.AddCommand(newPodAdd(f), newPodRemove(f))
	return c
}

func newPodAdd(f *labFlags) *cobra.Command {
	var name, app string
	c := &cobra.Command{
		Use:   "add NODE",
		Short: "Runs one more pod on a node",
		Long: `Runs one more pod on a node.

It has the first addresses of the node that are free, so those of a pod that was
removed are used again, by a pod with another uid. Pods of the app echo stand
behind demo/echo, whose endpoint slices are written anew; others are behind no
service until one is applied.`,
		Example: `  tombolo lab pod add east-1
  tombolo lab pod remove east-1-b && tombolo lab pod add east-1 --pod other --app other`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: f.completeMachine(false),
		RunE: func(c *cobra.Command, args []string) error {
			l, err := f.load()
			if err != nil {
				return err
			}
			ctx, cancel := withTimeout(c.Context(), 30*time.Second)
			defer cancel()
			pod, err := l.AddPod(ctx, args[0], name, app)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "pod %s runs on %s: %s, uid %s\n", pod.Name, args[0], addrs(pod.Addresses), pod.UID)
			return nil
		},
	}
	c.Flags().StringVar(&name, "pod", "", "its name; by default the node's and a letter")
	c.Flags().StringVar(&app, "app", "echo", "its label app")
	return c
}

func newPodRemove(f *labFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "remove POD",
		Short: "Ends a pod: its endpoints go first, then its process, then its addresses",
		Long: `Ends a pod in order: its endpoints go first, then its process, then its addresses. For
a pod that dies without a word there is tombolo lab kill.`,
		Example:           "  tombolo lab pod remove east-1-b",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: f.completeMachine(false),
		RunE: func(c *cobra.Command, args []string) error {
			l, err := f.load()
			if err != nil {
				return err
			}
			ctx, cancel := withTimeout(c.Context(), 30*time.Second)
			defer cancel()
			return l.RemovePod(ctx, args[0])
		},
	}
}
