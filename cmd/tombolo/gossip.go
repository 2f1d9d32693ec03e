package main

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/agent"
	"tombolo.io/tombolo/clustermesh/apiserver"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/internal/control"
)

// gossipActions are what an API server does about gossip, while it leads.
func gossipActions(server *apiserver.APIServer, client *etcd.Client) map[string]control.Page {
	return map[string]control.Page{"/gossip/rotate": func(r *http.Request) (any, error) {
		return struct{}{}, inTime(r, client, askStore, server.RotateGossip)
	}}
}

func newGossip() *cobra.Command {
	var runDir string
	var o output
	c := &cobra.Command{
		Use:   "gossip",
		Short: "Shows with whom this node's agent gossips; rotate exchanges the key",
		Long: `Shows with whom this node's agent gossips: which agents of its cluster it hears
(alive), which have left in order, which it hears no more (lost) and which it never
heard, and by which keys they know each other, by name, the one in use first.

Gossip carries suspicions of dead nodes within a cluster, so that its agents share
the watching. An agent that hears no other watches all nodes itself; that an agent
is lost moves no connection.`,
		Example: `  tombolo gossip
  tombolo gossip rotate`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var s agent.Gossip
			if err := control.NewClient(runDir, agent.Role).Get(c.Context(), "/gossip", &s); err != nil {
				return err
			}
			if err := o.print(c.OutOrStdout(), s, func(bool) table { return gossipTable(&s, time.Now()) }); err != nil || o.format != "table" {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "\nkeys: %s\n", strings.Join(s.Keys, ", "))
			if s.Problem != "" {
				fmt.Fprintln(c.OutOrStdout(), "problem:", s.Problem)
			}
			return nil
		},
	}
	o.add(c)
	runDirFlag(c.PersistentFlags(), &runDir)
	c.AddCommand(&cobra.Command{
		Use:   "rotate",
		Short: "Exchanges the key of this cluster's gossip for a new one, without a gap",
		Long: `Exchanges the key of this cluster's gossip for a new one: it is installed on all
agents, then used, then the old one is removed, each when all have taken the step
before; that takes a second or two. It runs on the node of the API server that
leads, and returns when the new key is stored; tombolo gossip shows how far it is.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			err := control.NewClient(runDir, apiserver.Role).Post(c.Context(), "/gossip/rotate", &struct{}{})
			return elsewhere(c.Context(), runDir, err)
		},
	})
	return c
}

func gossipTable(s *agent.Gossip, now time.Time) table {
	t := table{header: []string{"NODE", "ADDRESS", "STATE", "FOR"}}
	for _, m := range s.Members {
		lasts := ""
		if !m.Since.IsZero() {
			lasts = age(now.Sub(m.Since))
		}
		t.add(m.Node, m.Address.String(), string(m.State), lasts)
	}
	return t
}
