package translate

import (
	"maps"
	"slices"
	"time"

	"sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
)

// ServiceExport translates a ServiceExport of any version: all have the same fields.
func ServiceExport(e *v1beta1.ServiceExport) (*source.Export, error) {
	c := &checker{}
	c.name(&e.ObjectMeta, true)
	out := &source.Export{
		Service:     clustermesh.ServiceName{Namespace: e.Namespace, Name: e.Name},
		Created:     e.CreationTimestamp.UTC().Truncate(time.Second),
		Labels:      e.Spec.ExportedLabels,
		Annotations: e.Spec.ExportedAnnotations,
	}
	c.labels("spec.exportedLabels", out.Labels)
	for _, k := range slices.Sorted(maps.Keys(out.Annotations)) {
		c.labelKey([]string{"spec", "exportedAnnotations", k}, k)
	}
	c.valid(&clustermesh.ServiceExport{
		Service: clustermesh.Service{Name: out.Service}, Created: out.Created, Labels: out.Labels, Annotations: out.Annotations,
	})
	if err := c.err(); err != nil {
		return nil, err
	}
	return out, nil
}
