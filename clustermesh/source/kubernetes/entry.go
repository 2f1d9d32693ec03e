package kubernetes

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/clustermesh/source/kubernetes/balancer"
	"tombolo.io/tombolo/clustermesh/source/translate"
)

// entry is what an object of the API says to the mesh. It has of the object
// itself only what names it.
type entry struct {
	metav1.ObjectMeta
	objects []source.Object
	// mistakes are why there are no objects, each a sentence about a field.
	mistakes []mistake
	// strays are what it says under our domain that means nothing.
	strays []mistake
	// said is what the status of a Service says that has or had addresses of us.
	said *balancer.Said
}

// mistake is one in one object.
type mistake struct {
	// annotation: it is in the value of one. stray: it is one that means nothing, and
	// the object is taken all the same.
	annotation, stray bool
	text              string
}

// key names the object.
func (e *entry) key(k source.Kind) source.Key {
	return source.Key{Kind: k, Namespace: e.Namespace, Name: e.Name}
}

// service names the Service.
func (e *entry) service() clustermesh.ServiceName {
	return clustermesh.ServiceName{Namespace: e.Namespace, Name: e.Name}
}

// reader makes entries of the objects of one kind. It belongs to one goroutine.
type reader struct {
	kind
	interner
}

// read returns what an object says.
func (r *reader) read(o any) (*entry, error) {
	if e, ok := o.(*entry); ok {
		return e, nil // it was read before
	}
	object, ok := o.(runtime.Object)
	if !ok {
		return nil, fmt.Errorf("reading %s: a %T is no object", r.resource.Resource, o)
	}
	m, err := meta.Accessor(object)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", r.resource.Resource, err)
	}
	e := name(m)
	if e.objects, err = r.translate(object); err != nil {
		e.objects, e.mistakes = nil, mistakes(err)
	}
	for _, f := range translate.Strays(r.Kind, m.GetAnnotations(), m.GetLabels()) {
		e.strays = append(e.strays, mistake{stray: true, text: f.Error()})
	}
	if s, ok := object.(*corev1.Service); ok {
		e.balanced(s)
	}
	for _, noun := range e.objects {
		r.intern(noun)
	}
	return e, nil
}

// balanced takes note of what the status of a Service says. One without a class
// whose addresses another implementation has written is that one's. One of our class
// never is: what others wrote there was not given by us, and is not to be read back as
// though it were.
func (e *entry) balanced(s *corev1.Service) {
	e.said = balancer.Read(s)
	if e.said == nil {
		return
	}
	e.said.Left = len(e.mistakes) > 0
	for _, noun := range e.objects {
		out, ok := noun.(*clustermesh.Service)
		if !ok {
			continue // a wish for slices, or what an import has for addresses
		}
		out.LoadBalancerOthers = e.said.Judged.Others
		if e.said.Others && out.LoadBalancerClass == clustermesh.LoadBalancerClass {
			out.LoadBalancerIPs = nil
		}
	}
}

// name returns an entry that only names its object.
func name(m metav1.Object) *entry {
	return &entry{ObjectMeta: metav1.ObjectMeta{
		Namespace: m.GetNamespace(), Name: m.GetName(), UID: m.GetUID(), ResourceVersion: m.GetResourceVersion(),
	}}
}

func mistakes(err error) (out []mistake) {
	for _, f := range translate.Mistakes(err) {
		annotation := len(f.Path) > 1 && f.Path[1] == "annotations"
		out = append(out, mistake{annotation: annotation, text: f.Error()})
	}
	if len(out) == 0 {
		out = []mistake{{text: err.Error()}}
	}
	return out
}
