package translate

import (
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
)

// DerivedLabel is borne by what was made of what all clusters offer together: it is
// none of the cluster's own.
const DerivedLabel = "tombolo.io/imported"

// Services translates a Service: into one, with a wish for slices if it is global and has
// that; or, if it is derived, into the addresses of the import that it was derived of.
func Services(s *corev1.Service) ([]source.Object, error) {
	if _, derived := s.Labels[DerivedLabel]; !derived {
		one, err := Service(s)
		if err != nil {
			return nil, err
		}
		out := []source.Object{one}
		if one.Global && new(checker).wishes(s.Annotations, one.Headless).slices {
			out = append(out, &source.SliceWish{Service: one.Name, UID: string(s.UID)})
		}
		return out, nil
	}
	of := clustermesh.ServiceName{Namespace: s.Namespace, Name: s.Labels[v1beta1.LabelServiceName]}
	c := &checker{}
	ips := c.clusterIPs(&s.Spec)
	if err := c.err(); err != nil || len(ips) == 0 || s.Name != source.DerivedName(of) {
		return nil, err
	}
	return []source.Object{&source.ImportAddress{Service: of, IPs: ips}}, nil
}

// ServiceImports translates a ServiceImport of a manifest, where nobody but its author
// gives it addresses: into these. What it says besides is not asked: the exports say it.
func ServiceImports(i *v1beta1.ServiceImport) ([]source.Object, error) {
	c := &checker{}
	c.name(&i.ObjectMeta, true)
	out := &source.ImportAddress{Service: clustermesh.ServiceName{Namespace: i.Namespace, Name: i.Name}}
	switch i.Spec.Type {
	case v1beta1.ClusterSetIP:
		if len(i.Spec.IPs) == 0 {
			c.wrong("spec.ips", "is empty; name the addresses under which the service is to be reached in this cluster, one of a family")
		}
	case v1beta1.Headless:
		if len(i.Spec.IPs) > 0 {
			c.wrong("spec.ips", "must be empty: a headless import has no address")
		}
	default:
		c.wrong("spec.type", "%q is not ClusterSetIP or Headless", i.Spec.Type)
	}
	for k, s := range i.Spec.IPs {
		if a, ok := c.addr(at("spec.ips", k), s); ok {
			out.IPs = append(out.IPs, a)
		}
	}
	c.valid(&clustermesh.Service{Name: out.Service, ClusterIPs: out.IPs})
	if err := c.err(); err != nil || len(out.IPs) == 0 {
		return nil, err
	}
	return []source.Object{out}, nil
}
