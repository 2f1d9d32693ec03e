package imports

import (
	"encoding/json"
	"maps"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/clustermesh/source/translate"
)

// What is ours bears Label. The annotations say of which clusters an object was made,
// and what was written: a sum of it.
const (
	Label              = translate.DerivedLabel
	clustersAnnotation = "tombolo.io/clusters"
	contentAnnotation  = "tombolo.io/content"
	// managedBy is how others see that an EndpointSlice is not theirs.
	managedBy = "apiserver.tombolo.io"
)

// fields is an object as JSON says it.
type fields = map[string]any

// object returns one of ours, without its content.
func object(apiVersion, kind string, n clustermesh.ServiceName, name string) fields {
	return fields{
		"apiVersion": apiVersion, "kind": kind,
		"metadata": fields{
			"namespace": n.Namespace, "name": name,
			"labels":      fields{Label: "true", mcs.LabelServiceName: n.Name},
			"annotations": fields{},
		},
	}
}

func meta(o fields) fields        { return o["metadata"].(fields) }
func labels(o fields) fields      { return meta(o)["labels"].(fields) }
func annotations(o fields) fields { return meta(o)["annotations"].(fields) }

// sealed returns an object with the sum of its content.
func sealed(o fields) (fields, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	annotations(o)[contentAnnotation] = source.Sum(string(text))
	return o, nil
}

// ownedBy has Kubernetes delete an object with the import that it belongs to.
func ownedBy(o fields, version, name string, uid types.UID) {
	meta(o)["ownerReferences"] = []any{fields{
		"apiVersion": mcs.GroupName + "/" + version, "kind": mcs.ServiceImportKindName, "name": name, "uid": string(uid),
	}}
}

// serviceImport returns the ServiceImport of a service, with its addresses, if it has
// any yet.
func serviceImport(version string, i *source.Imported, ips []string) fields {
	o := object(mcs.GroupName+"/"+version, mcs.ServiceImportKindName, i.Name, i.Name.Name)
	delete(labels(o), mcs.LabelServiceName) // it is no part of a service, it is one
	for k, v := range i.Labels {
		if k != Label {
			labels(o)[k] = v
		}
	}
	for k, v := range i.Annotations {
		annotations(o)[k] = v
	}
	annotations(o)[clustersAnnotation] = strings.Join(i.Clusters, ",")
	spec := fields{"type": string(mcs.ClusterSetIP), "ports": ports(i)}
	if i.Headless {
		spec["type"] = string(mcs.Headless)
	} else {
		maps.Copy(spec, preferences(i))
	}
	if len(ips) > 0 && !i.Headless {
		spec["ips"], spec["ipFamilies"] = texts(ips), families(ips)
	}
	if version == mcsv1alpha1.GroupVersion.Version { // alone, it is older than these
		for _, field := range []string{"ipFamilies", "internalTrafficPolicy", "trafficDistribution"} {
			delete(spec, field)
		}
	}
	o["spec"] = spec
	return o
}

// preferences are those fields of a service that an import and the Service derived of
// it have in common.
func preferences(i *source.Imported) fields {
	out := fields{"sessionAffinity": "None"}
	if i.SessionAffinity > 0 {
		out["sessionAffinity"] = "ClientIP"
		out["sessionAffinityConfig"] = fields{"clientIP": fields{"timeoutSeconds": int64(i.SessionAffinity.Seconds())}}
	}
	if i.InternalPolicy != clustermesh.TrafficCluster {
		out["internalTrafficPolicy"] = i.InternalPolicy.String()
	}
	switch i.Distribution {
	case clustermesh.PreferSameZone:
		out["trafficDistribution"] = "PreferClose" // by the name that every version knows
	case clustermesh.PreferSameNode:
		out["trafficDistribution"] = i.Distribution.String()
	}
	return out
}

func ports(i *source.Imported) []any {
	out := []any{}
	for _, p := range i.Ports {
		f := fields{"port": int64(p.Port), "protocol": p.Protocol.String()}
		if p.Name != "" {
			f["name"] = p.Name
		}
		if p.AppProtocol != "" {
			f["appProtocol"] = p.AppProtocol
		}
		out = append(out, f)
	}
	return out
}

func texts(in []string) (out []any) {
	for _, s := range in {
		out = append(out, s)
	}
	return out
}

func families(ips []string) (out []any) {
	for _, ip := range ips {
		if strings.Contains(ip, ":") {
			out = append(out, "IPv6")
		} else {
			out = append(out, "IPv4")
		}
	}
	return out
}

// derived returns the Service without a selector of which an import has its address;
// of a headless one it has none.
func derived(version string, i *source.Imported, uid types.UID) fields {
	o := object("v1", "Service", i.Name, source.DerivedName(i.Name))
	annotations(o)[clustersAnnotation] = strings.Join(i.Clusters, ",")
	ownedBy(o, version, i.Name.Name, uid)
	spec := fields{"type": "ClusterIP", "ports": ports(i)}
	switch {
	case i.Headless:
		spec["clusterIP"] = "None"
	default:
		maps.Copy(spec, preferences(i))
		switch i.Families {
		case clustermesh.AllFamilies:
			spec["ipFamilyPolicy"] = "PreferDualStack"
		case clustermesh.IPv4, clustermesh.IPv6:
			spec["ipFamilyPolicy"], spec["ipFamilies"] = "SingleStack", []any{i.Families.String()}
		}
	}
	o["spec"] = spec
	return o
}

// slice returns the EndpointSlice of a slice of a cluster, for the import of a service.
func slice(version string, i *source.Imported, s *source.ImportedSlice, uid types.UID) fields {
	o := object("discovery.k8s.io/v1", "EndpointSlice", i.Name, sliceName(i.Name, s))
	labels(o)[discoveryv1.LabelServiceName] = source.DerivedName(i.Name)
	ownedBy(o, version, i.Name.Name, uid)
	fill(o, s, i.Headless, func(p *clustermesh.EndpointPort) string {
		for _, q := range i.Ports {
			if q.Name == p.Name && q.Protocol == p.Protocol {
				return q.AppProtocol
			}
		}
		return ""
	})
	return o
}

// fill says whose endpoints an EndpointSlice has, and which.
func fill(o fields, s *source.ImportedSlice, headless bool, application func(*clustermesh.EndpointPort) string) {
	labels(o)[mcs.LabelSourceCluster] = s.Cluster
	labels(o)[discoveryv1.LabelManagedBy] = managedBy
	if headless {
		labels(o)["service.kubernetes.io/headless"] = ""
	}
	o["addressType"] = addressType(s)
	list := []any{}
	for k := range s.Ports {
		p := &s.Ports[k]
		f := fields{"port": int64(p.Port), "protocol": p.Protocol.String(), "name": p.Name}
		if a := application(p); a != "" {
			f["appProtocol"] = a
		}
		list = append(list, f)
	}
	o["ports"] = list
	endpoints := []any{}
	for k := range s.Endpoints {
		endpoints = append(endpoints, endpoint(&s.Endpoints[k]))
	}
	o["endpoints"] = endpoints
}

func addressType(s *source.ImportedSlice) string {
	if len(s.Endpoints) > 0 && s.Endpoints[0].Address.Is6() {
		return string(discoveryv1.AddressTypeIPv6)
	}
	return string(discoveryv1.AddressTypeIPv4)
}

// sliceName names the slice of a cluster. What an EndpointSlice may not change is part
// of the name.
func sliceName(n clustermesh.ServiceName, s *source.ImportedSlice) string {
	return "imported-" + source.Sum(n.Namespace, n.Name, s.Cluster, s.Name, addressType(s))
}

// endpoint returns an endpoint. Its node is one of its own cluster, of which others
// know nothing.
func endpoint(e *clustermesh.Endpoint) fields {
	out := fields{
		"addresses":  []any{e.Address.String()},
		"conditions": fields{"ready": e.Ready, "serving": e.Serving, "terminating": e.Terminating},
	}
	if e.Hostname != "" {
		out["hostname"] = e.Hostname
	}
	if e.Zone != "" {
		out["zone"] = e.Zone
	}
	return out
}

// addressesOf returns the cluster IPs of a Service.
func addressesOf(u *unstructured.Unstructured) (out []string) {
	ips, _, _ := unstructured.NestedStringSlice(u.Object, "spec", "clusterIPs")
	for _, ip := range ips {
		if ip != "None" && ip != "" {
			out = append(out, ip)
		}
	}
	return out
}
