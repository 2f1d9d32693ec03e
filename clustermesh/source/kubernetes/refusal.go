package kubernetes

import (
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// refusal is how the API does not do as it was asked.
type refusal struct {
	kind kind
	verb string
	err  error
}

// absent says whether our kind does not exist in this API, denied whether we
// may not read what exists.
func (r refusal) absent() bool { return r.kind.ours && apierrors.IsNotFound(r.err) }
func (r refusal) denied() bool { return apierrors.IsForbidden(r.err) }

// sort returns a word that stays the same while the same is wrong: the texts of
// errors have ports and times in them.
func (r refusal) sort() string {
	switch {
	case r.absent():
		return "absent"
	case r.denied():
		return "denied " + r.verb
	case apierrors.IsUnauthorized(r.err):
		return "unauthorized"
	}
	return "error"
}

// String says what is refused and what helps. It is tried again all the while.
func (r refusal) String() string {
	name := r.kind.resource.GroupResource().String()
	switch {
	case r.absent():
		return fmt.Sprintf("the API has no %s; install it: kubectl apply -f deploy/crds", name)
	case r.denied():
		return fmt.Sprintf("%s: the verb %q is not allowed: %v; the role in deploy/rbac/apiserver.yaml allows it: kubectl apply -f deploy/rbac/apiserver.yaml",
			name, r.verb, r.err)
	case apierrors.IsUnauthorized(r.err):
		return fmt.Sprintf("%s: the API does not know who we are: %v; give credentials that hold, with --kubeconfig or the pod's service account", name, r.err)
	}
	return fmt.Sprintf("%s: %s: %v", name, r.verb, shorter(r.err))
}

// shorter takes the URL off an error, with its parameters.
func shorter(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		var status apierrors.APIStatus
		if errors.As(err, &status) {
			return err
		}
		err = inner
	}
}
