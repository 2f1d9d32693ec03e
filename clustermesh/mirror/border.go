package mirror

import (
	"fmt"
	"net/netip"
	"slices"

	"tombolo.io/tombolo/clustermesh"
)

// Admit judges whether the cluster that a configured peer says to be may join:
// nil, or why not. Self is our cluster; admitted are the clusters that are
// mirrored, by the name of their peer, and have what they have: whoever comes
// later with the same is refused. The peer's own entry does not count.
func Admit(self *clustermesh.Cluster, admitted map[string]*clustermesh.Cluster, peer string, said *clustermesh.Cluster) error {
	switch {
	case said.Name != peer:
		return fmt.Errorf("it calls itself %q, and is configured as %q", said.Name, peer)
	case said.Name == self.Name:
		return fmt.Errorf("it has our own name %q", self.Name)
	}
	if err := clash(said, self, "ours"); err != nil {
		return err
	}
	for _, name := range sortedKeys(admitted) {
		if name == peer {
			continue
		}
		if err := clash(said, admitted[name], fmt.Sprintf("that of %q", name)); err != nil {
			return err
		}
	}
	return nil
}

// clash says what two clusters both claim, nil when nothing.
func clash(said, other *clustermesh.Cluster, whose string) error {
	if said.ID == other.ID {
		return fmt.Errorf("its id %d is %s", said.ID, whose)
	}
	for _, a := range routed(said) {
		for _, b := range routed(other) {
			if a.prefix.Overlaps(b.prefix) {
				return fmt.Errorf("its %s CIDR %s overlaps %s, %s CIDR %s", a.of, a.prefix, whose, b.of, b.prefix)
			}
		}
	}
	return nil
}

type claim struct {
	of     string
	prefix netip.Prefix
}

// routed returns what a cluster claims of the address space that all share.
func routed(c *clustermesh.Cluster) []claim {
	var out []claim
	for _, p := range c.PodCIDRs {
		out = append(out, claim{"pod", p})
	}
	for _, p := range c.NodeCIDRs {
		out = append(out, claim{"node", p})
	}
	return out
}

// fits judges whether an object may come from a cluster: nil, or why not. A
// cluster speaks only for its own addresses and identities, so that none can
// draw another's traffic to itself.
func fits(c *clustermesh.Cluster, o clustermesh.Object) error {
	switch o := o.(type) {
	case *clustermesh.EndpointSlice:
		for i := range o.Endpoints {
			if err := within(o.Endpoints[i].Address, "pod or node", c.PodCIDRs, c.NodeCIDRs); err != nil {
				return err
			}
		}
	case *clustermesh.Node:
		return nodeFits(c, o)
	case *clustermesh.EndpointIdentity:
		if o.Identity.Cluster() != c.ID {
			return fmt.Errorf("identity %d is not of cluster %d", o.Identity, c.ID)
		}
		return within(o.Address, "pod or node", c.PodCIDRs, c.NodeCIDRs)
	case *clustermesh.Identity:
		if o.ID.Cluster() != c.ID {
			return fmt.Errorf("identity %d is not of cluster %d", o.ID, c.ID)
		}
	}
	return nil
}

func nodeFits(c *clustermesh.Cluster, n *clustermesh.Node) error {
	for _, a := range n.Addresses {
		if err := within(a, "node", c.NodeCIDRs); err != nil {
			return err
		}
	}
	if n.Gossip.IsValid() {
		if err := within(n.Gossip.Addr(), "node", c.NodeCIDRs); err != nil {
			return err
		}
	}
	for _, p := range n.PodCIDRs {
		if !slices.ContainsFunc(c.PodCIDRs, func(of netip.Prefix) bool { return of.Bits() <= p.Bits() && of.Contains(p.Addr()) }) {
			return fmt.Errorf("prefix %s is outside of its cluster's pod CIDRs", p)
		}
	}
	return nil
}

// within says when an address is in none of the prefixes, which are called so.
func within(a netip.Addr, called string, prefixes ...[]netip.Prefix) error {
	for _, ps := range prefixes {
		for _, p := range ps {
			if p.Contains(a) {
				return nil
			}
		}
	}
	return fmt.Errorf("address %s is outside of its cluster's %s CIDRs", a, called)
}
