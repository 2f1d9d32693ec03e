package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/deploy/lab"
	"tombolo.io/tombolo/deploy/lab/fault"
)

// faultTime bounds a fault that starts or ends processes.
const faultTime = 30 * time.Second

func newLabFault(f *labFlags) *cobra.Command {
	c := &cobra.Command{
		Use:   "fault",
		Short: "Breaks things in a lab on purpose, and mends them",
		Long: `Breaks things in a lab on purpose, and mends them.

Packets are lost in the kernel of a neighbour of what is named (at the router's
end of a node's wire, at the node's end of a pod's), so nobody is told: devices
stay up, addresses and routes stay where they are. A node that is cut off is, to
all others, a node without power.

A place is a machine (node, pod, router or the client) or a cluster: whatever
leaves it is then what passes its router's links. Two places mean the packets
between them alone, on whichever way.

Faults add up until they are healed, exist only in the lab's namespaces, and go
with the lab.`,
		Example: `  tombolo lab fault cut east-1                  a node loses power
  tombolo lab fault cut east west               a partition between two clusters
  tombolo lab fault cut east west --direction out
                                                west no longer hears east, east hears west
  tombolo lab fault cut west-1 --direction in   a broken uplink: it hears nobody
  tombolo lab fault cut east west --only control
                                                etcd is away, pods reach each other
  tombolo lab fault cut east-1 --only bgp       its BGP session is cut, all else passes
  tombolo lab fault loss 30 east west           30 % of the packets, each way
  tombolo lab fault pause east-1 agent          SIGSTOP; heal lets it go on
  tombolo lab fault kill east-1                 kill -9 of every process of a node
  tombolo lab fault restore east --empty        east's etcd comes back without its data
  tombolo lab fault list
  tombolo lab fault heal                        undoes all`,
	}
	c.AddCommand(newFaultCut(f), newFaultLoss(f), newFaultProcess(f, fault.Kill), newFaultProcess(f, fault.Pause),
		newFaultRestore(f), newFaultHeal(f), newFaultList(f))
	return c
}

func newFaultCut(f *labFlags) *cobra.Command {
	c := &cobra.Command{
		Use:   "cut PLACE [PLACE]",
		Short: "Loses every packet from and to a place, or between two",
		Long: `Loses every packet from and to a place, or between two, without a word to anybody: no
device goes down. A place is a machine or a cluster.`,
		Example: `  tombolo lab fault cut east-1
  tombolo lab fault cut east west --only control`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: f.completePlace,
	}
	return packets(f, c, func(args []string) (fault.Fault, error) {
		return between(fault.Fault{Kind: fault.Cut, Percent: 100}, args), nil
	})
}

func newFaultLoss(f *labFlags) *cobra.Command {
	c := &cobra.Command{
		Use:   "loss PERCENT PLACE [PLACE]",
		Short: "Loses packets at random, so many of a hundred in each direction",
		Long: `Loses packets from and to a place, or between two, at random: so many of a hundred in
each direction. A place is a machine or a cluster.`,
		Example: "  tombolo lab fault loss 30 east west",
		Args:    cobra.RangeArgs(2, 3),
		ValidArgsFunction: func(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return f.completePlace(c, args[1:], word)
		},
	}
	return packets(f, c, func(args []string) (fault.Fault, error) {
		percent, err := strconv.Atoi(args[0])
		if err != nil {
			return fault.Fault{}, fmt.Errorf("reading the percentage: %q is no whole number", args[0])
		}
		return between(fault.Fault{Kind: fault.Loss, Percent: percent}, args[1:]), nil
	})
}

// between sets the places of a fault.
func between(f fault.Fault, places []string) fault.Fault {
	if f.From = places[0]; len(places) > 1 {
		f.To = places[1]
	}
	return f
}

// packets completes a command that loses some.
func packets(f *labFlags, c *cobra.Command, read func([]string) (fault.Fault, error)) *cobra.Command {
	var direction, only string
	c.Flags().StringVar(&direction, "direction", string(fault.Both), "out: what the first place sends; in: what is sent to it; both")
	c.Flags().StringVar(&only, "only", string(fault.All), "control: etcd's packets; bgp: BGP's; data: all but those of etcd and BGP; ipv4, ipv6: those of data by one family; all")
	c.RegisterFlagCompletionFunc("direction", cobra.FixedCompletions([]string{"both", "out", "in"}, cobra.ShellCompDirectiveNoFileComp))
	c.RegisterFlagCompletionFunc("only", cobra.FixedCompletions([]string{"all", "control", "bgp", "data", "ipv4", "ipv6"}, cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(c *cobra.Command, args []string) error {
		wrong, err := read(args)
		if err != nil {
			return err
		}
		wrong.Direction, wrong.Traffic = fault.Direction(direction), fault.Traffic(only)
		return inject(f, c, wrong)
	}
	return c
}

func inject(f *labFlags, c *cobra.Command, wrong fault.Fault) error {
	l, err := f.load()
	if err != nil {
		return err
	}
	ctx, cancel := withTimeout(c.Context(), faultTime)
	defer cancel()
	made, err := l.Inject(ctx, wrong)
	for _, one := range made {
		fmt.Fprintf(c.OutOrStdout(), "fault %d: %s\n", one.ID, one)
	}
	return err
}

// newFaultProcess is kill or pause.
func newFaultProcess(f *labFlags, kind fault.Kind) *cobra.Command {
	short := map[fault.Kind]string{
		fault.Kill:  "Kills a process of a machine with -9, or all of them; heal starts them again",
		fault.Pause: "Stops a process of a machine (SIGSTOP), or all of them; heal lets them go on",
	}
	return &cobra.Command{
		Use:   string(kind) + " MACHINE [ROLE]",
		Short: short[kind],
		Long: short[kind] + `.
tombolo lab status names the machines and what runs on them.`,
		Example: fmt.Sprintf("  tombolo lab fault %[1]s east-1 agent\n  tombolo lab fault %[1]s west-2", kind),

		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: f.completeMachine(true),
		RunE: func(c *cobra.Command, args []string) error {
			wrong := fault.Fault{Kind: kind, From: args[0]}
			if len(args) > 1 {
				wrong.Role = args[1]
			}
			return inject(f, c, wrong)
		},
	}
}

func newFaultRestore(f *labFlags) *cobra.Command {
	var snapshot string
	var empty bool
	c := &cobra.Command{
		Use:   "restore CLUSTER --snapshot FILE | --empty",
		Short: "Gives a cluster's etcd an older store, or an empty one; heal does not undo it",
		Long: `Gives a cluster's etcd an older store, or an empty one; heal does not undo it.

The API server with the etcd in it is killed, if it runs, and started on the
store of the snapshot or on none.`,
		Example: `  tombolo lab exec east-1 -- tombolo store snapshot /tmp/before.db
  tombolo lab fault restore east --snapshot /tmp/before.db`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: f.completeCluster,
		RunE: func(c *cobra.Command, args []string) error {
			if empty == (snapshot != "") {
				return errors.New("want either --snapshot FILE or --empty")
			}
			l, err := f.load()
			if err != nil {
				return err
			}
			ctx, cancel := withTimeout(c.Context(), faultTime)
			defer cancel()
			return l.Restore(ctx, args[0], snapshot)
		},
	}
	c.Flags().StringVar(&snapshot, "snapshot", "", "file that tombolo store snapshot wrote")
	c.Flags().BoolVar(&empty, "empty", false, "without its data")
	return c
}

func newFaultHeal(f *labFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "heal [FAULT | PLACE]...",
		Short: "Undoes faults by their number or place; without either, all of them",
		Long: `Undoes faults by their number, as tombolo lab fault list shows it, or by a place that
they name; without either, all of them. Packets pass again, what was stopped goes on,
and what was killed is started.`,
		Example: "  tombolo lab fault heal\n  tombolo lab fault heal 3\n" +
			"  tombolo lab fault heal east-1     whatever east-1 is named in",
		RunE: func(c *cobra.Command, args []string) error {
			l, err := f.load()
			if err != nil {
				return err
			}
			match, err := matching(l, args)
			if err != nil {
				return err
			}
			ctx, cancel := withTimeout(c.Context(), faultTime)
			defer cancel()
			healed, err := l.Heal(ctx, match)
			for _, one := range healed {
				fmt.Fprintf(c.OutOrStdout(), "healed %d: %s\n", one.ID, one)
			}
			return err
		},
	}
}

// matching returns which faults are meant; nil is all.
func matching(l *lab.Lab, args []string) (func(fault.Fault) bool, error) {
	if len(args) == 0 {
		return nil, nil
	}
	all, err := l.Faults()
	if err != nil {
		return nil, err
	}
	meant := func(f fault.Fault) bool {
		return slices.ContainsFunc(args, func(a string) bool { return a == fmt.Sprint(f.ID) || f.Touches(a) })
	}
	for _, a := range args {
		if !slices.ContainsFunc(all, func(f fault.Fault) bool { return a == fmt.Sprint(f.ID) || f.Touches(a) }) {
			return nil, fmt.Errorf("lab %s has no fault %s; tombolo lab fault list shows them", l.Lab, a)
		}
	}
	return meant, nil
}

func newFaultList(f *labFlags) *cobra.Command {
	var o output
	c := &cobra.Command{
		Use:   "list",
		Short: "Shows the faults that are not healed",
		Long: `Shows the faults that are not healed, with the numbers by which tombolo lab fault heal
knows them.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := f.load()
			if err != nil {
				return err
			}
			all, err := l.Faults()
			if err != nil {
				return err
			}
			return o.print(c.OutOrStdout(), all, func(bool) table {
				t := table{header: []string{"FAULT", "KIND", "FOR", "WHAT"}}
				for _, one := range all {
					t.add(fmt.Sprint(one.ID), string(one.Kind), time.Since(one.Since).Round(time.Second).String(), one.String())
				}
				return t
			})
		},
	}
	o.add(c)
	return c
}
