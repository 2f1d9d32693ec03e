package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/bgp"
	"tombolo.io/tombolo/internal/control"
)

// newBGP returns the commands that ask this node's speaker.
func newBGP() *cobra.Command {
	c := &cobra.Command{
		Use:   "bgp",
		Short: "Shows the BGP sessions and routes of this node",
		Long: `Shows the BGP sessions and routes of this node, as its speaker has them. Which routers
there are, and what they are told, the cluster's BGPPeers and BGPAdvertisements say;
tombolo objects shows how those stand.`,
	}
	c.AddCommand(newBGPPeers(), newBGPRoutes())
	return c
}

func newBGPPeers() *cobra.Command {
	var runDir string
	var o output
	c := &cobra.Command{
		Use:   "peers [NAME]",
		Short: "Shows the sessions with routers, and why one is not established",
		Long: `Shows the sessions of this node's speaker with routers. STATE is

  Idle         it waits for the next attempt, or for the router to call
  Connecting   it waits for the router to answer
  Opening      both tell who they are
  Established  the router has, or is being told, the routes
  Stopped      it has ended
  Refused      there is no session, because the BGPPeer cannot be used as it is

REASON is why it is not Established, or why the last session ended, in the router's
words if it gave any. IPV4 and IPV6 count the routes that the router should have.`,
		Example: `  tombolo bgp peers
  tombolo bgp peers tor -o yaml`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return peerNames(c, runDir)
		},
		RunE: func(c *cobra.Command, args []string) error {
			var peers []bgp.PeerStatus
			if err := control.NewClient(runDir, bgp.Role).Get(c.Context(), "/bgp/peers", &peers); err != nil {
				return err
			}
			if len(args) == 1 {
				peers = slices.DeleteFunc(peers, func(p bgp.PeerStatus) bool { return p.Name != args[0] })
				if len(peers) == 0 {
					return noPeer(args[0])
				}
			}
			return o.print(c.OutOrStdout(), peers, func(bool) table { return peerTable(peers, time.Now()) })
		},
	}
	o.add(c)
	runDirFlag(c.Flags(), &runDir)
	return c
}

// noPeer is the error for a name that none of this node's routers has.
func noPeer(name string) error {
	return fmt.Errorf("no BGPPeer %s is for this node; tombolo bgp peers shows those that are", name)
}

// peerNames completes the names of this node's routers.
func peerNames(c *cobra.Command, runDir string) ([]string, cobra.ShellCompDirective) {
	var peers []bgp.PeerStatus
	if err := control.NewClient(runDir, bgp.Role).Get(c.Context(), "/bgp/peers", &peers); err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, p := range peers {
		names = append(names, p.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func peerTable(peers []bgp.PeerStatus, now time.Time) table {
	t := table{header: []string{"PEER", "ADDRESS", "ASN", "LOCAL ASN", "STATE", "SINCE", "IPV4", "IPV6", "REASON"}}
	for _, p := range peers {
		since := ""
		if !p.Since.IsZero() {
			since = age(now.Sub(p.Since))
		}
		t.add(p.Name, p.Address.String(), fmt.Sprint(p.ASN), fmt.Sprint(p.LocalASN), p.State, since,
			fmt.Sprint(p.Advertised["ipv4"]), fmt.Sprint(p.Advertised["ipv6"]), p.Reason)
	}
	return t
}

func newBGPRoutes() *cobra.Command {
	var runDir, peer string
	var o output
	c := &cobra.Command{
		Use:   "routes",
		Short: "Shows what is advertised to each router, and what is held back and why",
		Long: `Shows what this node's speaker advertises to each router: the prefixes of the node's
pods, and the LoadBalancer IPs that it can serve. Held is what an advertisement asks
for and the router is not told, with the reason in a word: no-endpoint, for one, is a
service without a ready endpoint that this node may use. With -o wide: communities,
local preference, and the advertisements that ask for it.`,
		Example: `  tombolo bgp routes
  tombolo bgp routes --peer tor -o wide`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var routes []bgp.Route
			if err := control.NewClient(runDir, bgp.Role).Get(c.Context(), "/bgp/routes", &routes); err != nil {
				return err
			}
			if peer != "" {
				// A router without routes is no mistake, a name that is none is.
				if names, _ := peerNames(c, runDir); !slices.Contains(names, peer) {
					return noPeer(peer)
				}
				routes = slices.DeleteFunc(routes, func(r bgp.Route) bool { return r.Peer != peer })
			}
			return o.print(c.OutOrStdout(), routes, func(wide bool) table { return routeTable(routes, wide) })
		},
	}
	c.Flags().StringVar(&peer, "peer", "", "only those to this BGPPeer")
	c.RegisterFlagCompletionFunc("peer", withEnvironment(func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return peerNames(c, runDir)
	}))
	o.add(c, "wide")
	runDirFlag(c.Flags(), &runDir)
	return c
}

func routeTable(routes []bgp.Route, wide bool) table {
	t := table{header: []string{"PEER", "PREFIX", "NEXT HOP", "FOR", "STATE"}}
	if wide {
		t.header = append(t.header, "COMMUNITIES", "LOCAL PREF", "ADVERTISEMENTS")
	}
	for _, r := range routes {
		hop, what, state := "", "pods of this node", "advertised"
		if r.NextHop.IsValid() {
			hop = r.NextHop.String()
		}
		if r.Service != "" {
			what = "service " + r.Service
		}
		if r.Held != "" {
			state = "held: " + r.Held
		}
		row := []string{r.Peer, r.Prefix.String(), hop, what, state}
		if wide {
			row = append(row, strings.Join(r.Communities, ","), number(r.LocalPref), strings.Join(r.Advertisements, ","))
		}
		t.add(row...)
	}
	return t
}
