package cri

import (
	"context"
	"time"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// An ear hears a runtime's events of containers, among them those of sandboxes. What
// they say is not looked at: each means that there is something to list.
type ear struct {
	// heard has a value when there was an event, and is closed when no more will come.
	heard chan struct{}
	stop  context.CancelFunc
	// since is when it began to listen.
	since time.Time
}

// listen begins to listen.
func (s *session) listen(ctx context.Context, now time.Time) *ear {
	ctx, cancel := context.WithCancel(ctx)
	e := &ear{heard: make(chan struct{}, 1), stop: cancel, since: now}
	go e.run(ctx, s.api)
	return e
}

// run ends when the runtime ends it: CRI-O at once unless enable_pod_events is set.
func (e *ear) run(ctx context.Context, api runtime.RuntimeServiceClient) {
	defer close(e.heard)
	defer e.stop()
	events, err := api.GetContainerEvents(ctx, &runtime.GetEventsRequest{})
	for err == nil {
		if _, err = events.Recv(); err == nil {
			select {
			case e.heard <- struct{}{}:
			default:
			}
		}
	}
}

// channel has a value when something was heard; of no ear it has none.
func (e *ear) channel() <-chan struct{} {
	if e == nil {
		return nil
	}
	return e.heard
}

// close stops listening and waits until it has.
func (e *ear) close() {
	if e == nil {
		return
	}
	e.stop()
	for range e.heard { // until it is closed
	}
}
