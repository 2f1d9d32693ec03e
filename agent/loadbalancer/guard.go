package loadbalancer

import (
	"errors"
	"net/netip"
	"slices"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/view"
)

// inside is from where the sockets of a node come: the addresses of the node, and those
// that its pods may have.
type inside struct{ node, pods []netip.Prefix }

// insideOf returns what is known of a node, which may be nil. Where it names no prefixes
// of pods, those of its cluster count.
func insideOf(node *clustermesh.Node, cluster *clustermesh.Cluster) *inside {
	in := new(inside)
	if node != nil {
		for _, a := range node.Addresses {
			in.node = append(in.node, netip.PrefixFrom(a, a.BitLen()))
		}
		in.pods = node.PodCIDRs
	}
	if len(in.pods) == 0 && cluster != nil {
		in.pods = cluster.PodCIDRs
	}
	return in
}

func (in *inside) equal(o *inside) bool {
	return in != nil && o != nil && slices.Equal(in.node, o.node) && slices.Equal(in.pods, o.pods)
}

// guard returns whom ranges of one family keep out: a socket is let in if all addresses
// that it may have are in range.
func (in *inside) guard(ranges []netip.Prefix, v6 bool) Guard {
	g := Guard{Packets: true, Pods: true, Node: true}
	if in != nil {
		g.Node, g.Pods = !allCovered(in.node, ranges, v6), !allCovered(in.pods, ranges, v6)
	}
	return g
}

// allCovered reports whether all addresses of some prefixes of a family are in range;
// not so when there is no such prefix.
func allCovered(prefixes, ranges []netip.Prefix, v6 bool) bool {
	some := false
	for _, p := range prefixes {
		if p.Addr().Is6() != v6 {
			continue
		}
		if some = true; !covered(p, ranges) {
			return false
		}
	}
	return some
}

// covered reports whether all of a prefix is in range, in one or in several.
func covered(p netip.Prefix, ranges []netip.Prefix) bool {
	within := false
	for _, r := range ranges {
		if r.Overlaps(p) {
			if r.Bits() <= p.Bits() {
				return true
			}
			within = true
		}
	}
	if !within {
		return false
	}
	low, high := halves(p)
	return covered(low, ranges) && covered(high, ranges)
}

// halves returns those of a prefix that is none of a single address.
func halves(p netip.Prefix) (low, high netip.Prefix) {
	bits := p.Bits() + 1
	low = netip.PrefixFrom(p.Addr(), bits)
	b := p.Addr().AsSlice()
	b[(bits-1)/8] |= 1 << (7 - (bits-1)%8)
	a, _ := netip.AddrFromSlice(b)
	return low, netip.PrefixFrom(a, bits)
}

// look finds out from where the sockets of this node come, and at which addresses it has
// node ports, and marks the services that it matters for when that changed. Until the
// nodes are known nothing is said of it; of a node that is gone what was known holds.
func (l *LoadBalancer) look() {
	node := l.view.Node(view.Ours, l.config.Node)
	if node == nil && (l.inside != nil || !l.view.Synced(view.Ours, clustermesh.KindNodes)) {
		return
	}
	now := insideOf(node, l.view.Self())
	if now.equal(l.inside) {
		return
	}
	l.inside, l.nodePorts = now, nil
	for _, a := range now.node {
		if covered(a, l.config.NodePorts) {
			l.nodePorts = append(l.nodePorts, a.Addr())
		}
	}
	for name := range l.view.Services() {
		if d := l.view.Definition(name); d != nil && (len(d.SourceRanges) > 0 || slices.ContainsFunc(d.Ports, hasNodePort)) {
			l.queue.Mark(key{service: name})
		}
	}
}

func hasNodePort(p clustermesh.ServicePort) bool { return p.NodePort != 0 }

// letIn adds the ranges that a port lacks. Those for which there is no room are as good
// as none: their clients are kept out.
func (s *state) letIn(p *port, want []netip.Prefix) error {
	var errs []error
	for _, r := range want {
		if slices.Contains(p.ranges, r) {
			continue
		}
		if err := s.target.PutRange(Range{p.number, r}); err != nil {
			errs = append(errs, err)
			continue
		}
		p.ranges = append(p.ranges, r)
		s.ranges++
	}
	return errors.Join(errs...)
}

// keepOut removes the ranges that a port is not to have.
func (s *state) keepOut(p *port, want []netip.Prefix) error {
	var errs []error
	p.ranges = slices.DeleteFunc(p.ranges, func(r netip.Prefix) bool {
		if slices.Contains(want, r) {
			return false
		}
		err := s.target.DeleteRange(Range{p.number, r})
		if err == nil {
			s.ranges--
		}
		errs = append(errs, err)
		return err == nil
	})
	return errors.Join(errs...)
}

// readRanges reads those of pinned ports. A port without a frontend that has some is
// pinned as well: its number is no other's before they are removed.
func (s *state) readRanges(limits Limits) error {
	var beyond []Range
	err := s.target.EachRange(func(r Range) {
		if r.Service == 0 || r.Service >= limits.Services {
			beyond = append(beyond, r)
			return
		}
		p := s.pinned[r.Service]
		if p == nil {
			p = &port{number: r.Service, restored: true}
			s.pinned[r.Service] = p
		}
		p.ranges = append(p.ranges, r.Prefix)
		s.ranges++
	})
	for _, r := range beyond {
		err = errors.Join(err, s.target.DeleteRange(r))
	}
	return err
}
