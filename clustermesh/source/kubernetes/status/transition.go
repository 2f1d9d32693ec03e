package status

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"tombolo.io/tombolo/api/v1alpha1"
	"tombolo.io/tombolo/clustermesh/source/kubernetes/events"
)

// transitions returns what is worth an event where an object's status was written:
// each condition that is another one since, in status or reason. What was there before
// stands on the object, so that another who leads says nothing twice.
func (k kind) transitions(before, after *unstructured.Unstructured) (out []events.Event) {
	if after == nil {
		return nil
	}
	object := corev1.ObjectReference{APIVersion: v1alpha1.APIVersion, Kind: k.name, Name: after.GetName(), UID: after.GetUID()}
	old := conditions(before)
	for _, c := range conditions(after) {
		was := conditionOf(old, c.Type)
		if c.Status == metav1.ConditionUnknown || was != nil && was.Status == c.Status && was.Reason == c.Reason {
			continue
		}
		bad := badWhen(c.Type)
		if first := was == nil || was.Status == metav1.ConditionUnknown; first && bad == metav1.ConditionTrue && c.Status != bad {
			continue // that nothing ever was wrong is no news
		}
		e := events.Event{Object: object, Warning: c.Status == bad, Reason: c.Reason, Message: c.Message}
		if !slices.ContainsFunc(out, func(o events.Event) bool { return o.Reason == e.Reason }) {
			out = append(out, e)
		}
	}
	return out
}

// badWhen returns the status of a condition that its owner should look at.
func badWhen(typ string) metav1.ConditionStatus {
	if typ == v1alpha1.Conflicted {
		return metav1.ConditionTrue
	}
	return metav1.ConditionFalse
}
