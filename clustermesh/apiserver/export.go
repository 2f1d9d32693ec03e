package apiserver

import (
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
)

func exportUnit(n clustermesh.ServiceName) source.Key {
	return source.Key{Kind: source.ServiceExport, Namespace: n.Namespace, Name: n.Name}
}

// export returns what asks that a service be offered to all clusters, or nil.
func (c *catalog) export(n clustermesh.ServiceName) *source.Export {
	if o := c.objects[exportUnit(n)]; len(o) > 0 {
		return o[0].(*source.Export)
	}
	return nil
}

// offered returns what the other clusters are told of a service that somebody asks
// to offer; nil when nobody does, or when it is none that can be.
func (c *catalog) offered(n clustermesh.ServiceName) *clustermesh.ServiceExport {
	e, s := c.export(n), c.service(n)
	if e == nil || s == nil || !s.Exportable() {
		return nil
	}
	return &clustermesh.ServiceExport{
		Service: s.Offer(), Created: e.Created, Labels: e.Labels, Annotations: e.Annotations, Families: s.IPFamilies(),
	}
}

// offeredStill says whether a service is stored as one that is offered, though
// nobody wants it there: see lingers.
func (t *term) offeredStill(n clustermesh.ServiceName) bool {
	e := &clustermesh.ServiceExport{Service: clustermesh.Service{Name: n}}
	_, ok := t.sweep.keys[clustermesh.KeyOf(clustermesh.Export, e).String()]
	return ok
}
