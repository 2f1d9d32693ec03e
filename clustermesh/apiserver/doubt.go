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
