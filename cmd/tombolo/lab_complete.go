package main

import (
	"github.com/spf13/cobra"

	"tombolo.io/tombolo/deploy/lab"
)

// completeMachine completes a machine's name and, where a command takes one, a
// role of that machine.
func (f *labFlags) completeMachine(roles bool) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		l, err := f.load()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		s, err := l.Status()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		switch {
		case len(args) == 0:
			return machineNames(s), cobra.ShellCompDirectiveNoFileComp
		case len(args) == 1 && roles:
			return roleNames(s, args[0]), cobra.ShellCompDirectiveNoFileComp
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeCommand completes a machine's name, and then a command, which may be a file.
func (f *labFlags) completeCommand(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return f.completeMachine(false)(c, args, word)
}

// completeName completes the names of the labs of this machine.
func (f *labFlags) completeName(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	names, err := lab.Names(f.base())
	if err != nil {
		cobra.CompErrorln(err.Error())
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeCluster completes the name of a cluster.
func (f *labFlags) completeCluster(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	l, err := f.load()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, c := range l.Clusters {
		out = append(out, c.Name)
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// completePlace completes the places of a fault: clusters and machines.
func (f *labFlags) completePlace(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 1 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	clusters, failed := f.completeCluster(c, nil, word)
	machines, _ := f.completeMachine(false)(c, nil, word)
	return append(clusters, machines...), failed
}

func machineNames(s lab.Status) []string {
	var out []string
	for _, m := range s.Machines {
		out = append(out, m.Name)
	}
	return out
}

func roleNames(s lab.Status, machine string) []string {
	var out []string
	for _, m := range s.Machines {
		if m.Name != machine {
			continue
		}
		for _, p := range m.Processes {
			out = append(out, string(p.Role))
		}
	}
	return out
}
