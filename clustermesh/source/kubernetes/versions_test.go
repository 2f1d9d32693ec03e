package kubernetes

import (
	"context"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

// An API may have a kind in one version, in another, in none for now, and answer
// with errors; it is asked again in the version that it had last.
func TestEither(t *testing.T) {
	missing := apierrors.NewNotFound(schema.GroupResource{Resource: "serviceexports"}, "")
	down := errors.New("down")
	var asked []string
	answers := map[string]error{}
	version := func(name string) listWatch {
		return listWatch{
			func(context.Context, metav1.ListOptions) (runtime.Object, error) {
				asked = append(asked, "list "+name)
				return &corev1.List{}, answers[name]
			},
			func(context.Context, metav1.ListOptions) (watch.Interface, error) {
				asked = append(asked, "watch "+name)
				return watch.NewFake(), answers[name]
			},
		}
	}
	api := either(version("new"), version("old"))
	for _, step := range []struct {
		name     string
		new, old error
		verb     string
		err      error
		want     string
	}{
		{"both", nil, nil, "list", nil, "list new"},
		{"neither", missing, missing, "list", missing, "list new, list old"},
		{"an error is not the want of a version", down, nil, "watch", down, "watch new"},
		{"the older alone", missing, nil, "watch", nil, "watch new, watch old"},
		{"it is remembered", nil, nil, "list", nil, "list old"},
		{"until it is gone", nil, missing, "watch", nil, "watch old, watch new"},
	} {
		asked, answers = nil, map[string]error{"new": step.new, "old": step.old}
		var err error
		if step.verb == "list" {
			_, err = api.list(t.Context(), metav1.ListOptions{})
		} else {
			_, err = api.watch(t.Context(), metav1.ListOptions{})
		}
		if got := strings.Join(asked, ", "); got != step.want || !errors.Is(err, step.err) {
			t.Errorf("%s: asked %s, got %v; want %s, %v", step.name, got, err, step.want, step.err)
		}
	}
}
