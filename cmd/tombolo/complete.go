package main

import (
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tombolo.io/tombolo/agent"
	"tombolo.io/tombolo/agent/health"
	"tombolo.io/tombolo/bpf"
)

// Shells offer files wherever a program says nothing. So a flag or an argument has
// none unless it is known to be a file; a flag of a name is the same everywhere.
var (
	flagWords = map[string][]string{
		"failover":          {string(health.On), string(health.Observe), string(health.Off)},
		"family":            {"ipv4", "ipv6"},
		"log-format":        {"text", "json"},
		"log-level":         {"debug", "info", "warn", "error"},
		"maps":              {"default", "small"}, // of a lab; the agent's are more
		"packet-forwarding": {string(agent.SNAT), string(agent.DSR), string(agent.Hybrid)},
		"packet-xdp":        {string(bpf.XDPOff), string(bpf.XDPAuto), string(bpf.XDPNative), string(bpf.XDPGeneric)},
		"router":            {"builtin", "frr", "bird"},
		"signal":            {"KILL", "TERM", "STOP", "CONT"},
		"source":            {sourceManifests, sourceKubernetes},
	}
	fileFlags      = []string{"binary", "config", "etcd-server-cert", "etcd-server-key", "filename", "kubeconfig", "snapshot", "tls-ca", "tls-cert", "tls-key"}
	directoryFlags = []string{"bpffs", "cgroup", "data-dir", "kubernetes", "manifests", "run-dir"}
)

// offerFiles completes an argument that is a file.
var offerFiles = cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault)

// completeFlags tells shells what the flags of all commands may be, unless the
// commands do so themselves.
func completeFlags(c *cobra.Command) {
	for _, sub := range c.Commands() {
		completeFlags(sub)
	}
	complete := func(f *pflag.Flag) {
		if _, ok := c.GetFlagCompletionFunc(f.Name); ok {
			return
		}
		as := cobra.NoFileCompletions
		switch words := flagWords[f.Name]; {
		case words != nil:
			as = cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
		case slices.Contains(fileFlags, f.Name):
			as = offerFiles
		case slices.Contains(directoryFlags, f.Name):
			as = cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs)
		}
		if err := c.RegisterFlagCompletionFunc(f.Name, as); err != nil {
			panic(err) // the flag is there, and has none
		}
	}
	c.LocalNonPersistentFlags().VisitAll(complete)
	c.PersistentFlags().VisitAll(complete)
}
