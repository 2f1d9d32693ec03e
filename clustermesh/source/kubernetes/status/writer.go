package status

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"tombolo.io/tombolo/api/v1alpha1"
	"tombolo.io/tombolo/clustermesh/source/kubernetes/events"
	"tombolo.io/tombolo/clustermesh/standing"
)

// FieldManager owns the status of our objects.
const FieldManager = "tombolo-apiserver"

// patience bounds one pass over all objects.
const patience = 30 * time.Second

// Writer writes how objects stand to their status.
type Writer struct {
	api  dynamic.Interface
	log  *slog.Logger
	told chan []standing.Object
	// happened takes what is worth an event.
	happened func(events.Event)
	// leads says whether this process leads: nobody else writes.
	leads func() bool
	// failed is what was logged last of what cannot be written.
	failed string
}

// New returns a writer that asks nothing before Run. A condition that changes is told
// when it is written.
func New(api dynamic.Interface, leads func() bool, happened func(events.Event), log *slog.Logger) *Writer {
	return &Writer{api: api, leads: leads, happened: happened, log: log, told: make(chan []standing.Object, 1)}
}

// Tell takes how the objects of the store stand now: all of them. It never
// blocks; of what was not written yet the newest counts. One goroutine tells.
func (w *Writer) Tell(all []standing.Object) {
	select {
	case <-w.told:
	default:
	}
	w.told <- all
}

// Run writes until ctx ends.
func (w *Writer) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case all := <-w.told:
			w.report(ctx, w.write(ctx, all))
		}
	}
}

// write writes every status that differs. It goes on after an object that
// cannot be written, and returns the first reason.
func (w *Writer) write(ctx context.Context, all []standing.Object) (failed error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	known := map[[2]string]*standing.Object{}
	for i, o := range all {
		known[[2]string{o.Kind, o.Name}] = &all[i]
	}
	for _, k := range kinds {
		api := w.api.Resource(v1alpha1.Resource(k.resource))
		list, err := api.List(ctx, metav1.ListOptions{})
		if err != nil && !apierrors.IsNotFound(err) { // our kinds may not be installed: the source says so
			failed = first(failed, fmt.Errorf("listing %s: %w", k.resource, err))
		}
		if err != nil {
			continue
		}
		for i := range list.Items {
			o := &list.Items[i]
			if !w.leads() {
				return failed
			}
			written, err := k.apply(ctx, api, o, known[[2]string{k.name, o.GetName()}], time.Now())
			if err != nil && !apierrors.IsNotFound(err) {
				failed = first(failed, fmt.Errorf("writing the status of %s %s: %w", k.name, o.GetName(), err))
			}
			for _, e := range k.transitions(o, written) {
				w.happened(e)
			}
		}
	}
	return failed
}

func first(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// apply gives an object the status that it should have, unless it has that, and
// returns the object as it is then; nil if nothing was written.
func (k kind) apply(ctx context.Context, api dynamic.ResourceInterface, o *unstructured.Unstructured, told *standing.Object, now time.Time) (*unstructured.Unstructured, error) {
	want := k.status(o, told, now)
	if same(o.Object["status"], want) {
		return nil, nil
	}
	body, err := json.Marshal(map[string]any{
		"apiVersion": v1alpha1.APIVersion, "kind": k.name,
		// The UID keeps the status from an object made anew under the name.
		"metadata": map[string]any{"name": o.GetName(), "uid": string(o.GetUID())}, "status": want,
	})
	if err != nil {
		return nil, err
	}
	force := true
	out, err := api.Patch(ctx, o.GetName(), types.ApplyPatchType, body, metav1.PatchOptions{FieldManager: FieldManager, Force: &force}, "status")
	if err != nil {
		return nil, err
	}
	return out, nil
}

// same says whether a status is the one wanted. Numbers of both are int64.
func same(has any, want map[string]any) bool {
	m, ok := has.(map[string]any)
	return ok && reflect.DeepEqual(m, want)
}

// report logs that statuses cannot be written, or can again.
func (w *Writer) report(ctx context.Context, err error) {
	text := ""
	if err != nil && ctx.Err() == nil {
		text = err.Error()
		if apierrors.IsForbidden(err) {
			text += "; the role in deploy/rbac/apiserver.yaml allows it: kubectl apply -f deploy/rbac/apiserver.yaml"
		}
	}
	switch {
	case text == w.failed:
	case text == "":
		w.log.Info("the status of our objects can be written again")
	default:
		w.log.Warn("the status of our objects cannot be written; it is tried again", "err", text)
	}
	w.failed = text
}
