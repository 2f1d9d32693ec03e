package apiserver

import (
	"strings"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
)

// doubts says whether a stored key, which nothing that is known wants, may be
// that of an object that is not known.
func (c *catalog) doubts(key string) bool {
	if len(c.unknown) == 0 {
		return false
	}
	if _, all := c.unknown[source.Key{}]; all {
		return true
	}
	k, err := clustermesh.ParseKey(key)
	if err != nil {
		return false // no object has it
	}
	for _, unit := range writers(k) {
		_, object := c.unknown[unit]
		_, kind := c.unknown[source.Key{Kind: unit.Kind}]
		if object || kind || unit.Name == "" && c.anyUnknown(unit.Kind) {
			return true
		}
	}
	return false
}

// anyUnknown says whether any object of a kind is.
func (c *catalog) anyUnknown(kind source.Kind) bool {
	if _, all := c.unknown[source.Key{}]; all {
		return true
	}
	for k := range c.unknown {
		if k.Kind == kind {
			return true
		}
	}
	return false
}

// allUnknown says whether a kind is as a whole.
func (c *catalog) allUnknown(kind source.Kind) bool {
	_, all := c.unknown[source.Key{}]
	_, its := c.unknown[source.Key{Kind: kind}]
	return all || its
}

// doubtedServices returns the Services of which it is not known what they say.
func (c *catalog) doubtedServices() doubts {
	out := doubts{all: c.allUnknown(source.Service), some: map[clustermesh.ServiceName]bool{}}
	for k := range c.unknown {
		if k.Kind == source.Service && k.Name != "" {
			out.some[clustermesh.ServiceName{Namespace: k.Namespace, Name: k.Name}] = true
		}
	}
	return out
}

// doubtedOffers returns the services of which it is not known whether we offer them, or
// with which endpoints. Those without a ServiceExport we do not, whatever else is wrong
// with them. A slice that cannot be read may be one of any service of its namespace.
func (t *term) doubtedOffers() doubts {
	c, out := t.catalog, doubts{some: map[clustermesh.ServiceName]bool{}}
	out.all = c.allUnknown(source.ServiceExport) || c.allUnknown(source.Service) || c.allUnknown(source.EndpointSlice)
	for k := range c.unknown {
		n := clustermesh.ServiceName{Namespace: k.Namespace, Name: k.Name}
		switch {
		case k.Kind == source.ServiceExport, k.Kind == source.Service && c.export(n) != nil:
			out.some[n] = true
		case k.Kind == source.EndpointSlice:
			for name := range c.exports[k.Namespace] {
				out.some[clustermesh.ServiceName{Namespace: k.Namespace, Name: name}] = true
			}
		}
	}
	if t.sweep.counts[exportsMarker] == 0 {
		return out
	}
	for key := range t.sweep.keys { // what is stored from before may still be so
		if k, err := clustermesh.ParseKey(key); err == nil && k.Kind == clustermesh.KindExports {
			out.some[nameOf(k)] = true
		}
	}
	return out
}

// writers returns the objects of the source that may want a key: without a name
// it is any of its kind.
func writers(k clustermesh.Key) []source.Key {
	namespace, name, _ := strings.Cut(k.Name, "/")
	switch k.Kind {
	case clustermesh.KindNodes:
		return []source.Key{{Kind: source.Node, Name: k.Name}}
	case clustermesh.KindServices:
		return []source.Key{{Kind: source.Service, Namespace: namespace, Name: name}}
	case clustermesh.KindExports:
		return []source.Key{
			{Kind: source.ServiceExport, Namespace: namespace, Name: name},
			{Kind: source.Service, Namespace: namespace, Name: name}, // which it tells
		}
	case clustermesh.KindSlices:
		service, slice, _ := strings.Cut(name, "/")
		out := []source.Key{
			{Kind: source.Service, Namespace: namespace, Name: service}, // says in which area they lie
			{Kind: source.EndpointSlice, Namespace: namespace, Name: slice},
		}
		if i := strings.LastIndexByte(slice, '.'); i > 0 { // a part of a big one, perhaps
			out = append(out, source.Key{Kind: source.EndpointSlice, Namespace: namespace, Name: slice[:i]})
		}
		return out
	case clustermesh.KindImports:
		derived := source.DerivedName(clustermesh.ServiceName{Namespace: namespace, Name: name})
		return []source.Key{
			{Kind: source.ServiceImport, Namespace: namespace, Name: name},
			{Kind: source.Service, Namespace: namespace, Name: derived},
		}
	case clustermesh.KindPeers:
		return []source.Key{{Kind: source.ClusterPeer, Name: k.Name}}
	case clustermesh.KindBGPPeers:
		return []source.Key{{Kind: source.BGPPeer, Name: k.Name}}
	case clustermesh.KindBGPAdverts:
		return []source.Key{{Kind: source.BGPAdvertisement, Name: k.Name}}
	case clustermesh.KindPools:
		return []source.Key{{Kind: source.AddressPool, Name: k.Name}}
	case clustermesh.KindIdentities, clustermesh.KindEndpoints:
		return []source.Key{{Kind: source.Pod}, {Kind: source.Namespace}}
	}
	return nil
}
