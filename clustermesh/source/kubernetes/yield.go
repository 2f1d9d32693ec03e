package kubernetes

import (
	"net/netip"
	"slices"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
)

// yield lets go of the missing Services of which another has an address now: an API gives
// no address twice, so they are gone, whatever is thought of the list. To keep them would
// lead whoever dials the address to the backends of before. What another store says is no
// evidence.
func (b *book) yield() {
	s := b.shelves[source.Service]
	if !b.moved || s.unverified || s.foreign() {
		return
	}
	if b.moved = false; len(s.missing) == 0 {
		return
	}
	taken := map[netip.Addr]struct{}{}
	for key, objects := range s.held {
		if _, missing := s.missing[key]; !missing {
			for _, a := range addresses(objects) {
				taken[a] = struct{}{}
			}
		}
	}
	for key := range s.missing {
		if slices.ContainsFunc(addresses(s.held[key]), func(a netip.Addr) bool { _, ok := taken[a]; return ok }) {
			b.gone(key)
		}
	}
}

// addresses returns those that the API gave a Service, or one that was derived.
func addresses(objects []source.Object) (out []netip.Addr) {
	for _, o := range objects {
		switch o := o.(type) {
		case *clustermesh.Service:
			out = append(out, o.ClusterIPs...)
		case *source.ImportAddress:
			out = append(out, o.IPs...)
		}
	}
	return out
}
