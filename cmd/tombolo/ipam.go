package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"

	"tombolo.io/tombolo/clustermesh/apiserver"
	"tombolo.io/tombolo/clustermesh/inspect"
	"tombolo.io/tombolo/etcd"
	"tombolo.io/tombolo/internal/control"
)

func newIPAM() *cobra.Command {
	c := &cobra.Command{
		Use:   "ipam",
		Short: "Shows the pools of load-balancer addresses, who has which, and who lacks one",
		Long: `Shows the pools of load-balancer addresses (AddressPool), which service has which
address, and which service lacks one and why.`,
		Args: cobra.NoArgs,
	}
	c.AddCommand(newPools(), newAddresses(), newAddressServices())
	return c
}

func newPools() *cobra.Command {
	var f meshFlags
	var o output
	c := &cobra.Command{
		Use:   "pools",
		Short: "Shows this cluster's pools of load-balancer addresses, and how much of them is used",
		Long: `Shows this cluster's pools of load-balancer addresses: whether they are this cluster's
or the mesh's, whether services get addresses of them unasked, how many addresses they
can give out in each family, and how many are used. A pool that overlaps with an older
one gives nothing out; STATE says so. With -o wide: the addresses.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var all []inspect.Pool
			err := f.ask(c.Context(), "/ipam/pools", &all, func(ctx context.Context, client *etcd.Client) (err error) {
				all, err = inspect.Pools(ctx, client)
				return err
			})
			if err != nil {
				return err
			}
			return o.print(c.OutOrStdout(), all, func(wide bool) table { return poolTable(all, wide) })
		},
	}
	o.add(c, "wide")
	f.add(c.Flags())
	return c
}

func poolTable(all []inspect.Pool, wide bool) table {
	t := table{header: []string{"POOL", "SCOPE", "AUTO", "SELECTS", "IPV4", "IPV6", "USED", "STATE"}}
	if wide {
		t.header = append(t.header, "ADDRESSES")
	}
	for _, p := range all {
		state := "OK"
		if p.Conflict != "" {
			state = "overlaps with " + p.Conflict
		}
		row := []string{p.Name, p.Scope, yes(p.AutoAssign), yes(p.Selects), many(p.IPv4), many(p.IPv6), fmt.Sprint(p.Used), state}
		if wide {
			row = append(row, joined(p.Ranges))
		}
		t.add(row...)
	}
	return t
}

// yes is a truth in a cell.
func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// many is a number of addresses, which may be more than can be counted.
func many(n uint64) string {
	switch n {
	case 0:
		return ""
	case math.MaxUint64:
		return "2^64"
	}
	return fmt.Sprint(n)
}

func newAddresses() *cobra.Command {
	var f meshFlags
	var o output
	c := &cobra.Command{
		Use:   "addresses",
		Short: "Shows which services have and claim the addresses of pools, and which addresses rest",
		Long: `Shows which services have and claim the addresses of pools, those of other clusters in
pools of the mesh too, and which addresses rest: they were given back, and go to no
other service for a while (--address-rest of tombolo apiserver).`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var all []inspect.Address
			err := f.ask(c.Context(), "/ipam/addresses", &all, func(ctx context.Context, client *etcd.Client) (err error) {
				all, err = inspect.Addresses(ctx, client)
				return err
			})
			if err != nil {
				return err
			}
			return o.print(c.OutOrStdout(), all, func(bool) table { return addressTable(all, time.Now()) })
		},
	}
	o.add(c)
	f.add(c.Flags())
	return c
}

func addressTable(all []inspect.Address, now time.Time) table {
	t := table{header: []string{"ADDRESS", "POOL", "CLUSTER", "SERVICE", "STATE", "NAMED", "SHARING KEY", "SINCE"}}
	for _, a := range all {
		t.add(a.Address.String(), a.Pool, a.Cluster, a.Service, a.State, yes(a.Named), a.SharingKey, age(now.Sub(a.Since)))
	}
	return t
}

func newAddressServices() *cobra.Command {
	var runDir string
	var o output
	c := &cobra.Command{
		Use:   "services",
		Short: "Shows the services that lack a load-balancer address, and why, or keep one for now",
		Long: `Shows the services that lack a load-balancer address, and why; and those that
have one of which there is something to say: another service claims it, or its
pool would not give it out any more. It runs on the node of the API server that
leads.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var all []apiserver.ServiceAddresses
			if err := control.NewClient(runDir, apiserver.Role).Get(c.Context(), "/ipam/services", &all); err != nil {
				return err
			}
			return o.print(c.OutOrStdout(), all, func(bool) table { return troubleTable(all) })
		},
	}
	o.add(c)
	runDirFlag(c.Flags(), &runDir)
	return c
}

func troubleTable(all []apiserver.ServiceAddresses) table {
	t := table{header: []string{"SERVICE", "ADDRESSES", "READY", "REASON", "MESSAGE"}}
	for _, s := range all {
		for i, p := range s.Problems {
			if i == 0 {
				t.add(s.Service, joined(s.Addresses), yes(s.Ready), string(p.Reason), p.Message)
				continue
			}
			t.add("", "", "", string(p.Reason), p.Message)
		}
	}
	return t
}
