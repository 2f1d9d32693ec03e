package balancer

import (
	"encoding/json"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/clustermesh/source/kubernetes/status"
)

// Said is what the status of a Service says, as far as it concerns us. It is
// immutable.
type Said struct {
	UID     types.UID
	Version string
	// Balanced: the Service is of type LoadBalancer. Judged tells it from others of the
	// name.
	Balanced bool
	Judged   source.Judged
	// Ingress are the addresses, whoever wrote them.
	Ingress []corev1.LoadBalancerIngress
	// Conditions are those of our types.
	Conditions []metav1.Condition
	// Owned: something of the status is ours. Others: the addresses are not, but those of
	// the field manager Writer.
	Owned, Others bool
	Writer        string
	// Left: the object cannot be taken as it is written; what was known of it
	// stays, and so does what was written to it.
	Left bool
}

// conditionPrefix is that of the types of our conditions.
const conditionPrefix = "tombolo.io/"

// Read returns what a Service says; nil for one that has nothing to do with load
// balancers, and never had.
func Read(s *corev1.Service) *Said {
	out := &Said{
		UID: s.UID, Version: s.ResourceVersion, Balanced: s.Spec.Type == corev1.ServiceTypeLoadBalancer,
		Judged:  source.Judged{Created: s.CreationTimestamp.UTC().Truncate(time.Second)},
		Ingress: s.Status.LoadBalancer.Ingress,
	}
	if s.Spec.LoadBalancerClass != nil {
		out.Judged.Class = *s.Spec.LoadBalancerClass
	}
	given, theirs := false, false
	for i := range s.ManagedFields {
		m := &s.ManagedFields[i]
		ours := m.Manager == status.FieldManager && m.Operation == metav1.ManagedFieldsOperationApply && m.Subresource == "status"
		out.Owned = out.Owned || ours
		if len(out.Ingress) > 0 && ownsIngress(m) {
			given, theirs = given || ours, theirs || !ours
			if !ours {
				out.Writer = m.Manager
			}
		}
	}
	if out.Others = theirs && !given; !out.Others {
		out.Writer = ""
	}
	out.Judged.Others = out.Others && s.Spec.LoadBalancerClass == nil
	if !out.Owned && !out.Balanced {
		return nil
	}
	for _, c := range s.Status.Conditions {
		if strings.HasPrefix(c.Type, conditionPrefix) {
			out.Conditions = append(out.Conditions, c)
		}
	}
	return out
}

// ownsIngress says whether a manager has written the addresses.
func ownsIngress(m *metav1.ManagedFieldsEntry) bool {
	if m.FieldsV1 == nil {
		return false
	}
	var fields struct {
		Status struct {
			LoadBalancer struct {
				Ingress json.RawMessage `json:"f:ingress"`
			} `json:"f:loadBalancer"`
		} `json:"f:status"`
	}
	err := json.Unmarshal(m.FieldsV1.GetRawBytes(), &fields)
	return err == nil && fields.Status.LoadBalancer.Ingress != nil
}

// older says whether a is an older state of the same object.
func (a *Said) older(b *Said) bool {
	if a.UID != b.UID {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(a.Version, b.Version)
	return err == nil && order < 0
}
