package imports

import (
	"context"
	"errors"
	"fmt"

	discoveryv1 "k8s.io/api/discovery/v1"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
)

// A global Service that wishes it has EndpointSlices of the other clusters that share
// it, for whoever finds endpoints in the API: DNS of a headless one, a gateway. They
// need no Multi-cluster Services API.

// show writes the slices of global Services.
func (w *Writer) show(ctx context.Context) error {
	var errs []error
	for name, g := range w.set.Globals {
		if w.shown[name] == g {
			continue
		}
		if !w.leads() || ctx.Err() != nil {
			return errors.Join(append(errs, ctx.Err())...)
		}
		var failed error
		for k := range g.Slices {
			o := globalSlice(w.set.Cluster, g, &g.Slices[k])
			_, err := w.put(ctx, ref{endpointSlices, name.Namespace, meta(o)["name"].(string)}, o)
			failed = errors.Join(failed, err)
		}
		if failed != nil && !ending(failed) {
			errs = append(errs, fmt.Errorf("showing the endpoints of %s: %w", name, failed))
			continue
		}
		w.shown[name] = g
	}
	return errors.Join(errs...)
}

// globalSlice returns the EndpointSlice of a slice of another cluster, for the Service of
// ours. It is made of what either of them says.
func globalSlice(self string, g *source.Global, s *source.ImportedSlice) fields {
	o := object("discovery.k8s.io/v1", "EndpointSlice", g.Name, globalName(g.Name, s))
	delete(labels(o), mcs.LabelServiceName) // it is none of an import
	labels(o)[discoveryv1.LabelServiceName] = g.Name.Name
	annotations(o)[clustersAnnotation] = self + "," + s.Cluster
	if g.UID != "" { // it goes with the Service, whoever leads then
		meta(o)["ownerReferences"] = []any{fields{"apiVersion": "v1", "kind": "Service", "name": g.Name.Name, "uid": g.UID}}
	}
	fill(o, s, g.Headless, func(*clustermesh.EndpointPort) string { return "" })
	return o
}

// globalName names such a slice. What an EndpointSlice may not change is part of the
// name.
func globalName(n clustermesh.ServiceName, s *source.ImportedSlice) string {
	return "shared-" + source.Sum(n.Namespace, n.Name, s.Cluster, s.Name, addressType(s))
}
