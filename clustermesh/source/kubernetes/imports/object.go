package imports

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/util/csaupgrade"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
)

// resource is a kind of what is ours, by the name that it has in the API.
type resource string

const (
	imports        resource = mcs.ServiceImportPluralName
	services       resource = "services"
	endpointSlices resource = "endpointslices"
	exports        resource = mcs.ServiceExportPluralName // of which only the status is ours
)

// order is that in which they go.
func (r resource) order() int { return slices.Index([]resource{imports, services, endpointSlices}, r) }

// ref names an object.
type ref struct {
	resource        resource
	namespace, name string
}

// written is an object of ours, as the API has it.
type written struct {
	uid types.UID
	// service is the one of which it is. clusters are those of which it was made. shared:
	// it is a slice of a global Service.
	service  clustermesh.ServiceName
	clusters []string
	shared   bool
	// content is the sum of what was written. created: it has fields of its creation, see
	// adopt. touched: others wrote to it since.
	content          string
	created, touched bool
	// ips, headless and family, the first one, are of a Service, status of an import.
	ips      []string
	headless bool
	family   string
	status   any
}

// becomes says whether a Service can become what an import is now: neither that it is
// headless nor its first family can change.
func (s *written) becomes(i *source.Imported) bool {
	one := i.Families == clustermesh.IPv4 || i.Families == clustermesh.IPv6
	return s.headless == i.Headless && (i.Headless || !one || s.family == "" || s.family == i.Families.String())
}

func known(r resource, u *unstructured.Unstructured) *written {
	out := &written{uid: u.GetUID(), content: u.GetAnnotations()[contentAnnotation], ips: addressesOf(u), status: u.Object["status"]}
	name, imported := u.GetLabels()[mcs.LabelServiceName]
	out.shared = r == endpointSlices && !imported
	switch {
	case r == imports: // whatever labels its exports bear
		name = u.GetName()
	case out.shared:
		name = u.GetLabels()[discoveryv1.LabelServiceName]
	}
	out.service = clustermesh.ServiceName{Namespace: u.GetNamespace(), Name: name}
	for _, m := range u.GetManagedFields() {
		out.created = out.created || m.Manager == FieldManager && m.Operation == metav1.ManagedFieldsOperationUpdate && m.Subresource == ""
	}
	out.touched = touched(u.GetManagedFields())
	clusterIP, _, _ := unstructured.NestedString(u.Object, "spec", "clusterIP")
	out.headless = clusterIP == "None"
	if all, _, _ := unstructured.NestedStringSlice(u.Object, "spec", "ipFamilies"); len(all) > 0 {
		out.family = all[0]
	}
	if all := u.GetAnnotations()[clustersAnnotation]; all != "" {
		out.clusters = strings.Split(all, ",")
	} else if one := u.GetLabels()[mcs.LabelSourceCluster]; one != "" {
		out.clusters = []string{one}
	}
	return out
}

// touched says whether somebody else wrote to an object after us, or in the same second.
// What he wrote may be no field of ours: then to write it again changes nothing.
func touched(all []metav1.ManagedFieldsEntry) bool {
	var ours, theirs time.Time
	for _, m := range all {
		switch {
		case m.Subresource != "" || m.Time == nil:
		case m.Manager == FieldManager && m.Time.After(ours):
			ours = m.Time.Time
		case m.Manager != FieldManager && m.Time.After(theirs):
			theirs = m.Time.Time
		}
	}
	return !theirs.IsZero() && !theirs.Before(ours)
}

// of returns the API of a resource.
func (w *Writer) of(r resource) dynamic.NamespaceableResourceInterface {
	gvr := schema.GroupVersionResource{Version: "v1", Resource: string(r)}
	switch r {
	case imports, exports:
		gvr.Group, gvr.Version = mcs.GroupName, w.version
	case endpointSlices:
		gvr.Group = "discovery.k8s.io"
	}
	return w.api.Resource(gvr)
}

// list asks what the API has of ours, and which version of the Multi-cluster Services
// API it has.
func (w *Writer) list(ctx context.Context) error {
	have := map[ref]*written{}
	var err error
	for _, w.version = range []string{mcs.GroupVersion.Version, mcsv1alpha1.GroupVersion.Version} {
		if err = w.listOne(ctx, imports, have); !apierrors.IsNotFound(err) {
			break
		}
	}
	if apierrors.IsNotFound(err) {
		w.version, err = "", nil
	} else {
		err = errors.Join(err, w.listOne(ctx, services, have))
	}
	if err = errors.Join(err, w.listOne(ctx, endpointSlices, have)); err != nil {
		w.have = nil
		return err
	}
	w.have = have
	return nil
}

// page bounds what the API answers at once.
const page = 500

func (w *Writer) listOne(ctx context.Context, r resource, into map[ref]*written) error {
	options := metav1.ListOptions{LabelSelector: Label + "=true", Limit: page}
	for {
		list, err := w.of(r).List(ctx, options)
		if err != nil {
			return fmt.Errorf("listing %s: %w", r, err)
		}
		for i := range list.Items {
			o := &list.Items[i]
			into[ref{r, o.GetNamespace(), o.GetName()}] = known(r, o)
		}
		if options.Continue = list.GetContinue(); options.Continue == "" {
			return nil
		}
	}
}

// errForeign: what others made has a name that ours would have.
var errForeign = errors.New("is there already and is not ours")

// put writes an object, unless the API has it so, and returns what it has. One that is
// not known to be there is created: what others made under its name stays theirs.
func (w *Writer) put(ctx context.Context, r ref, o fields) (*written, error) {
	o, err := sealed(o)
	if err != nil {
		return nil, err
	}
	have := w.have[r]
	if have != nil && !have.touched && have.content == annotations(o)[contentAnnotation] {
		return have, nil
	}
	api := w.of(r.resource).Namespace(r.namespace)
	var out *unstructured.Unstructured
	if have == nil {
		out, err = api.Create(ctx, &unstructured.Unstructured{Object: o}, metav1.CreateOptions{FieldManager: FieldManager})
	} else {
		out, err = change(ctx, api, r, have, o)
	}
	switch {
	case apierrors.IsAlreadyExists(err):
		return nil, fmt.Errorf("%s %s/%s %w (it has no label %s): delete it, or give it another name", r.resource, r.namespace, r.name, errForeign, Label)
	case apierrors.IsNotFound(err) && have != nil, apierrors.IsConflict(err):
		delete(w.have, r) // it went, or is another one: the next try begins with a look
		w.lookAt = time.Time{}
	}
	if err != nil {
		return nil, fmt.Errorf("writing %s %s/%s: %w", r.resource, r.namespace, r.name, err)
	}
	w.have[r] = known(r.resource, out)
	w.have[r].touched = false // until the next look
	return w.have[r], nil
}

// change writes an object over the one that the API has.
func change(ctx context.Context, api dynamic.ResourceInterface, r ref, have *written, o fields) (*unstructured.Unstructured, error) {
	replaced := have.touched && r.resource == services
	if replaced {
		if err := replacePorts(ctx, api, r.name, o); err != nil {
			return nil, err
		}
	}
	if have.created || replaced {
		if err := adopt(ctx, api, r.name); err != nil {
			return nil, err
		}
	}
	meta(o)["uid"] = string(have.uid) // of no other under its name
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	force := true
	return api.Patch(ctx, r.name, types.ApplyPatchType, text, metav1.PatchOptions{FieldManager: FieldManager, Force: &force})
}

// replacePorts gives a Service our ports and no others. An apply would leave a port whose
// number somebody changed beside ours.
func replacePorts(ctx context.Context, api dynamic.ResourceInterface, name string, o fields) error {
	patch, err := json.Marshal([]fields{{"op": "replace", "path": "/spec/ports", "value": o["spec"].(fields)["ports"]}})
	if err != nil {
		return err
	}
	_, err = api.Patch(ctx, name, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: FieldManager})
	return err
}

// adopt makes the fields of a creation such as an apply can take away again: it leaves
// those that were written in any other way, and a port with another number would be there
// twice. To create by an apply is no way out, for that takes what others made under the
// name. The first patch changes nothing: it asks how the object is now, for we may not
// get it.
func adopt(ctx context.Context, api dynamic.ResourceInterface, name string) error {
	options := metav1.PatchOptions{FieldManager: FieldManager}
	u, err := api.Patch(ctx, name, types.MergePatchType, []byte("{}"), options)
	if err != nil {
		return err
	}
	patch, err := csaupgrade.UpgradeManagedFieldsPatch(u, sets.New(FieldManager), FieldManager)
	if err != nil || patch == nil {
		return err
	}
	_, err = api.Patch(ctx, name, types.JSONPatchType, patch, options)
	return err
}

// delete deletes an object of ours.
func (w *Writer) delete(ctx context.Context, r ref) error {
	uid := w.have[r].uid
	err := w.of(r.resource).Namespace(r.namespace).Delete(ctx, r.name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("deleting %s %s/%s: %w", r.resource, r.namespace, r.name, err)
	}
	delete(w.have, r)
	return nil
}

// ending says whether a namespace is about to go: nothing can be made in it, and all
// that is in it goes with it.
func ending(err error) bool { return apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) }
