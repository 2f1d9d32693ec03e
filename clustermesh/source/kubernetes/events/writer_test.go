package events

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
)

// desk is an API that keeps Events, and refuses those of a namespace.
type desk struct {
	kept     map[string]*corev1.Event
	order    []string
	refused  string
	requests int
}

func (d *desk) serve(w http.ResponseWriter, r *http.Request) {
	d.requests++
	w.Header().Set("Content-Type", "application/json")
	fail := func(err *apierrors.StatusError) {
		status := err.Status()
		status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
		w.WriteHeader(int(status.Code))
		json.NewEncoder(w).Encode(status)
	}
	parts := strings.Split(r.URL.Path, "/")
	if parts[4] == d.refused {
		fail(apierrors.NewForbidden(corev1.Resource("events"), "e", fmt.Errorf("no")))
		return
	}
	var e corev1.Event
	if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
		panic(err)
	}
	switch {
	case r.Method == http.MethodPost && d.kept[e.Name] != nil:
		fail(apierrors.NewAlreadyExists(corev1.Resource("events"), e.Name))
		return
	case r.Method == http.MethodPost:
		d.kept[e.Name] = &e
		d.order = append(d.order, e.Reason)
	case d.kept[parts[6]] == nil:
		fail(apierrors.NewNotFound(corev1.Resource("events"), parts[6]))
		return
	default:
		if e.Count > 0 {
			d.kept[parts[6]].Count = e.Count
		}
		e = *d.kept[parts[6]]
	}
	e.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Event"}
	json.NewEncoder(w).Encode(e)
}

// says returns what there is: "Warning Full 3".
func (d *desk) says() string {
	var all []string
	for _, e := range d.kept {
		all = append(all, fmt.Sprintf("%s %s %d", e.Type, e.Reason, e.Count))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func open(t *testing.T, d *desk) *Writer {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(d.serve))
	t.Cleanup(srv.Close)
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	version := corev1.SchemeGroupVersion
	api, err := rest.RESTClientFor(&rest.Config{Host: srv.URL, QPS: -1, APIPath: "/api", ContentConfig: rest.ContentConfig{
		GroupVersion: &version, NegotiatedSerializer: serializer.NewCodecFactory(scheme).WithoutConversion()}})
	if err != nil {
		t.Fatal(err)
	}
	return New(api, "n1", slog.New(slog.DiscardHandler))
}

func event(reason string, warning bool) Event {
	return Event{Object: corev1.ObjectReference{Kind: "Service", Namespace: "shop", Name: "web", UID: "u1"}, Warning: warning, Reason: reason, Message: "because"}
}

// What happens again is one Event that counts, whoever writes it, as long as the API
// knows it.
func TestEventsCount(t *testing.T) {
	d := &desk{kept: map[string]*corev1.Event{}}
	w := open(t, d)
	now := time.Unix(1e9, 0)
	turn := func(want string) {
		t.Helper()
		now = now.Add(time.Minute)
		w.turn(t.Context(), now)
		if got := d.says(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	w.Tell(event("Full", true))
	turn("Warning Full 1")
	w.Tell(event("Given", false))
	turn("Normal Given 1, Warning Full 1")
	w.Tell(event("Full", true))
	w.Tell(event("Full", true))
	turn("Normal Given 1, Warning Full 3")
	w = open(t, d) // another leads
	w.Tell(event("Full", true))
	turn("Normal Given 1, Warning Full 4")
	clear(d.kept)
	w.Tell(event("Full", true))
	turn("Warning Full 1")
}

// Warnings come first, and only so many at once.
func TestEventsInOrder(t *testing.T) {
	d := &desk{kept: map[string]*corev1.Event{}}
	w := open(t, d)
	for i := range atOnce + 20 {
		w.Tell(event(fmt.Sprint("Given", i), false))
	}
	w.Tell(event("Full", true))
	start := time.Unix(1e9, 0)
	w.turn(t.Context(), start)
	if len(d.order) != atOnce || d.order[0] != "Full" || d.order[1] != "Given0" {
		t.Errorf("%d events, first %v", len(d.order), d.order[:2])
	}
	w.turn(t.Context(), start.Add(10*every))
	if len(d.order) != atOnce+10 {
		t.Errorf("%d events a moment later", len(d.order))
	}
	w.turn(t.Context(), start.Add(time.Minute))
	if len(d.order) != atOnce+21 || w.left() {
		t.Errorf("%d events in the end", len(d.order))
	}
}

// One that is refused keeps no other back, and is given up after some attempts.
func TestEventsRefused(t *testing.T) {
	d := &desk{kept: map[string]*corev1.Event{}, refused: "shop"}
	w := open(t, d)
	other := event("Given", false)
	other.Object.Namespace = "ops"
	w.Tell(event("Full", true))
	w.Tell(other)
	now := time.Unix(1e9, 0)
	w.turn(t.Context(), now)
	if got := d.says(); got != "Normal Given 1" {
		t.Errorf("got %q", got)
	}
	for range 2 * attempts {
		now = now.Add(retry)
		w.turn(t.Context(), now)
	}
	if want := attempts + 1; d.requests != want || w.left() {
		t.Errorf("%d requests, want %d", d.requests, want)
	}
}
