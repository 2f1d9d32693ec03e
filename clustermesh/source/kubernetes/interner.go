package kubernetes

import (
	"maps"
	"slices"
	"strings"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
)

// interner has equal values share their memory: pods of one set have the same
// labels, endpoints of one node its name. It forgets all when it has too many,
// so that it holds no more than that of what is gone.
type interner struct {
	texts  map[string]string
	labels map[string]map[string]string
}

// maxInterned is how many texts, and how many sets of labels, are kept to be
// shared: more than a cluster has nodes and sets of pods.
const maxInterned = 20_000

// intern shares what a noun has in common with others.
func (in *interner) intern(o source.Object) {
	switch o := o.(type) {
	case *clustermesh.EndpointSlice:
		for i := range o.Endpoints {
			e := &o.Endpoints[i]
			e.Node, e.Zone = in.text(e.Node), in.text(e.Zone)
		}
	case *source.Workload:
		o.Node, o.Namespace, o.ServiceAccount = in.text(o.Node), in.text(o.Namespace), in.text(o.ServiceAccount)
		o.Labels = in.set(o.Labels)
	}
}

func (in *interner) text(s string) string {
	if s == "" {
		return ""
	}
	if known, ok := in.texts[s]; ok {
		return known
	}
	if in.texts == nil || len(in.texts) >= maxInterned {
		in.texts = map[string]string{}
	}
	in.texts[s] = s
	return s
}

// set returns a set of labels equal to this one.
func (in *interner) set(labels map[string]string) map[string]string {
	if len(labels) == 0 {
		return labels
	}
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		b.WriteString(k + "=" + labels[k] + ",") // neither '=' nor ',' is part of a label
	}
	if known, ok := in.labels[b.String()]; ok {
		return known
	}
	if in.labels == nil || len(in.labels) >= maxInterned {
		in.labels = map[string]map[string]string{}
	}
	in.labels[b.String()] = labels
	return labels
}
