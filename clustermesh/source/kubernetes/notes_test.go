package kubernetes

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
	"k8s.io/client-go/rest"

	"tombolo.io/tombolo/clustermesh/source"
)

// desk is an API that takes events, but those of some namespaces.
type desk struct {
	*client
	refused map[string]*apierrors.StatusError
	taken   []string
}

func newDesk(t *testing.T) *desk {
	d := &desk{refused: map[string]*apierrors.StatusError{}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		namespace := strings.Split(strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/"), "/")[0]
		w.Header().Set("Content-Type", "application/json")
		if err := d.refused[namespace]; err != nil {
			status := err.Status()
			status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
			w.WriteHeader(int(status.Code))
			json.NewEncoder(w).Encode(status)
			return
		}
		d.taken = append(d.taken, namespace)
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"apiVersion": "v1", "kind": "Event"}`)
	}))
	t.Cleanup(srv.Close)
	var err error
	if d.client, err = newClient(&rest.Config{Host: srv.URL, QPS: -1}); err != nil {
		t.Fatal(err)
	}
	return d
}

// took returns in which namespaces events were written since it was last asked.
func (d *desk) took() string {
	slices.Sort(d.taken)
	out := strings.Join(d.taken, " ")
	d.taken = nil
	return out
}

func forbidden() *apierrors.StatusError {
	return apierrors.NewForbidden(corev1.Resource("events"), "e", fmt.Errorf("no"))
}

// An event that is refused keeps no other back, and is tried again in its turn.
func TestNotesGoOn(t *testing.T) {
	terminating := forbidden()
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	invalid := apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("Event").GroupKind(), "e", nil)
	for _, c := range []struct {
		name    string
		refusal *apierrors.StatusError
		hint    bool
	}{
		{"the namespace is about to go", terminating, false},
		{"the event is invalid", invalid, false},
		{"the role is missing", forbidden(), true},
	} {
		d, log := newDesk(t), &strings.Builder{}
		n := newNotes(Config{Node: "n0"}, d.client, slog.New(slog.NewTextHandler(log, nil)))
		all := map[note]string{}
		for i := range 6 {
			all[note{object: source.Key{Kind: source.Service, Namespace: fmt.Sprintf("n%d", i), Name: "web"}}] = "1"
		}
		d.refused["n1"], d.refused["n3"] = c.refusal, c.refusal
		start := time.Unix(1000, 0)
		at := func(after time.Duration, want string) {
			t.Helper()
			n.report(n.write(t.Context(), all, start.Add(after)))
			if got := d.took(); got != want {
				t.Errorf("%s: after %v there are events in %q, want %q", c.name, after, got, want)
			}
		}
		at(0, "n0 n2 n4 n5")
		at(time.Second, "")
		at(noteRetry, "")
		delete(d.refused, "n1")
		at(2*noteRetry, "n1")
		if got := strings.Count(log.String(), "cannot be written"); got != 1 {
			t.Errorf("%s: it was logged %d times:\n%s", c.name, got, log)
		}
		delete(d.refused, "n3")
		at(3*noteRetry, "n3")
		at(repeatNote, "n0 n2 n4 n5")
		if got := strings.Contains(log.String(), "deploy/rbac/apiserver.yaml"); got != c.hint {
			t.Errorf("%s: the role is named: %v:\n%s", c.name, got, log)
		}
	}
}

// Mistakes go before what means nothing, however much there is of that; and that is said
// once, also where another process has said it.
func TestNotesOfMistakesFirst(t *testing.T) {
	d := newDesk(t)
	n := newNotes(Config{Node: "n0"}, d.client, slog.New(slog.DiscardHandler))
	all := map[note]string{}
	for i := range 500 {
		all[note{object: source.Key{Kind: source.Service, Namespace: "stray", Name: fmt.Sprint("s", i)}, mistake: mistake{stray: true, text: "x"}}] = "1"
	}
	for i := range 5 {
		all[note{object: source.Key{Kind: source.Service, Namespace: "wrong", Name: fmt.Sprint("s", i)}}] = "1"
	}
	start, wrote := time.Unix(1000, 0), map[string]int{}
	look := func(after time.Duration) {
		t.Helper()
		if err := n.write(t.Context(), all, start.Add(after)); err != nil {
			t.Fatal(err)
		}
		for _, namespace := range d.taken {
			wrote[namespace]++
		}
		d.taken = nil
	}
	if look(0); wrote["wrong"] != 5 || wrote["stray"] != notesAtOnce-5 {
		t.Errorf("first there are %v", wrote)
	}
	for i := range 600 {
		look(time.Duration(i) * time.Second)
	}
	if wrote["wrong"] != 5 || wrote["stray"] != 500 {
		t.Errorf("after ten minutes there are %v", wrote)
	}
	for i := range 600 {
		look(repeatNote + time.Duration(i)*time.Second)
	}
	if wrote["wrong"] != 10 || wrote["stray"] != 500 {
		t.Errorf("after another half an hour there are %v", wrote)
	}
	// The next to lead finds what was said.
	d.refused["stray"] = apierrors.NewAlreadyExists(corev1.Resource("events"), "e")
	n.turns = map[note]turn{}
	for i := range 600 {
		look(2*repeatNote + time.Duration(i)*time.Second)
	}
	if wrote["wrong"] != 15 || len(n.turns) != 505 {
		t.Errorf("the next to lead wrote %v, and has %d turns", wrote, len(n.turns))
	}
}
