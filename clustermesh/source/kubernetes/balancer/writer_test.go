package balancer

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/clustermesh/source/kubernetes/events"
)

// desk is an API that takes statuses, or refuses them.
type desk struct {
	mu      sync.Mutex
	refused *apierrors.StatusError
	// some, if there are, are those alone that it refuses.
	some map[string]bool
	// after is called when it has taken a status.
	after func(name string)
	// wrote has the name of each service that was written, atOnce how many requests
	// were under way together.
	wrote        []string
	busy, atOnce int
	// meet, if there is one, is closed once two requests are under way together: until
	// then each waits.
	meet chan struct{}
	// version is that of the last object, if there is one.
	version int
}

func (d *desk) serve(w http.ResponseWriter, r *http.Request) {
	name := strings.Split(r.URL.Path, "/")[6]
	d.mu.Lock()
	d.busy++
	if d.meet != nil && d.busy == 2 && d.atOnce == 1 {
		close(d.meet)
	}
	d.atOnce = max(d.atOnce, d.busy)
	d.wrote = append(d.wrote, name)
	refused := d.refused
	if d.some != nil && !d.some[name] {
		refused = nil
	}
	d.mu.Unlock()
	if d.meet != nil {
		<-d.meet
	}
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/json")
	var out any
	if refused != nil {
		status := refused.Status()
		status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
		w.WriteHeader(int(status.Code))
		out = status
	} else {
		var s corev1.Service
		if err := json.Unmarshal(body, &s); err != nil {
			panic(err)
		}
		s.Spec.Type, s.ResourceVersion = corev1.ServiceTypeLoadBalancer, d.next()
		s.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "tombolo-apiserver", Operation: "Apply", Subresource: "status",
			FieldsV1: metav1.NewFieldsV1(wroteIngress)}}
		out = s
	}
	d.mu.Lock()
	d.busy--
	d.mu.Unlock()
	json.NewEncoder(w).Encode(out)
	if d.after != nil && refused == nil {
		d.after(name)
	}
}

// RoundTrip has it serve without a network, in virtual time too.
func (d *desk) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	d.serve(w, r)
	return w.Result(), nil
}

// next returns the version of what is written now.
func (d *desk) next() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.version = max(d.version, 8) + 1
	return fmt.Sprint(d.version)
}

// count returns how many writes there were.
func (d *desk) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.wrote)
}

func (d *desk) refuse(err *apierrors.StatusError) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refused = err
}

// open returns a writer for the desk that runs until the test ends.
func open(t *testing.T, d *desk, log io.Writer) (*Writer, func() []events.Event) {
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	version := corev1.SchemeGroupVersion
	api, err := rest.RESTClientFor(&rest.Config{Host: "http://desk", Transport: d, QPS: -1, APIPath: "/api", ContentConfig: rest.ContentConfig{
		GroupVersion: &version, NegotiatedSerializer: serializer.NewCodecFactory(scheme).WithoutConversion()}})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var all []events.Event
	w := New(api, runtime.NewParameterCodec(scheme), func(e events.Event) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, e)
	}, slog.New(slog.NewTextHandler(log, nil)))
	var done sync.WaitGroup
	done.Go(func() { w.Run(t.Context()) })
	t.Cleanup(done.Wait)
	return w, func() []events.Event {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	end := time.After(time.Minute)
	for !holds() {
		select {
		case <-end:
			t.Fatalf("%s: not so after a minute", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func name(i int) clustermesh.ServiceName {
	return clustermesh.ServiceName{Namespace: "shop", Name: fmt.Sprint("s", i)}
}

// Many services are written at once, though not all at the same time, each of them once.
func TestMany(t *testing.T) {
	const many = 500
	d := &desk{meet: make(chan struct{})}
	w, happened := open(t, d, io.Discard)
	all := source.Statuses{Whole: true, Services: map[clustermesh.ServiceName]source.ServiceStatus{}}
	seen := map[clustermesh.ServiceName]*Said{}
	for i := range many {
		seen[name(i)] = &Said{UID: "u", Balanced: true, Version: "7"}
		all.Services[name(i)] = told([]string{"192.0.2.1"}, "True Given: it has 192.0.2.1")
	}
	w.Listed(seen)
	w.Tell(all)
	until(t, "all are written", func() bool { return d.count() == many })
	until(t, "and told", func() bool { return len(happened()) == many })
	w.Tell(all)
	w.Saw(name(1), &Said{UID: "u", Balanced: true, Version: "8"}) // what was watched before the answer came
	w.Saw(name(many), &Said{UID: "u", Balanced: true, Version: "7"})
	all = source.Statuses{Services: map[clustermesh.ServiceName]source.ServiceStatus{name(many): told([]string{"192.0.2.2"}, "True Given: x")}}
	w.Tell(all)
	until(t, "one more is", func() bool { return d.count() > many })
	if d.count() != many+1 || d.atOnce > atOnce || d.atOnce < 2 {
		t.Errorf("%d writes, %d at once", d.count(), d.atOnce)
	}
}

// Nothing is written before all is told, of what cannot be read, once another leads, and
// to another object than the one that was judged.
func TestSilence(t *testing.T) {
	d := &desk{}
	w, _ := open(t, d, io.Discard)
	ours := &Said{UID: "u", Balanced: true, Version: "7", Owned: true}
	left := &Said{UID: "u", Balanced: true, Version: "7", Owned: true, Left: true}
	other := &Said{UID: "u", Balanced: true, Version: "7", Judged: source.Judged{Class: "example.com/lb"}}
	// Another writes to it just now, and that was not judged yet.
	theirs := &Said{UID: "u", Balanced: true, Version: "8", Owned: true, Others: true, Judged: source.Judged{Others: true}}
	w.Listed(map[clustermesh.ServiceName]*Said{name(0): ours, name(1): left, name(2): ours, name(3): other, name(4): theirs})
	w.Tell(source.Statuses{Services: map[clustermesh.ServiceName]source.ServiceStatus{name(2): {}}})
	w.Stop()
	w.Tell(source.Statuses{Whole: true, Services: map[clustermesh.ServiceName]source.ServiceStatus{name(2): told(nil, "False PoolFull: x"), name(3): told(nil, "False PoolFull: x"), name(4): told([]string{"192.0.2.1"}, "True Given: x")}})
	until(t, "what is not wanted goes, what is not known stays", func() bool { return d.count() == 2 })
	d.mu.Lock()
	defer d.mu.Unlock()
	if slices.Sort(d.wrote); !slices.Equal(d.wrote, []string{"s0", "s2"}) {
		t.Errorf("written: %v", d.wrote)
	}
}

// An API that refuses is asked now and then, by one request, and it is said once.
func TestRefused(t *testing.T) {
	d, log := &desk{refused: apierrors.NewForbidden(corev1.Resource("services/status"), "s", fmt.Errorf("no"))}, &text{}
	w, happened := open(t, d, log)
	all := source.Statuses{Whole: true, Services: map[clustermesh.ServiceName]source.ServiceStatus{}}
	for i := range 100 {
		w.Saw(name(i), &Said{UID: "u", Balanced: true, Version: "7"})
		all.Services[name(i)] = told([]string{"192.0.2.1"}, "True Given: x")
	}
	w.Tell(all)
	until(t, "it is refused", func() bool { return strings.Contains(log.String(), "kubectl apply") })
	if got := strings.Count(log.String(), "kubectl apply -f deploy/rbac/apiserver.yaml"); got != 1 || len(happened()) > 0 {
		t.Errorf("it is said %d times, %d events: %s", got, len(happened()), log)
	}
	d.refuse(nil)
	until(t, "all are written when it does not any more", func() bool { return len(happened()) == 100 })
	if n := d.count(); n > 100+2*atOnce {
		t.Errorf("%d writes to an API that refused", n)
	}
}

// text is a log of several goroutines.
type text struct {
	mu sync.Mutex
	b  strings.Builder
}

func (t *text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

func (t *text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}
