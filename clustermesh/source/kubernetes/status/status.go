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
	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source/translate"
	"tombolo.io/tombolo/clustermesh/standing"
)

// kind is one of our kinds that have a status.
type kind struct {
	name, resource string
	// translate returns what an object means to the mesh as it is written now, or what
	// is wrong with it.
	translate func(map[string]any) (clustermesh.Object, error)
	// conditions are the types that the kind has.
	conditions []string
	// facts are what its status says beside conditions.
	facts func(*standing.Object) map[string]any
}

var kinds = []kind{
	{standing.ClusterPeer, "clusterpeers", translator(translate.ClusterPeer), []string{v1alpha1.Accepted, v1alpha1.Ready}, clusterFacts},
	{standing.BGPPeer, "bgppeers", translator(translate.BGPPeer), []string{v1alpha1.Accepted, v1alpha1.Ready}, sessionFacts},
	{standing.BGPAdvertisement, "bgpadvertisements", translator(translate.BGPAdvertisement), []string{v1alpha1.Accepted}, noFacts},
	{standing.AddressPool, "addresspools", translator(translate.AddressPool), []string{v1alpha1.Accepted, v1alpha1.Conflicted}, poolFacts},
}

// noun is a pointer to one of the mesh's nouns.
type noun[N any] interface {
	*N
	clustermesh.Object
}

// translator makes translators alike.
func translator[O, N any, P noun[N]](translate func(*O) (P, error)) func(map[string]any) (clustermesh.Object, error) {
	return func(u map[string]any) (clustermesh.Object, error) {
		o := new(O)
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u, o); err != nil {
			return nil, fmt.Errorf("reading the object: %w", err)
		}
		out, err := translate(o)
		if err != nil {
			return nil, err
		}
		return out, nil
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
// holds on. A condition is of the generation that was judged: of the object's own
// only when the store has what that says.
func (k kind) status(object *unstructured.Unstructured, told *standing.Object, now time.Time) map[string]any {
	out := map[string]any{}
	if told != nil {
		out = k.facts(told)
	}
	before := conditions(object)
	desired, wrong := k.translate(object.Object)
	var all []any
	for _, typ := range k.conditions {
		was := conditionOf(before, typ)
		judged := told.Of(desired)
		if was == nil && !judged {
			told = nil // it may be about another object of the name
		}
		c := wanted(typ, told, wrong)
		c.ObservedGeneration = object.GetGeneration()
		if told != nil && !judged && c.Reason != invalid {
			c.ObservedGeneration = was.ObservedGeneration // of the spec that the store has
		}
		c.LastTransitionTime = metav1.NewTime(now.UTC().Truncate(time.Second))
		if was != nil && was.Status == c.Status {
			c.LastTransitionTime = was.LastTransitionTime
		}
		all = append(all, map[string]any{
			"type": c.Type, "status": string(c.Status), "reason": c.Reason, "message": c.Message,
			"observedGeneration": c.ObservedGeneration, "lastTransitionTime": c.LastTransitionTime.UTC().Format(time.RFC3339),
		})
	}
	out["conditions"] = all
	return out
}

// Reasons of conditions that are not those of package standing.
const (
	invalid = "Invalid"
	pending = "Pending"
)

// wanted returns a condition of an object, without its time.
func wanted(typ string, told *standing.Object, wrong error) metav1.Condition {
	switch {
	case typ == v1alpha1.Accepted && wrong != nil:
		return metav1.Condition{Type: typ, Status: metav1.ConditionFalse, Reason: invalid,
			Message: line(wrong) + "; until this is mended, what was known of the object stays"}
	case told == nil:
		return metav1.Condition{Type: typ, Status: metav1.ConditionUnknown, Reason: pending, Message: "the API server did not take it yet"}
	}
	c := told.Condition(typ)
	return metav1.Condition{Type: typ, Status: metav1.ConditionStatus(c.State), Reason: c.Reason, Message: c.Message}
}

// conditionOf returns the condition of a type, nil when there is none.
func conditionOf(all []metav1.Condition, typ string) *metav1.Condition {
	i := slices.IndexFunc(all, func(c metav1.Condition) bool { return c.Type == typ })
	if i < 0 {
		return nil
	}
	return &all[i]
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
