package kubernetes

import (
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/clustermesh/source/translate"
)

func TestReader(t *testing.T) {
	node, zone, port := "n1", "z1", int32(80)
	meta := metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "u", ResourceVersion: "7", Labels: map[string]string{"a": "b", discoveryv1.LabelServiceName: "web"}}
	for _, c := range []struct {
		kind   source.Kind
		object any
		want   string // the type of the first noun, or a mistake
	}{
		{source.Namespace, &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}, "*source.Labels"},
		{source.Pod, &corev1.Pod{ObjectMeta: meta}, "*source.Workload"},
		{source.EndpointSlice, &discoveryv1.EndpointSlice{ObjectMeta: meta, AddressType: "IPv4", Ports: []discoveryv1.EndpointPort{{Port: &port}},
			Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}, NodeName: &node, Zone: &zone}}}, "*clustermesh.EndpointSlice"},
		{source.Service, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", Annotations: map[string]string{"tombolo.io/weight": "heavy"}},
			Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}, `annotation: metadata.annotations["tombolo.io/weight"]: "heavy" is not a whole number from 0 to 65535`},
		{source.BGPPeer, &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "tor"},
			"spec": map[string]any{"address": "192.0.2.1", "asn": int64(1), "localASN": int64(2), "holdTime": "9s"}}}, "*clustermesh.BGPPeer"},
		{source.BGPPeer, &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "tor"},
			"spec": map[string]any{"address": "192.0.2.1", "asn": "one"}}}, "cannot unmarshal string into Go struct field BGPPeerSpec.spec.asn"},
		{source.Node, &corev1.Pod{ObjectMeta: meta}, "the API answers with a *v1.Pod"},
	} {
		r := reader{kind: kindOf(c.kind)}
		e, err := r.read(c.object)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, m := range e.mistakes {
			if m.annotation {
				got += "annotation: "
			}
			got += m.text
		}
		if len(e.objects) > 0 {
			got = fmt.Sprintf("%T", e.objects[0])
		}
		if !strings.Contains(got, c.want) || len(e.mistakes) > 0 == (len(e.objects) > 0) {
			t.Errorf("%s: %s, want %s", c.kind, got, c.want)
		}
		if again, err := r.read(e); again != e || err != nil {
			t.Errorf("%s: an entry is read again", c.kind)
		}
	}
	var r reader
	if _, err := r.read("text"); err == nil {
		t.Error("a text is an object")
	}
}

// Whose the addresses in a status are hangs on who wrote them. Those that we did not
// write to a service of our class are nobody's: after the store was lost they would be
// taken for what we had given.
func TestReaderOfBalancers(t *testing.T) {
	const wrote = `{"f:status": {"f:loadBalancer": {"f:ingress": {}}}}`
	us := metav1.ManagedFieldsEntry{Manager: "tombolo-apiserver", Operation: metav1.ManagedFieldsOperationApply, Subresource: "status", FieldsV1: metav1.NewFieldsV1(wrote)}
	them := metav1.ManagedFieldsEntry{Manager: "metallb", Operation: metav1.ManagedFieldsOperationUpdate, Subresource: "status", FieldsV1: metav1.NewFieldsV1(wrote)}
	for _, c := range []struct {
		class string
		wrote []metav1.ManagedFieldsEntry
		want  string
	}{
		{"", []metav1.ManagedFieldsEntry{us}, "[192.0.2.1] ours"},
		{"", []metav1.ManagedFieldsEntry{them}, "[192.0.2.1] others'"},
		{"tombolo.io/bgp", []metav1.ManagedFieldsEntry{us}, "[192.0.2.1] ours"},
		{"tombolo.io/bgp", []metav1.ManagedFieldsEntry{them}, "[] ours"},
		{"tombolo.io/bgp", []metav1.ManagedFieldsEntry{them, us}, "[192.0.2.1] ours"},
		{"tombolo.io/bgp", nil, "[192.0.2.1] ours"},
		{"example.com/lb", []metav1.ManagedFieldsEntry{them}, "[192.0.2.1] ours"},
	} {
		s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "u", ResourceVersion: "7", ManagedFields: c.wrote},
			Spec:   corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, ClusterIP: "10.96.0.1", Ports: []corev1.ServicePort{{Port: 80}}},
			Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: "192.0.2.1"}}}}}
		if c.class != "" {
			s.Spec.LoadBalancerClass = &c.class
		}
		r := reader{kind: kindOf(source.Service)}
		e, err := r.read(s)
		if err != nil || len(e.objects) != 1 {
			t.Fatal(err, e.mistakes)
		}
		noun := e.objects[0].(*clustermesh.Service)
		got := fmt.Sprint(noun.LoadBalancerIPs, map[bool]string{false: " ours", true: " others'"}[noun.LoadBalancerOthers])
		if got != c.want {
			t.Errorf("class %q, written by %d: %s, want %s", c.class, len(c.wrote), got, c.want)
		}
	}
}

// A Service of type LoadBalancer may say more than a Service: a wish for slices, or,
// derived and edited by somebody, the addresses of an import.
func TestReaderOfBalancersThatSayMore(t *testing.T) {
	derived := source.DerivedName(clustermesh.ServiceName{Namespace: "shop", Name: "web"})
	for _, c := range []struct {
		meta metav1.ObjectMeta
		want string
	}{
		{metav1.ObjectMeta{Name: "web", Annotations: map[string]string{"tombolo.io/global": "true", "tombolo.io/global-sync-endpoint-slices": "true"}},
			"[*clustermesh.Service *source.SliceWish]"},
		{metav1.ObjectMeta{Name: derived, Labels: map[string]string{translate.DerivedLabel: "true", mcsv1beta1.LabelServiceName: "web"}}, "[*source.ImportAddress]"},
	} {
		c.meta.Namespace = "shop"
		r := reader{kind: kindOf(source.Service)}
		e, err := r.read(&corev1.Service{ObjectMeta: c.meta,
			Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, ClusterIP: "10.96.0.1", Ports: []corev1.ServicePort{{Port: 80}}}})
		if err != nil || len(e.mistakes) > 0 {
			t.Fatal(err, e.mistakes)
		}
		var got []string
		for _, noun := range e.objects {
			got = append(got, fmt.Sprintf("%T", noun))
		}
		if fmt.Sprint(got) != c.want || e.said == nil || !e.said.Balanced {
			t.Errorf("%s says %v, want %s", c.meta.Name, got, c.want)
		}
	}
}

// Equal values share their memory, unequal ones do not, and what is shared is
// bounded.
func TestInterner(t *testing.T) {
	var in interner
	labels := func() map[string]string { return map[string]string{"app": "web", "team": "blue"} }
	a, b := &source.Workload{Labels: labels()}, &source.Workload{Labels: labels()}
	in.intern(a)
	in.intern(b)
	if reflect.ValueOf(a.Labels).Pointer() != reflect.ValueOf(b.Labels).Pointer() {
		t.Error("equal labels are kept twice")
	}
	other := &source.Workload{Labels: map[string]string{"app": "web", "team": "red"}}
	in.intern(other)
	if maps.Equal(other.Labels, a.Labels) {
		t.Error("other labels are taken for equal")
	}
	for i := range 2 * maxInterned {
		s := &clustermesh.EndpointSlice{Endpoints: []clustermesh.Endpoint{{Node: fmt.Sprint("n", i)}}}
		if in.intern(s); s.Endpoints[0].Node != fmt.Sprint("n", i) {
			t.Fatalf("node %d is %s", i, s.Endpoints[0].Node)
		}
	}
	if len(in.texts) > maxInterned {
		t.Errorf("%d texts are kept", len(in.texts))
	}
}

// The same mistake in the same object has the same name, whoever tells it.
func TestEventOfNote(t *testing.T) {
	w := note{source.Key{Kind: source.Service, Namespace: "shop", Name: "web"}, "u", mistake{annotation: true, text: "is wrong"}}
	a, b := newNotes(Config{Node: "n1"}, nil, nil), newNotes(Config{Node: "n2"}, nil, nil)
	first, second := a.event(w, "1", time.Unix(1, 0)), b.event(w, "2", time.Unix(2, 0))
	if first.Name != second.Name || first.Namespace != "shop" || first.Reason != reasonAnnotation || first.InvolvedObject.Kind != "Service" || first.InvolvedObject.APIVersion != "v1" {
		t.Errorf("%+v\n%+v", first, second)
	}
	w.uid = "another"
	if third := a.event(w, "1", time.Unix(1, 0)); third.Name == first.Name {
		t.Error("another object of the same name has the same event")
	}
	w = note{source.Key{Kind: source.BGPPeer, Name: "tor"}, "u", mistake{text: "is wrong"}}
	if e := a.event(w, "1", time.Unix(1, 0)); e.Namespace != "default" || e.Reason != reasonObject || e.InvolvedObject.APIVersion != "tombolo.io/v1alpha1" {
		t.Errorf("%+v", e)
	}
}
