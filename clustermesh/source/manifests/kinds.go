package manifests

import (
	gojson "encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"tombolo.io/tombolo/api/v1alpha1"
	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/clustermesh/source/translate"
)

// typeName is how a document names what it is.
type typeName struct{ apiVersion, kind string }

// String returns "discovery.k8s.io/v1 EndpointSlice".
func (n typeName) String() string { return n.apiVersion + " " + n.kind }

// kinds are the documents that we read.
var kinds = map[typeName]reader{
	{"v1", "Node"}:                           read(source.Node, translate.One(translate.Node)),
	{"v1", "Namespace"}:                      read(source.Namespace, translate.One(translate.Namespace)),
	{"v1", "Service"}:                        read(source.Service, translate.Services),
	{"v1", "Pod"}:                            read(source.Pod, translate.One(translate.Pod)),
	{"discovery.k8s.io/v1", "EndpointSlice"}: read(source.EndpointSlice, translate.Many(translate.EndpointSlices)),
	{mcsv1alpha1.GroupVersion.String(), "ServiceExport"}: read(source.ServiceExport, translate.One(translate.ServiceExport)),
	{mcsv1beta1.GroupVersion.String(), "ServiceExport"}:  read(source.ServiceExport, translate.One(translate.ServiceExport)),
	{mcsv1alpha1.GroupVersion.String(), "ServiceImport"}: read(source.ServiceImport, translate.ServiceImports),
	{mcsv1beta1.GroupVersion.String(), "ServiceImport"}:  read(source.ServiceImport, translate.ServiceImports),
	{v1alpha1.APIVersion, "ClusterPeer"}:                 read(source.ClusterPeer, translate.One(translate.ClusterPeer)),
	{v1alpha1.APIVersion, "BGPPeer"}:                     read(source.BGPPeer, translate.One(translate.BGPPeer)),
	{v1alpha1.APIVersion, "BGPAdvertisement"}:            read(source.BGPAdvertisement, translate.One(translate.BGPAdvertisement)),
	{v1alpha1.APIVersion, "AddressPool"}:                 read(source.AddressPool, translate.One(translate.AddressPool)),
}

// mistyped returns what is wrong with a type that looks as if it were meant to be one
// of kinds; nil is that it is somebody else's.
func mistyped(name typeName) error {
	var ours []string
	for known := range kinds {
		switch {
		case known.group() != name.group():
		case known.kind == name.kind:
			return fieldError([]string{"apiVersion"}, fmt.Sprintf("%q: %s is read as %s", name.apiVersion, name.kind, known.apiVersion))
		default:
			ours = append(ours, known.kind)
		}
	}
	if name.group() != v1alpha1.Group {
		return nil
	}
	slices.Sort(ours)
	return fieldError([]string{"kind"}, fmt.Sprintf("%q is no kind of %s, which are %s", name.kind, v1alpha1.APIVersion, strings.Join(ours, ", ")))
}

// group returns the API group, which is empty for Kubernetes' core.
func (n typeName) group() string {
	if group, _, ok := strings.Cut(n.apiVersion, "/"); ok {
		return group
	}
	return ""
}

// reader reads one kind.
type reader struct {
	kind source.Kind
	// read decodes and translates the JSON of one object. Its error joins
	// *translate.FieldErrors where the field is known.
	read func(text []byte) ([]source.Object, error)
}

func read[O any, P interface {
	*O
	metav1.Object
}](kind source.Kind, translate func(*O) ([]source.Object, error)) reader {
	return reader{kind, func(text []byte) ([]source.Object, error) {
		object := new(O)
		if err := decodeStrict(text, object); err != nil {
			return nil, err
		}
		meta := P(object)
		if kind.Namespaced() && meta.GetNamespace() == "" {
			meta.SetNamespace(metav1.NamespaceDefault)
		}
		if !kind.Namespaced() && meta.GetNamespace() != "" {
			return nil, fieldError([]string{"metadata", "namespace"}, fmt.Sprintf("a %s has none", kind))
		}
		return translate(object)
	}}
}

// decodeStrict decodes JSON as a Kubernetes API server does under strict
// validation, and names the field of each mistake.
func decodeStrict(text []byte, to any) error {
	mistakes, err := json.UnmarshalStrict(text, to)
	var wrongType *gojson.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		return fieldError(pathAt(text, wrongType.Offset), "wants "+typeWord(wrongType)+", is "+article(wrongType.Value))
	}
	if err != nil {
		return err
	}
	var all []error
	for _, m := range mistakes {
		if f, ok := m.(json.FieldError); ok {
			reason, _, _ := strings.Cut(m.Error(), " \"")
			all = append(all, fieldError(parsePath(f.FieldPath()), reason))
			continue
		}
		all = append(all, m)
	}
	return errors.Join(all...)
}

// typeWord names the JSON type that a Go type is decoded from.
func typeWord(e *gojson.UnmarshalTypeError) string {
	switch e.Type.Kind() {
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	}
	return "a number (" + e.Type.String() + ")"
}

// article puts one before what encoding/json calls a value.
func article(value string) string {
	switch value {
	case "object":
		return "an object"
	case "array":
		return "a list"
	}
	return "a " + value
}

func fieldError(path []string, reason string) error {
	return &translate.FieldError{Path: path, Reason: reason}
}
