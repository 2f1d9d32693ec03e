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
	// pace says who of those that are due may be written; busy are under way, and those of
	// them that changed meanwhile are true.
	pace *pace
	busy map[clustermesh.ServiceName]bool
	done chan result
	// contests are the services whose status others change when we have written it, complaints what
	// was logged of refusals.
	contests   contests
	complaints complaints
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
		queue: reconcile.New[clustermesh.ServiceName](backoff), pace: newPace(), busy: map[clustermesh.ServiceName]bool{}, done: make(chan result, atOnce),
		contests: contests{}, complaints: complaints{log: log, of: map[clustermesh.ServiceName]struct{}{}},
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
			w.pace.due(name)
		}
		for name, ok := w.pace.next(now, len(w.busy)); ok; name, ok = w.pace.next(now, len(w.busy)) {
			if write := w.plan(name, now); write != nil {
				all.Go(func() { w.done <- write(ctx) })
			} else {
				w.pace.idle(name)
			}
		}
		timer.Reset(w.wait(now))
	}
}

func (w *Writer) wait(now time.Time) time.Duration {
	out := time.Hour
	if at, ok := w.queue.Next(); ok {
		out = at.Sub(now)
	}
	if at, ok := w.pace.wait(); ok && len(w.busy) == 0 { // else its end wakes us
		out = min(out, at.Sub(now))
	}
	return max(out, time.Millisecond)
}

// take takes in what is new.
func (w *Writer) take(n news) {
	if n.listed {
		for name := range w.said {
			if _, ok := n.seen[name]; !ok {
				w.gone(name)
			}
		}
	}
	for name, s := range n.seen {
		switch old := w.said[name]; {
		case s == nil:
			w.gone(name)
			continue
		case old != nil && !n.listed && s.older(old):
			continue // the answer to a write came before its watch
		}
		w.said[name] = s
		w.mark(name)
	}
	if n.ended {
		w.told, w.whole = map[clustermesh.ServiceName]source.ServiceStatus{}, false
		clear(w.contests) // another writes from now on
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

func (w *Writer) gone(name clustermesh.ServiceName) {
	delete(w.said, name)
	delete(w.contests, name)
	w.pace.changed(name)
	w.complaints.settled(name)
}

// mark has a Service looked at that changed, or of which something else is to be said.
func (w *Writer) mark(name clustermesh.ServiceName) {
	w.pace.changed(name)
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
	contested, due := w.contests.judge(name, said, now)
	if now.Before(due) {
		w.queue.Done(name, nil, now)
		w.queue.Later(name, due)
		return nil
	}
	body, err := desired.body(name, said)
	if err != nil {
		w.queue.Done(name, err, now)
		w.log.Error("the status of a service cannot be put into words", "service", name.String(), "err", err)
		return nil
	}
	w.busy[name] = false
	happened := happened(name, said, desired, told)
	if contested > 0 {
		happened = w.contested(name, said, contested, happened)
	}
	return func(ctx context.Context) result {
		s, err := w.apply(ctx, name, body)
		return result{name, said.UID, s, happened, err}
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
	if errors.Is(r.err, context.Canceled) {
		return // we end
	}
	err := r.err
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) { // the watch tells more
		err = nil
	}
	silent := w.pace.silences >= enough
	for _, name := range w.pace.ended(r.name, err, now) {
		w.queue.Mark(name)
	}
	w.complaints.ended(r.name, err, silent, w.pace.silences >= enough)
	if r.err == nil {
		w.answered(r)
	}
	if apierrors.IsNotFound(r.err) {
		r.err = nil
	}
	if w.queue.Done(r.name, r.err, now); again {
		w.queue.Mark(r.name)
		w.pace.changed(r.name)
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
	w.contests.wrote(r.name, r.said)
	for _, e := range r.events {
		w.happened(e)
	}
}
