package kubernetes

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/json"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"tombolo.io/tombolo/api/v1alpha1"
	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/clustermesh/source/translate"
)

// kind is one kind of object that is read.
type kind struct {
	source.Kind
	resource schema.GroupVersionResource
	// ours: it exists once our CustomResourceDefinitions are installed. Without
	// it the other kinds are delivered.
	ours bool
	// optional: its definition is not ours, and nobody misses it. Otherwise it is
	// like one of ours.
	optional bool
	api      func(*client) listWatch
	// translate returns what an object means to the mesh. The nouns may be
	// changed until they are delivered.
	translate func(runtime.Object) ([]source.Object, error)
}

// apiVersion is as an object of the kind has it.
func (k kind) apiVersion() string { return k.resource.GroupVersion().String() }

var (
	core       = corev1.SchemeGroupVersion
	namespaces = core.WithResource("namespaces")
	slicesV1   = discoveryv1.SchemeGroupVersion.WithResource("endpointslices")
)

// kinds are all that are read, in the order of source.Kinds: ServiceImports are written
// here, and not read.
var kinds = []kind{
	built(source.Node, core.WithResource("nodes"), new(corev1.NodeList), translate.One(translate.Node)),
	{
		Kind: source.Namespace, resource: namespaces,
		api: func(c *client) listWatch { return labelled(c.metadata, namespaces) },
		translate: typed(func(m *metav1.PartialObjectMetadata) ([]source.Object, error) {
			return translate.One(translate.Namespace)(&corev1.Namespace{ObjectMeta: m.ObjectMeta})
		}),
	},
	built(source.Service, core.WithResource("services"), new(corev1.ServiceList), translate.Services),
	multicluster(source.ServiceExport, mcsv1beta1.ServiceExportPluralName, translate.One(translate.ServiceExport)),
	built(source.EndpointSlice, slicesV1, new(discoveryv1.EndpointSliceList), translate.Many(translate.EndpointSlices)),
	built(source.Pod, core.WithResource("pods"), new(corev1.PodList), translate.One(translate.Pod)),
	ours(source.ClusterPeer, "clusterpeers", translate.One(translate.ClusterPeer)),
	ours(source.BGPPeer, "bgppeers", translate.One(translate.BGPPeer)),
	ours(source.BGPAdvertisement, "bgpadvertisements", translate.One(translate.BGPAdvertisement)),
	ours(source.AddressPool, "addresspools", translate.One(translate.AddressPool)),
}

// built is a kind of Kubernetes' own; empty is an empty list of it.
func built[O any](k source.Kind, r schema.GroupVersionResource, empty runtime.Object, translate func(*O) ([]source.Object, error)) kind {
	api := func(c *client) listWatch {
		var in rest.Interface = c.core
		if r.Group == discoveryv1.GroupName {
			in = c.discovery
		}
		return whole(in, r.Resource, empty.DeepCopyObject)
	}
	return kind{Kind: k, resource: r, api: api, translate: typed(translate)}
}

// ours is a kind of our own group. The types of package v1alpha1 are none of
// client-go's: an object is read as JSON says it.
func ours[O any](k source.Kind, resource string, translate func(*O) ([]source.Object, error)) kind {
	r := schema.GroupVersionResource{Group: v1alpha1.Group, Version: v1alpha1.Version, Resource: resource}
	return kind{
		Kind: k, resource: r, ours: true,
		api:       func(c *client) listWatch { return custom(c.dynamic, r) },
		translate: fromJSON(translate),
	}
}

// multicluster is a kind of the Multi-cluster Services API, which an older API has
// in one version and a newer one in two.
func multicluster[O any](k source.Kind, resource string, translate func(*O) ([]source.Object, error)) kind {
	newer := schema.GroupVersionResource{Group: mcsv1beta1.GroupName, Version: mcsv1beta1.GroupVersion.Version, Resource: resource}
	older := schema.GroupVersionResource{Group: mcsv1alpha1.GroupName, Version: mcsv1alpha1.GroupVersion.Version, Resource: resource}
	return kind{
		Kind: k, resource: newer, ours: true, optional: true,
		api:       func(c *client) listWatch { return either(custom(c.dynamic, newer), custom(c.dynamic, older)) },
		translate: fromJSON(translate),
	}
}

// fromJSON makes a translator of an object one of what JSON says of it.
func fromJSON[O any](translate func(*O) ([]source.Object, error)) func(runtime.Object) ([]source.Object, error) {
	return typed(func(u *unstructured.Unstructured) ([]source.Object, error) {
		into := new(O)
		text, err := u.MarshalJSON()
		if err == nil {
			err = json.UnmarshalCaseSensitivePreserveInts(text, into)
		}
		if err != nil {
			return nil, err
		}
		return translate(into)
	})
}

// typed makes a translator of one type one of any.
func typed[O any](translate func(*O) ([]source.Object, error)) func(runtime.Object) ([]source.Object, error) {
	return func(o runtime.Object) ([]source.Object, error) {
		t, ok := any(o).(*O)
		if !ok {
			return nil, fmt.Errorf("the API answers with a %T", o)
		}
		return translate(t)
	}
}

// kindOf returns the kind of this name.
func kindOf(k source.Kind) kind {
	return kinds[slices.IndexFunc(kinds, func(o kind) bool { return o.Kind == k })]
}
