package imports

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/clusterset"
	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/clustermesh/source/translate"
)

// status writes of which clusters an import is, and whether it can be used; failed is
// why it has no address.
func (w *Writer) status(ctx context.Context, i *source.Imported, have *written, failed error) error {
	ready := clustermesh.Condition{Type: string(mcs.ServiceImportConditionReady), Status: "True", Reason: string(mcs.ServiceImportReasonReady), Message: "it can be used"}
	if failed != nil {
		ready.Status, ready.Reason, ready.Message = "False", string(mcs.ServiceImportReasonPending), failed.Error()
		if apierrors.IsInvalid(failed) && strings.Contains(failed.Error(), "ipFamil") {
			ready.Reason = string(mcs.ServiceImportReasonIPFamilyNotSupported)
		}
	}
	clusters := []any{}
	for _, c := range i.Clusters {
		clusters = append(clusters, fields{"cluster": c})
	}
	want := fields{
		"endpointSliceObjects": string(mcs.EndpointSliceObjectsPresent), "clusters": clusters,
		"conditions": timed([]clustermesh.Condition{ready}, conditions(have.status), 0, time.Now()),
	}
	if w.version == mcsv1alpha1.GroupVersion.Version {
		want = fields{"clusters": clusters}
	}
	if reflect.DeepEqual(have.status, any(want)) {
		return nil
	}
	out, err := w.apply(ctx, ref{imports, i.Name.Namespace, i.Name.Name}, mcs.ServiceImportKindName, have.uid, want)
	if err == nil {
		have.status = out.Object["status"]
	}
	return err
}

// apply writes the status of an object.
func (w *Writer) apply(ctx context.Context, r ref, kind string, uid types.UID, status fields) (*unstructured.Unstructured, error) {
	text, err := json.Marshal(fields{
		"apiVersion": mcs.GroupName + "/" + w.version, "kind": kind,
		"metadata": fields{"namespace": r.namespace, "name": r.name, "uid": string(uid)}, "status": status,
	})
	if err != nil {
		return nil, err
	}
	force := true
	out, err := w.of(r.resource).Namespace(r.namespace).Patch(ctx, r.name, types.ApplyPatchType, text,
		metav1.PatchOptions{FieldManager: FieldManager, Force: &force}, "status")
	if err != nil {
		return nil, fmt.Errorf("writing the status of %s %s/%s: %w", r.resource, r.namespace, r.name, err)
	}
	return out, nil
}

// standings writes the conditions of this cluster's ServiceExports.
func (w *Writer) standings(ctx context.Context, now time.Time) error {
	options := metav1.ListOptions{Limit: page}
	var errs []error
	for {
		list, err := w.of(exports).List(ctx, options)
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("listing %s: %w", exports, err))...)
		}
		for k := range list.Items {
			if err := w.stand(ctx, &list.Items[k], now); err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) && !ending(err) {
				errs = append(errs, err)
			}
		}
		if options.Continue = list.GetContinue(); options.Continue == "" {
			return errors.Join(errs...)
		}
	}
}

// stand writes the conditions of one, unless it has them. One that was not taken yet
// gets them when it was.
func (w *Writer) stand(ctx context.Context, u *unstructured.Unstructured, now time.Time) error {
	all := w.set.Exports[clustermesh.ServiceName{Namespace: u.GetNamespace(), Name: u.GetName()}]
	var e mcs.ServiceExport
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &e)
	if err == nil {
		_, err = translate.ServiceExport(&e)
	}
	if err != nil {
		wrong := clustermesh.Condition{Type: clusterset.Valid, Status: "False", Reason: "Invalid", Message: strings.ReplaceAll(err.Error(), "\n", "; ")}
		all = append([]clustermesh.Condition{wrong}, slices.DeleteFunc(slices.Clone(all), func(c clustermesh.Condition) bool { return c.Type == clusterset.Valid })...)
	}
	if len(all) == 0 || !w.leads() {
		return nil
	}
	want := timed(all, conditions(u.Object["status"]), u.GetGeneration(), now)
	if has, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions"); reflect.DeepEqual(has, want) {
		return nil
	}
	_, err = w.apply(ctx, ref{exports, u.GetNamespace(), u.GetName()}, mcs.ServiceExportKindName, u.GetUID(), fields{"conditions": want})
	return err
}

// timed returns conditions as the API has them. One that holds on keeps its time.
func timed(all []clustermesh.Condition, before []metav1.Condition, generation int64, now time.Time) (out []any) {
	for _, c := range all {
		since := now
		if i := slices.IndexFunc(before, func(b metav1.Condition) bool { return b.Type == c.Type && string(b.Status) == c.Status }); i >= 0 {
			since = before[i].LastTransitionTime.Time
		}
		f := fields{"type": c.Type, "status": c.Status, "reason": c.Reason, "message": c.Message, "lastTransitionTime": since.UTC().Format(time.RFC3339)}
		if generation > 0 {
			f["observedGeneration"] = generation
		}
		out = append(out, f)
	}
	return out
}

// conditions returns those that a status has.
func conditions(status any) (out []metav1.Condition) {
	m, _ := status.(fields)
	list, _, _ := unstructured.NestedSlice(fields{"status": m}, "status", "conditions")
	for _, e := range list {
		var c metav1.Condition
		if m, ok := e.(fields); ok && runtime.DefaultUnstructuredConverter.FromUnstructured(m, &c) == nil {
			out = append(out, c)
		}
	}
	return out
}
