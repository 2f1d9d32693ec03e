package kubernetes

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
)

// The namespace is got by its name, at no version: such a request no cache of a
// kube-apiserver answers.
func TestIdentity(t *testing.T) {
	for _, c := range []struct {
		code       int
		body, want string
		refused    bool
	}{
		{http.StatusOK, `{"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": "kube-system", "uid": "7c1"}}`, "7c1", false},
		{http.StatusNotFound, `{"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}`, "", false},
		{http.StatusForbidden, `{"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403}`, "", true},
	} {
		var asked string
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = r.Method + " " + r.URL.String()
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(c.code)
			fmt.Fprint(w, c.body)
		}))
		api, err := newClient(&rest.Config{Host: srv.URL})
		if err != nil {
			t.Fatal(err)
		}
		got, err := api.identity(t.Context())
		if got != c.want || (err != nil) != c.refused || apierrors.IsForbidden(err) != c.refused {
			t.Errorf("%d: store %q, error %v", c.code, got, err)
		}
		if asked != "GET /api/v1/namespaces/kube-system" {
			t.Errorf("it is asked %s", asked)
		}
		srv.Close()
	}
}
