package apiserver

import (
	"fmt"
	"net/netip"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
)

// reach knows under which addresses the imports of services are reached here, as the
// source says it.
type reach struct {
	// imports are those addresses by the unit that names them: a ServiceImport, or the
	// Service that was derived of one.
	imports map[clustermesh.ServiceName]map[source.Key][]netip.Addr
	// holders are what names an address, by its unit: imports and Services.
	holders map[netip.Addr]map[source.Key]source.Object
	// missed are the imports whose address was found to be gone by comparing
	// everything, which is less sure than a deletion that was seen.
	missed map[clustermesh.ServiceName]bool
}

func newReach() *reach {
	return &reach{
		imports: map[clustermesh.ServiceName]map[source.Key][]netip.Addr{},
		holders: map[netip.Addr]map[source.Key]source.Object{}, missed: map[clustermesh.ServiceName]bool{},
	}
}

// replace takes in what a unit says now, and adds to touched the imports of which
// something may be different. full: that was found by comparing everything.
func (r *reach) replace(k source.Key, before, now []source.Object, full bool, touched map[clustermesh.ServiceName]struct{}) {
	for _, o := range before {
		r.name(k, o, false, touched)
		if i, ok := o.(*source.ImportAddress); ok {
			keepIn(r.imports, i.Service, k, nil, false)
			delete(r.missed, i.Service)
			if full {
				r.missed[i.Service] = true
			}
		}
	}
	for _, o := range now {
		r.name(k, o, true, touched)
		if i, ok := o.(*source.ImportAddress); ok {
			keepIn(r.imports, i.Service, k, i.IPs, true)
			delete(r.missed, i.Service)
		}
	}
}

// name makes an object one that names its addresses, or no longer.
func (r *reach) name(k source.Key, o source.Object, on bool, touched map[clustermesh.ServiceName]struct{}) {
	var ips []netip.Addr
	switch o := o.(type) {
	case *clustermesh.Service:
		ips = o.ClusterIPs
	case *source.ImportAddress:
		ips, touched[o.Service] = o.IPs, struct{}{}
	}
	for _, a := range ips {
		keepIn(r.holders, a, k, o, on)
		for _, other := range r.holders[a] {
			if i, ok := other.(*source.ImportAddress); ok {
				touched[i.Service] = struct{}{}
			}
		}
	}
}

// addresses returns those of the import of a service: what a ServiceImport names, else
// what the Service has that was derived of it. An address that a Service of the
// cluster has is none, and an error.
func (r *reach) addresses(n clustermesh.ServiceName) (ips []netip.Addr, err error) {
	var named []netip.Addr
	for k, these := range r.imports[n] {
		if named == nil || k.Kind == source.ServiceImport {
			named = these
		}
	}
	for _, a := range named {
		if s := r.owner(a); s != nil {
			err = fmt.Errorf("%v is the address of Service %v; name one that nobody has", a, s.Name)
			continue
		}
		ips = append(ips, a)
	}
	return ips, err
}

// others says whether a Service other than one has an address, be it derived. What a
// ServiceImport names was not given by anybody.
func (r *reach) others(a netip.Addr, unit source.Key) bool {
	for k := range r.holders[a] {
		if k.Kind == source.Service && k != unit {
			return true
		}
	}
	return false
}

// owner returns the Service that has an address, or nil.
func (r *reach) owner(a netip.Addr) (found *clustermesh.Service) {
	for _, o := range r.holders[a] {
		if s, ok := o.(*clustermesh.Service); ok && (found == nil || s.Name.String() < found.Name.String()) {
			found = s
		}
	}
	return found
}
