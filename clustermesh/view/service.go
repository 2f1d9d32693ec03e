package view

import (
	"cmp"
	"iter"
	"slices"
	"strings"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/global"
	"tombolo.io/tombolo/etcd"
)

// part is what one place has of a service.
type part struct {
	place *place
	// definition has a nil value while only slices are known.
	definition entry[*clustermesh.Service]
	// offered is the service as its cluster offers it to all, if it does: global and
	// shared, which that means.
	offered entry[*clustermesh.Service]
	// slices are ordered by name.
	slices []entry[*clustermesh.EndpointSlice]
}

// Services returns the names of all services that some cluster exports or ours
// has, and of our imports, in no order.
func (v *View) Services() iter.Seq[clustermesh.ServiceName] {
	return func(yield func(clustermesh.ServiceName) bool) {
		for name := range v.services {
			if !yield(name) {
				return
			}
		}
		for name := range v.imports.all {
			if !yield(name.ClusterSet()) {
				return
			}
		}
	}
}

// Service returns a service as every cluster exports it, and as ours has it. A
// cluster that did not say yet who it is, or that was removed, takes no part.
func (v *View) Service(name clustermesh.ServiceName) global.Input {
	if base, ok := name.Imports(); ok {
		return v.imported(name, base)
	}
	in := global.Input{Name: name, Node: v.node, Drains: v.drainsOf(name)}
	if self := v.Self(); self != nil {
		in.Self = self.Name
	}
	in.Zone = v.zone()
	var own []*part
	for _, p := range v.services[name] {
		if p.place.origin.cluster == Ours {
			own = append(own, p)
		} else if c := p.place.cluster; c != nil && !v.removed(p.place.origin.cluster) {
			in.Exports = append(in.Exports, export(c, p))
		}
	}
	if self := v.Self(); self != nil && len(own) > 0 {
		in.Exports = append(in.Exports, export(self, own...))
	}
	return in
}

// zone returns that of the reader's node, empty while it is in none.
func (v *View) zone() string {
	if n := v.Node(Ours, v.node); n != nil {
		return n.Zone
	}
	return ""
}

// Definition returns our own cluster's definition of a service, or nil.
func (v *View) Definition(name clustermesh.ServiceName) *clustermesh.Service {
	if base, ok := name.Imports(); ok {
		return v.reached(base)
	}
	var found entry[*clustermesh.Service]
	for _, p := range v.services[name] {
		if p.place.origin.cluster == Ours {
			found = younger(found, p.definition)
		}
	}
	return found.value
}

// export joins what a cluster's places have of a service. Ours has two while
// the service moves between export/ and private/: of an object that lies in
// both the younger counts.
func export(c *clustermesh.Cluster, parts ...*part) global.Export {
	e := global.Export{Cluster: c.Name, ClusterID: c.ID, NodeCIDRs: c.NodeCIDRs, PodCIDRs: c.PodCIDRs}
	if len(parts) == 1 {
		e.Service = parts[0].definition.value
		e.Slices = values(parts[0].slices)
		return e
	}
	var definition entry[*clustermesh.Service]
	var all []entry[*clustermesh.EndpointSlice]
	for _, p := range parts {
		definition = younger(definition, p.definition)
		all = append(all, p.slices...)
	}
	slices.SortFunc(all, func(a, b entry[*clustermesh.EndpointSlice]) int {
		return cmp.Or(cmp.Compare(a.value.Name, b.value.Name), cmp.Compare(b.revision, a.revision))
	})
	all = slices.CompactFunc(all, func(a, b entry[*clustermesh.EndpointSlice]) bool { return a.value.Name == b.value.Name })
	e.Service, e.Slices = definition.value, values(all)
	return e
}

// younger returns the entry that was written later.
func younger[T any](a, b entry[T]) entry[T] {
	if b.revision > a.revision {
		return b
	}
	return a
}

func values[T any](entries []entry[T]) []T {
	out := make([]T, len(entries))
	for i, e := range entries {
		out[i] = e.value
	}
	return out
}

func partOf(parts []*part, p *place) *part {
	for _, have := range parts {
		if have.place == p {
			return have
		}
	}
	return nil
}

// setPart stores a service or a slice of a place, or removes it.
func (v *View) setPart(p *place, name clustermesh.ServiceName, k clustermesh.Key, e etcd.Event[clustermesh.Object], c *Changes) {
	parts := v.services[name]
	have := partOf(parts, p)
	if have == nil {
		have = &part{place: p}
		v.services[name] = append(parts, have)
		p.parts++
	}
	switch k.Kind {
	case clustermesh.KindServices:
		before := have.definition.value
		have.define(e)
		if p.origin.cluster == Ours {
			v.imports.own(before, have.definition.value, c)
		}
	case clustermesh.KindExports:
		have.offer(e)
	default:
		have.setSlice(k.Name, e)
	}
	if have.definition.value != nil || have.offered.value != nil || len(have.slices) > 0 {
		return
	}
	p.parts--
	rest := slices.DeleteFunc(v.services[name], func(q *part) bool { return q == have })
	if len(rest) == 0 {
		delete(v.services, name)
	} else {
		v.services[name] = rest
	}
}

func (p *part) define(e etcd.Event[clustermesh.Object]) {
	p.definition = entry[*clustermesh.Service]{}
	if s, ok := e.Value.(*clustermesh.Service); ok {
		p.definition = entry[*clustermesh.Service]{s, e.Revision}
	}
}

func (p *part) offer(e etcd.Event[clustermesh.Object]) {
	p.offered = entry[*clustermesh.Service]{}
	if x, ok := e.Value.(*clustermesh.ServiceExport); ok {
		s := x.Service
		s.Global, s.Shared = true, true
		p.offered = entry[*clustermesh.Service]{&s, e.Revision}
	}
}

// setSlice stores or removes the slice of a key's name, namespace/service/slice.
func (p *part) setSlice(name string, e etcd.Event[clustermesh.Object]) {
	name = name[strings.LastIndexByte(name, '/')+1:]
	i, found := slices.BinarySearchFunc(p.slices, name, func(s entry[*clustermesh.EndpointSlice], name string) int {
		return cmp.Compare(s.value.Name, name)
	})
	s, put := e.Value.(*clustermesh.EndpointSlice)
	switch now := (entry[*clustermesh.EndpointSlice]{s, e.Revision}); {
	case put && found:
		p.slices[i] = now
	case put:
		p.slices = slices.Insert(p.slices, i, now)
	case found:
		p.slices = slices.Delete(p.slices, i, i+1)
	}
}
