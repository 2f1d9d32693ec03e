package balancer

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/clustermesh/source/kubernetes/events"
)

// happened returns the events of a Service whose status says something else from now
// on: one a condition that changed, and one for addresses that it was given. What was
// written before is on the object, so that another who leads does not say it again.
func happened(name clustermesh.ServiceName, before *Said, w want, s source.ServiceStatus) (out []events.Event) {
	object := corev1.ObjectReference{APIVersion: "v1", Kind: "Service", Namespace: name.Namespace, Name: name.Name, UID: before.UID}
	for i, c := range w.conditions {
		was := condition(before.Conditions, c.Type)
		changed := was == nil || was.Status != c.Status || was.Reason != c.Reason
		e := events.Event{Object: object, Reason: c.Reason, Message: c.Message}
		if i == 0 { // of its addresses
			changed = changed || len(w.ingress) > 0 && !sameAddresses(before.Ingress, w.ingress)
			e.Warning = s.Lacking
		} else {
			changed = changed && (was != nil || c.Status == metav1.ConditionTrue)
			e.Warning = c.Status == metav1.ConditionTrue
		}
		if changed && !slices.ContainsFunc(out, func(o events.Event) bool { return o.Reason == e.Reason }) {
			out = append(out, e)
		}
	}
	return out
}

func sameAddresses(a, b []corev1.LoadBalancerIngress) bool {
	return slices.EqualFunc(a, b, func(x, y corev1.LoadBalancerIngress) bool { return x.IP == y.IP })
}
