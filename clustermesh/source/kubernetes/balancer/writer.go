package balancer

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
	"tombolo.io/tombolo/clustermesh/source/kubernetes/events"
	"tombolo.io/tombolo/clustermesh/source/kubernetes/status"
	"tombolo.io/tombolo/internal/reconcile"
)

// How statuses are written. An API that is slow gets as many requests as it answers.
const (
	// atOnce is how many requests are under way.
	atOnce = 16
	// patience bounds one.
	patience = 15 * time.Second
	// enough failures in a row are the API's and not those of single services; then
	// nothing is written for a pause.
	enough = 3
	pause  = 5 * time.Second
)

// backoff is that of a Service that cannot be written: it is another one by now, or
// the API says no.
var backoff = reconcile.Backoff{Min: 100 * time.Millisecond, Max: time.Minute}

// Writer writes the statuses of Services.
type Writer struct {
	api        rest.Interface
	parameters runtime.ParameterCodec
	log        *slog.Logger
	happened   func(events.Event)
	inbox      inbox

	// What follows is Run's. said are the Services there are, told what they should
	// say; whole: it names all of them.
	said  map[clustermesh.ServiceName]*Said
	told  map[clustermesh.ServiceName]source.ServiceStatus
	whole bool
	queue *reconcile.Queue[clustermesh.ServiceName]
	// ready are due, busy under way; those of them that changed meanwhile are true.
	// None is ready twice: while the API refuses, its watch goes on.
	ready  []clustermesh.ServiceName
	queued map[clustermesh.ServiceName]struct{}
	busy   map[clustermesh.ServiceName]bool
	done   chan result
	// refused are those whose refusal was logged, failures how many were refused, or not
	// answered, since one was not. failing: that were so many that the API does not let
	// us write; one is tried at until.
	refused  map[clustermesh.ServiceName]bool
	failures int
	failing  bool
	until    time.Time
}

// result is how a write went.
type result struct {
	name   clustermesh.ServiceName
	uid    types.UID
	said   *Said
	events []events.Event
	err    error
}

// New returns a writer that asks nothing before Run. What happened to a Service is
// told when it is written.
func New(api rest.Interface, parameters runtime.ParameterCodec, happened func(events.Event), log *slog.Logger) *Writer {
	return &Writer{
		api: api, parameters: parameters, happened: happened, log: log,
		inbox: inbox{seen: map[clustermesh.ServiceName]*Said{}, wake: make(chan struct{}, 1)},
		said:  map[clustermesh.ServiceName]*Said{}, told: map[clustermesh.ServiceName]source.ServiceStatus{},
		queue: reconcile.New[clustermesh.ServiceName](backoff), busy: map[clustermesh.ServiceName]bool{}, queued: map[clustermesh.ServiceName]struct{}{}, refused: map[clustermesh.ServiceName]bool{}, done: make(chan result, atOnce),
	}
}

// Saw takes in what a Service says; nil when it is gone.
func (w *Writer) Saw(name clustermesh.ServiceName, s *Said) {
	w.inbox.change(func() { w.inbox.seen[name] = s })
}

// Listed takes in what all Services say.
func (w *Writer) Listed(all map[clustermesh.ServiceName]*Said) {
	w.inbox.change(func() { w.inbox.seen, w.inbox.listed = maps.Clone(all), true })
}

// Tell takes in what Services should say from now on.
func (w *Writer) Tell(s source.Statuses) { w.inbox.change(func() { w.inbox.tell(s) }) }

// Stop takes in that another leads: nothing is written any more but what is under way.
func (w *Writer) Stop() { w.inbox.change(func() { w.inbox.told, w.inbox.ended = nil, true }) }

// Run writes until ctx ends.
func (w *Writer) Run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var all sync.WaitGroup
	defer all.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.inbox.wake:
			w.take(w.inbox.take())
		case r := <-w.done:
			w.finish(r, time.Now())
		case <-timer.C:
		}
		now := time.Now()
		for _, name := range w.queue.Take(now) {
			if _, twice := w.queued[name]; !twice {
				w.ready, w.queued[name] = append(w.ready, name), struct{}{}
			}
		}
		for w.may(now) {
			name := w.ready[0]
			w.ready = w.ready[1:]
			delete(w.queued, name)
			if write := w.plan(name, now); write != nil {
				all.Go(func() { w.done <- write(ctx) })
			}
		}
		timer.Reset(w.wait(now))
	}
}

// may says whether another write may begin.
func (w *Writer) may(now time.Time) bool {
	switch {
	case len(w.ready) == 0:
		return false
	case w.failing: // one at a time finds out whether the API lets us again
		return len(w.busy) == 0 && !now.Before(w.until)
	}
	return len(w.busy) < atOnce
}

func (w *Writer) wait(now time.Time) time.Duration {
	out := time.Hour
	if at, ok := w.queue.Next(); ok {
		out = at.Sub(now)
	}
	if w.failing && len(w.ready) > 0 && len(w.busy) == 0 { // else its end wakes us
		out = min(out, w.until.Sub(now))
	}
	return max(out, time.Millisecond)
}

// take takes in what is new.
func (w *Writer) take(n news) {
	if n.listed {
		for name := range w.said {
			if _, ok := n.seen[name]; !ok {
				delete(w.said, name)
			}
		}
	}
	for name, s := range n.seen {
		switch old := w.said[name]; {
		case s == nil:
			delete(w.said, name)
			delete(w.refused, name)
			continue
		case old != nil && !n.listed && s.older(old):
			continue // the answer to a write came before its watch
		}
		w.said[name] = s
		w.mark(name)
	}
	if n.ended {
		w.told, w.whole = map[clustermesh.ServiceName]source.ServiceStatus{}, false
	}
	if n.told == nil {
		return
	}
	if n.told.Whole {
		w.told, w.whole = map[clustermesh.ServiceName]source.ServiceStatus{}, true
		for name := range w.said {
			w.mark(name)
		}
	}
	for name, s := range n.told.Services {
		w.told[name] = s
		if len(s.Addresses)+len(s.Conditions) == 0 {
			delete(w.told, name) // as are those that were never ours
		}
		w.mark(name)
	}
}

func (w *Writer) mark(name clustermesh.ServiceName) {
	if _, ok := w.busy[name]; ok {
		w.busy[name] = true
		return
	}
	w.queue.Mark(name)
}

// plan returns what writes a Service, nil when it says what it should, or nobody
// knows what it should say: what was told is about another one of the name.
func (w *Writer) plan(name clustermesh.ServiceName, now time.Time) func(context.Context) result {
	_, busy := w.busy[name]
	said := w.said[name]
	told, ours := w.told[name]
	if busy || !w.whole || said == nil || said.Left || ours && (!said.Balanced || said.Judged != told.Judged) {
		w.queue.Done(name, nil, now)
		return nil
	}
	desired := wanted(told, said, now)
	if desired.said(said) {
		w.queue.Done(name, nil, now)
		return nil
	}
	body, err := desired.body(name, said)
	if err != nil {
		w.queue.Done(name, err, now)
		w.log.Error("the status of a service cannot be put into words", "service", name.String(), "err", err)
		return nil
	}
	w.busy[name] = false
	return func(ctx context.Context) result {
		s, err := w.apply(ctx, name, body)
		return result{name, said.UID, s, happened(name, said, desired, told), err}
	}
}

// apply writes a status, and returns what the Service says then.
func (w *Writer) apply(ctx context.Context, name clustermesh.ServiceName, body []byte) (*Said, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	force := true
	var out corev1.Service
	err := w.api.Patch(types.ApplyPatchType).Namespace(name.Namespace).Resource("services").Name(name.Name).SubResource("status").
		VersionedParams(&metav1.PatchOptions{FieldManager: status.FieldManager, Force: &force}, w.parameters).
		Body(body).Do(ctx).Into(&out)
	return Read(&out), err
}

// finish takes in how a write went.
func (w *Writer) finish(r result, now time.Time) {
	again := w.busy[r.name]
	delete(w.busy, r.name)
	passing := apierrors.IsNotFound(r.err) || apierrors.IsConflict(r.err) // the watch tells more
	switch {
	case r.err == nil || passing:
		delete(w.refused, r.name)
		w.well()
	case errors.Is(r.err, context.Canceled):
	default:
		w.ill(r, now)
	}
	if r.err == nil {
		w.answered(r)
	}
	if apierrors.IsNotFound(r.err) {
		r.err = nil
	}
	if w.queue.Done(r.name, r.err, now); again {
		w.queue.Mark(r.name)
	}
}

// answered takes in what a Service says after a write. The watch may have told of
// more by now.
func (w *Writer) answered(r result) {
	switch old := w.said[r.name]; {
	case old == nil || old.UID != r.uid:
	case r.said == nil:
		delete(w.said, r.name)
	case !r.said.older(old):
		w.said[r.name] = r.said
	}
	for _, e := range r.events {
		w.happened(e)
	}
}

// ill takes in that a status cannot be written, and logs it once: of the service, or,
// where no other can either, of the API.
func (w *Writer) ill(r result, now time.Time) {
	w.failures++
	switch {
	case w.failures >= enough && !w.failing:
		text := r.err.Error()
		if apierrors.IsForbidden(r.err) && !apierrors.HasStatusCause(r.err, corev1.NamespaceTerminatingCause) {
			text += "; the role in deploy/rbac/apiserver.yaml allows it: kubectl apply -f deploy/rbac/apiserver.yaml"
		}
		w.log.Warn("the load-balancer addresses of services cannot be written to their status; it is tried again", "service", r.name.String(), "err", text)
	case w.failures < enough && !w.refused[r.name]:
		w.log.Warn("the load-balancer addresses of a service cannot be written to its status; it is tried again", "service", r.name.String(), "err", r.err)
		w.refused[r.name] = true
	}
	if w.failing = w.failures >= enough; w.failing {
		w.until = now.Add(pause)
	}
}

func (w *Writer) well() {
	if w.failing {
		w.log.Info("the load-balancer addresses of services can be written to their status again")
	}
	w.failing, w.failures = false, 0
}
