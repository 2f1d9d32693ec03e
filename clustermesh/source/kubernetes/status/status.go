package status

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"tombolo.io/tombolo/api/v1alpha1"
	"tombolo.io/tombolo/clustermesh/source/translate"
	"tombolo.io/tombolo/clustermesh/standing"
)

// kind is one of our kinds that have a status.
type kind struct {
	name, resource string
	// check says what is wrong with an object as it is written now.
	check func(map[string]any) error
	// conditions are the types that the kind has.
	conditions []string
	// facts are what its status says beside conditions.
	facts func(*standing.Object) map[string]any
}

var kinds = []kind{
	{standing.ClusterPeer, "clusterpeers", checks(translate.ClusterPeer), []string{v1alpha1.Accepted, v1alpha1.Ready}, clusterFacts},
	{standing.BGPPeer, "bgppeers", checks(translate.BGPPeer), []string{v1alpha1.Accepted, v1alpha1.Ready}, sessionFacts},
	{standing.BGPAdvertisement, "bgpadvertisements", checks(translate.BGPAdvertisement), []string{v1alpha1.Accepted}, noFacts},
	{standing.AddressPool, "addresspools", checks(translate.AddressPool), []string{v1alpha1.Accepted, v1alpha1.Conflicted}, poolFacts},
}

// checks makes translators alike.
func checks[O, N any](translate func(*O) (*N, error)) func(map[string]any) error {
	return func(u map[string]any) error {
		o := new(O)
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u, o); err != nil {
			return fmt.Errorf("reading the object: %w", err)
		}
		_, err := translate(o)
		return err
	}
}

func clusterFacts(o *standing.Object) map[string]any {
	out := map[string]any{}
	if o.ClusterID != 0 {
		out["clusterID"] = int64(o.ClusterID)
	}
	for name, prefixes := range map[string][]netip.Prefix{"podCIDRs": o.PodCIDRs, "nodeCIDRs": o.NodeCIDRs, "serviceCIDRs": o.ServiceCIDRs} {
		var texts []any
		for _, p := range prefixes {
			texts = append(texts, p.String())
		}
		if texts != nil {
			out[name] = texts
		}
	}
	return out
}

func sessionFacts(o *standing.Object) map[string]any {
	return map[string]any{"nodes": int64(o.Nodes), "established": int64(o.Established)}
}

func poolFacts(o *standing.Object) map[string]any {
	return map[string]any{"allocated": o.Allocated, "available": o.Available}
}

func noFacts(*standing.Object) map[string]any { return map[string]any{} }

// status returns the status that an object should have, given how it stands;
// nil when the store does not have it. It keeps the time of a condition that
// holds on.
func (k kind) status(object *unstructured.Unstructured, told *standing.Object, now time.Time) map[string]any {
	out := map[string]any{}
	if told != nil {
		out = k.facts(told)
	}
	before := conditions(object)
	wrong := k.check(object.Object)
	var all []any
	for _, typ := range k.conditions {
		c := wanted(typ, told, wrong)
		c.ObservedGeneration = object.GetGeneration()
		c.LastTransitionTime = metav1.NewTime(now.UTC().Truncate(time.Second))
		if i := slices.IndexFunc(before, func(b metav1.Condition) bool { return b.Type == typ && b.Status == c.Status }); i >= 0 {
			c.LastTransitionTime = before[i].LastTransitionTime
		}
		all = append(all, map[string]any{
			"type": c.Type, "status": string(c.Status), "reason": c.Reason, "message": c.Message,
			"observedGeneration": c.ObservedGeneration, "lastTransitionTime": c.LastTransitionTime.UTC().Format(time.RFC3339),
		})
	}
	out["conditions"] = all
	return out
}

// wanted returns a condition of an object, without its time.
func wanted(typ string, told *standing.Object, wrong error) metav1.Condition {
	switch {
	case typ == v1alpha1.Accepted && wrong != nil:
		return metav1.Condition{Type: typ, Status: metav1.ConditionFalse, Reason: "Invalid",
			Message: line(wrong) + "; until this is mended, what was known of the object stays"}
	case told == nil:
		return metav1.Condition{Type: typ, Status: metav1.ConditionUnknown, Reason: "Pending", Message: "the API server did not take it yet"}
	}
	c := told.Condition(typ)
	return metav1.Condition{Type: typ, Status: metav1.ConditionStatus(c.State), Reason: c.Reason, Message: c.Message}
}

// line returns all mistakes on one line.
func line(err error) string {
	var all []string
	for _, m := range translate.Mistakes(err) {
		all = append(all, m.Error())
	}
	if len(all) == 0 {
		return err.Error()
	}
	return strings.Join(all, "; ")
}

// conditions returns those that an object has.
func conditions(object *unstructured.Unstructured) []metav1.Condition {
	list, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	var out []metav1.Condition
	for _, e := range list {
		var c metav1.Condition
		if m, ok := e.(map[string]any); ok && runtime.DefaultUnstructuredConverter.FromUnstructured(m, &c) == nil {
			out = append(out, c)
		}
	}
	return out
}
