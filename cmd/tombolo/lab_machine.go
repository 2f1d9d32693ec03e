package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"tombolo.io/tombolo/deploy/lab"
)

func newLabExec(f *labFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "exec MACHINE -- COMMAND [ARGUMENT...]",
		Short: "Runs a command on a node, pod, router or the client, with its streams and exit status",
		Long: `Runs a command in the network namespace and the cgroup of a machine of the lab.
On a node, tombolo's own commands find that node's processes and etcd by their
environment.`,
		Example: "  tombolo lab exec east-1-a -- curl -s http://10.96.0.80/\n" +
			"  tombolo lab exec router-east -- ip route\n" +
			"  tombolo lab exec west-1 -- tombolo services",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return errors.New("want a machine and a command, as in tombolo lab exec east-1-a -- ip address")
			}
			return nil
		},
		ValidArgsFunction: f.completeCommand,
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := f.load()
			if err != nil {
				return err
			}
			return l.Exec(args[0], args[1:])
		},
	}
}

func newLabKill(f *labFlags) *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:   "kill MACHINE ROLE",
		Short: "Sends a signal to a process of the lab; after KILL and TERM it waits for its end",
		Long: `Sends a signal to a process of the lab; after KILL and TERM it waits for its end.
tombolo lab status names the roles that run on each machine: apiserver, agent and
speaker on nodes, responder in pods, and the daemons of routers.`,
		Example:           "  tombolo lab kill east-1 agent\n  tombolo lab kill east-1 speaker --signal TERM",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: f.completeMachine(true),
		RunE: func(c *cobra.Command, args []string) error {
			sig := unix.SignalNum("SIG" + strings.ToUpper(name))
			if sig == 0 {
				return fmt.Errorf("signal %q: want a name such as KILL, TERM, STOP or CONT", name)
			}
			l, err := f.load()
			if err != nil {
				return err
			}
			ctx, cancel := withTimeout(c.Context(), 30*time.Second)
			defer cancel()
			return l.Kill(ctx, args[0], lab.Role(args[1]), syscall.Signal(sig))
		},
	}
	c.Flags().StringVar(&name, "signal", "KILL", "the signal's name")
	return c
}

func newLabStart(f *labFlags) *cobra.Command {
	var o lab.Otherwise
	c := &cobra.Command{
		Use:   "start MACHINE ROLE [-- FLAG...]",
		Short: "Starts a process of the lab that ended, and waits until it is ready",
		Long: `Starts a process of the lab that ended, and waits until it is ready. Flags after --
are added to those that lab up gave it, for this run alone.`,
		Example: "  tombolo lab start east-1 agent\n" +
			"  tombolo lab start east-1 apiserver -- --allow-shrink\n" +
			"  tombolo lab start east-1 agent --binary ./tombolo-of-yesterday",
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: f.completeMachine(true),
		RunE: func(c *cobra.Command, args []string) error {
			l, err := f.load()
			if err != nil {
				return err
			}
			ctx, cancel := withTimeout(c.Context(), 30*time.Second)
			defer cancel()
			o.Flags = args[2:]
			return l.StartOtherwise(ctx, args[0], lab.Role(args[1]), o)
		},
	}
	c.Flags().StringVar(&o.Binary, "binary", "", "run this tombolo instead of the lab's")
	return c
}

func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("%v are over", d))
}
