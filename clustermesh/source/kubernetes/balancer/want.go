package balancer

import (
	"encoding/json"
	"reflect"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
)

// want is what the status of a Service is to say.
type want struct {
	ingress    []corev1.LoadBalancerIngress
	conditions []metav1.Condition
}

// vip says that a node takes what is sent to the address as what was sent to the
// service, wherever the packet is meant to go: kube-proxy does the same.
var vip = corev1.LoadBalancerIPModeVIP

// wanted returns what a Service is to say that says something now. A condition that
// holds on keeps its time.
func wanted(s source.ServiceStatus, said *Said, now time.Time) want {
	var w want
	for _, a := range s.Addresses {
		w.ingress = append(w.ingress, corev1.LoadBalancerIngress{IP: a.String(), IPMode: &vip})
	}
	for _, c := range s.Conditions {
		out := metav1.Condition{Type: c.Type, Status: metav1.ConditionStatus(c.Status), Reason: c.Reason, Message: clustermesh.Line(c.Message),
			LastTransitionTime: metav1.NewTime(now.UTC().Truncate(time.Second))}
		if b := condition(said.Conditions, c.Type); b != nil && b.Status == out.Status {
			out.LastTransitionTime = b.LastTransitionTime
		}
		w.conditions = append(w.conditions, out)
	}
	return w
}

func condition(all []metav1.Condition, typ string) *metav1.Condition {
	i := slices.IndexFunc(all, func(c metav1.Condition) bool { return c.Type == typ })
	if i < 0 {
		return nil
	}
	return &all[i]
}

// empty says whether nothing is to be said: the service is not ours.
func (w want) empty() bool { return len(w.ingress) == 0 && len(w.conditions) == 0 }

// said says whether the Service says it already, in our name.
func (w want) said(s *Said) bool {
	if w.empty() {
		return !s.Owned // what others wrote is theirs
	}
	if !s.Owned || s.Others || len(w.ingress)+len(s.Ingress) > 0 && !reflect.DeepEqual(w.ingress, s.Ingress) || len(w.conditions) != len(s.Conditions) {
		return false
	}
	for _, c := range w.conditions {
		b := condition(s.Conditions, c.Type)
		if b == nil || b.Status != c.Status || b.Reason != c.Reason || b.Message != c.Message {
			return false
		}
	}
	return true
}

// body is what is applied. The UID keeps it from an object made anew under the name,
// the version from one that is not any more as it was judged.
func (w want) body(name clustermesh.ServiceName, s *Said) ([]byte, error) {
	says := map[string]any{}
	switch {
	case len(w.ingress) > 0:
		says["loadBalancer"] = map[string]any{"ingress": w.ingress}
	case s.Others && !w.empty(): // it has none of us, and is not to show those of others
		says["loadBalancer"] = map[string]any{"ingress": []any{}}
	}
	if len(w.conditions) > 0 {
		says["conditions"] = w.conditions
	}
	return json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Service",
		"metadata": map[string]any{"name": name.Name, "namespace": name.Namespace, "uid": s.UID, "resourceVersion": s.Version},
		"status":   says,
	})
}
