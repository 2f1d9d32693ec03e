package balancer

import (
	"errors"
	"log/slog"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"tombolo.io/tombolo/clustermesh"
)

// answered says whether an error is what the API answers to one status, and not that it
// takes nothing just now. A webhook that fails is one of these too: it may be asked about
// some services alone.
func answered(err error) bool {
	var s apierrors.APIStatus
	if !errors.As(err, &s) {
		return false
	}
	switch s.Status().Code {
	case http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return false
	}
	return true
}

// complaints logs that statuses cannot be written: of a service once, of many services
// or of the API as a whole once until all is well.
type complaints struct {
	log *slog.Logger
	// of are the services of which it was logged, or would have been, had they not been
	// too many.
	of   map[clustermesh.ServiceName]struct{}
	many bool
}

// ended takes in how a write went, and whether the API was silent before and is now.
func (c *complaints) ended(name clustermesh.ServiceName, err error, before, silent bool) {
	switch {
	case silent && !before:
		c.log.Warn("the load-balancer addresses of services cannot be written to their status, for the API does not answer; it is tried again", "service", name.String(), "err", err)
	case before && !silent:
		c.log.Info("the API answers again, so that load-balancer addresses can be written to the status of services")
	}
	switch _, known := c.of[name]; {
	case err == nil:
		c.settled(name)
	case known || silent:
	default:
		c.refused(name, err)
	}
}

func (c *complaints) refused(name clustermesh.ServiceName, err error) {
	c.of[name] = struct{}{}
	if c.many {
		return
	}
	if c.many = len(c.of) >= enough; !c.many {
		c.log.Warn("the load-balancer addresses of a service cannot be written to its status; it is tried again", "service", name.String(), "err", err)
		return
	}
	text := err.Error()
	if apierrors.IsForbidden(err) && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		text += "; the role in deploy/rbac/apiserver.yaml allows it: kubectl apply -f deploy/rbac/apiserver.yaml"
	}
	c.log.Warn("the load-balancer addresses of several services cannot be written to their status, of this one too; they are tried again, and no more are named", "service", name.String(), "err", text)
}

// settled takes in that a service is written, or gone.
func (c *complaints) settled(name clustermesh.ServiceName) {
	delete(c.of, name)
	if c.many && len(c.of) == 0 {
		c.many = false
		c.log.Info("the load-balancer addresses of services can be written to the status of all of them again")
	}
}
