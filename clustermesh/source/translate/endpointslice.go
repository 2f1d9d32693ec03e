package translate

import (
	"cmp"
	"hash/fnv"
	"slices"
	"strconv"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"tombolo.io/tombolo/clustermesh"
)

// EndpointSlices translates an EndpointSlice into slices of at most
// clustermesh.MaxSliceEndpoints endpoints: none for one that belongs to no
// service, holds host names or was imported from another cluster, usually one,
// several for a bigger one.
func EndpointSlices(s *discoveryv1.EndpointSlice) ([]*clustermesh.EndpointSlice, error) {
	c := &checker{}
	c.name(&s.ObjectMeta, true)
	switch s.AddressType {
	case discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6, discoveryv1.AddressTypeFQDN:
	default:
		c.wrong("addressType", "%q is not IPv4, IPv6 or FQDN", s.AddressType)
	}
	service := s.Labels[discoveryv1.LabelServiceName]
	if service != "" && len(validation.IsDNS1123Subdomain(service)) > 0 {
		c.errs = append(c.errs, &FieldError{
			Path:   []string{"metadata", "labels", discoveryv1.LabelServiceName},
			Reason: strconv.Quote(service) + " is not the name of a service",
		})
	}
	whole := &clustermesh.EndpointSlice{
		Service:   clustermesh.ServiceName{Namespace: s.Namespace, Name: service},
		Name:      s.Name,
		Ports:     c.endpointPorts(s.Ports),
		Endpoints: c.endpoints(s),
	}
	_, imported := s.Labels[v1beta1.LabelSourceCluster]
	if err := c.err(); err != nil || service == "" || imported || s.AddressType == discoveryv1.AddressTypeFQDN {
		return nil, err
	}
	parts := split(whole)
	for _, p := range parts {
		c.valid(p)
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	return parts, nil
}

func (c *checker) endpointPorts(in []discoveryv1.EndpointPort) []clustermesh.EndpointPort {
	var out []clustermesh.EndpointPort
	for i, p := range in {
		path := at("ports", i)
		if p.Port == nil {
			c.wrong(path+".port", "is missing; a port that means all ports is not supported")
			continue
		}
		port := clustermesh.EndpointPort{
			Protocol: clustermesh.TCP,
			Port:     between[uint16](c, path+".port", int64(*p.Port), 1, 65535),
		}
		if p.Name != nil {
			port.Name = *p.Name
		}
		if p.Protocol != nil {
			port.Protocol = c.protocol(path+".protocol", *p.Protocol)
		}
		out = append(out, port)
	}
	return out
}

// endpoints reads the endpoints in the order of their addresses, each pod once.
// Kubernetes lets an endpoint have several addresses but gives only the first
// a meaning.
func (c *checker) endpoints(s *discoveryv1.EndpointSlice) []clustermesh.Endpoint {
	var out []clustermesh.Endpoint
	for i, e := range s.Endpoints {
		if s.AddressType == discoveryv1.AddressTypeFQDN {
			break
		}
		path := at("endpoints", i)
		if len(e.Addresses) == 0 {
			c.wrong(path+".addresses", "is empty")
			continue
		}
		a, ok := c.addr(path+".addresses.0", e.Addresses[0])
		if !ok {
			continue
		}
		if a.Is4() != (s.AddressType == discoveryv1.AddressTypeIPv4) {
			c.wrong(path+".addresses.0", "%s is not of the slice's address type %s", a, s.AddressType)
			continue
		}
		out = append(out, endpoint(&e, clustermesh.Endpoint{Address: a}))
	}
	slices.SortStableFunc(out, func(a, b clustermesh.Endpoint) int {
		return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.PodUID, b.PodUID))
	})
	return slices.CompactFunc(out, func(a, b clustermesh.Endpoint) bool {
		return a.Address == b.Address && a.PodUID == b.PodUID
	})
}

func endpoint(e *discoveryv1.Endpoint, out clustermesh.Endpoint) clustermesh.Endpoint {
	if t := e.TargetRef; t != nil && (t.Kind == "Pod" || t.Kind == "") {
		out.PodUID = string(t.UID)
	}
	out.Node = deref(e.NodeName, "")
	out.Zone = deref(e.Zone, "")
	out.Hostname = deref(e.Hostname, "")
	// An unknown condition means ready, serving as ready says, not terminating.
	out.Ready = deref(e.Conditions.Ready, true)
	out.Serving = deref(e.Conditions.Serving, out.Ready)
	out.Terminating = deref(e.Conditions.Terminating, false)
	// Kubernetes says ready of a terminating endpoint only to publish it
	// whatever its state; the mesh does not (clustermesh.Endpoint).
	out.Ready = out.Ready && !out.Terminating
	return out
}

func deref[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// split divides a slice by a hash of each endpoint's address, into the
// smallest power of two of parts that are small enough. An endpoint that comes
// or goes so changes one part and not all those behind it.
func split(s *clustermesh.EndpointSlice) []*clustermesh.EndpointSlice {
	if len(s.Endpoints) <= clustermesh.MaxSliceEndpoints {
		return []*clustermesh.EndpointSlice{s}
	}
	for n := uint32(2); ; n *= 2 {
		parts := make([][]clustermesh.Endpoint, n)
		for _, e := range s.Endpoints {
			h := fnv.New32a()
			h.Write(e.Address.AsSlice())
			i := h.Sum32() % n
			parts[i] = append(parts[i], e)
		}
		largest := slices.MaxFunc(parts, func(a, b []clustermesh.Endpoint) int { return cmp.Compare(len(a), len(b)) })
		if len(largest) <= clustermesh.MaxSliceEndpoints {
			return named(s, parts)
		}
	}
}

// named gives each part that is not empty a name of its own: the slice's, and
// the number of the part.
func named(s *clustermesh.EndpointSlice, parts [][]clustermesh.Endpoint) []*clustermesh.EndpointSlice {
	var out []*clustermesh.EndpointSlice
	for i, p := range parts {
		if len(p) > 0 {
			out = append(out, &clustermesh.EndpointSlice{
				Service: s.Service, Name: s.Name + "." + strconv.Itoa(i), Ports: s.Ports, Endpoints: p,
			})
		}
	}
	return out
}
