package kubernetes

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	"slices"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"tombolo.io/tombolo/clustermesh/source"
)

// How events are written.
const (
	// noteEvery and notesAtOnce bound the events of one process.
	noteEvery   = 200 * time.Millisecond
	notesAtOnce = 25
	// repeatNote is how often an event is written anew while its reason lasts:
	// Kubernetes forgets events after an hour.
	repeatNote = 30 * time.Minute
	// once is when one is that says what means nothing: not again.
	once = 365 * 24 * time.Hour
	// lookAround is how often it is looked whether we lead.
	lookAround = time.Second
	// noteRetry is the wait before an event is tried again that was refused.
	noteRetry = 30 * time.Second
)

// The reasons of events, as kubectl shows them.
const (
	reasonAnnotation = "InvalidAnnotation"
	reasonStray      = "UnknownAnnotation"
	reasonObject     = "NotTaken"
)

// note is an event to be: one mistake in one object.
type note struct {
	object  source.Key
	uid     types.UID
	mistake mistake
}

// notes writes Events on the objects that cannot be taken as they are, or say what
// means nothing; of the latter once. The same mistake in the same object is one Event,
// whoever writes it and how often.
type notes struct {
	config Config
	client *client
	log    *slog.Logger
	// wanted has what is wrong now, when that changed.
	wanted chan map[note]string
	// turns are those of the wanted that were written or refused.
	turns map[note]turn
	limit *rate.Limiter
	// refused: that events cannot be written was logged, and some still cannot.
	refused bool
}

// turn is when a note is to be written again, and whether it was refused.
type turn struct {
	due     time.Time
	refused bool
}

func newNotes(c Config, api *client, log *slog.Logger) *notes {
	return &notes{config: c, client: api, log: log, wanted: make(chan map[note]string, 1), turns: map[note]turn{},
		limit: rate.NewLimiter(rate.Every(noteEvery), notesAtOnce)}
}

// set says what is wrong now. It never blocks.
func (n *notes) set(faults ...map[source.Key]fault) {
	all := map[note]string{}
	for _, some := range faults {
		for key, f := range some {
			for _, m := range f.mistakes {
				all[note{key, f.uid, m}] = f.version
			}
		}
	}
	select {
	case <-n.wanted: // a set that nobody took yet
	default:
	}
	n.wanted <- all
}

// run writes until ctx ends.
func (n *notes) run(ctx context.Context) {
	tick := time.NewTicker(lookAround)
	defer tick.Stop()
	var all map[note]string
	for {
		select {
		case <-ctx.Done():
			return
		case all = <-n.wanted:
			maps.DeleteFunc(n.turns, func(old note, _ turn) bool { _, ok := all[old]; return !ok })
		case <-tick.C:
		}
		if len(all) > 0 && n.config.Leads() {
			n.report(n.write(ctx, all, time.Now()))
		}
	}
}

// write writes the events that are due, of mistakes first. One that is refused, because
// its namespace is about to go or whatever it is, keeps no other from being written.
func (n *notes) write(ctx context.Context, all map[note]string, now time.Time) error {
	return errors.Join(n.some(ctx, all, false, now), n.some(ctx, all, true, now))
}

// some writes those that are due of mistakes, or of what means nothing.
func (n *notes) some(ctx context.Context, all map[note]string, strays bool, now time.Time) error {
	var errs []error
	for w, version := range all {
		if w.mistake.stray != strays || now.Before(n.turns[w].due) {
			continue
		}
		if ctx.Err() != nil || !n.limit.AllowN(now, 1) {
			break // the others with the next look
		}
		if err := n.client.event(ctx, n.event(w, version, now), !strays); err != nil {
			n.turns[w] = turn{now.Add(noteRetry), true}
			errs = append(errs, fmt.Errorf("writing an event on %s: %w%s", w.object, err, hint(err)))
			continue
		}
		n.turns[w] = turn{due: now.Add(map[bool]time.Duration{false: repeatNote, true: once}[strays])}
	}
	return errors.Join(errs...)
}

// hint says what helps, where that is the role. Whatever is made in a namespace
// that is about to go is forbidden too, to everybody.
func hint(err error) string {
	if !apierrors.IsForbidden(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return ""
	}
	return "; the role in deploy/rbac/apiserver.yaml allows it: kubectl apply -f deploy/rbac/apiserver.yaml"
}

// report logs that events cannot be written, once until all can.
func (n *notes) report(err error) {
	if err == nil {
		n.refused = n.refused && slices.ContainsFunc(slices.Collect(maps.Values(n.turns)), func(t turn) bool { return t.refused })
		return
	}
	if !n.refused {
		n.log.Warn("events on objects cannot be written; the status says what is wrong with them, and it is tried again", "err", err)
	}
	n.refused = true
}

// event returns the Event of a note. Its name says object, mistake and UID, so
// that the next to lead finds it.
func (n *notes) event(w note, version string, now time.Time) *corev1.Event {
	sum := fnv.New64a()
	sum.Write([]byte(w.object.String() + "\x00" + string(w.uid) + "\x00" + w.mistake.text))
	namespace, reason := w.object.Namespace, reasonObject
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	message := w.mistake.text + "; until this is mended, what was known of the object stays"
	switch {
	case w.mistake.annotation:
		reason = reasonAnnotation
	case w.mistake.stray:
		reason, message = reasonStray, w.mistake.text
	}
	k := kindOf(w.object.Kind)
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: w.object.Name + "." + hex.EncodeToString(sum.Sum(nil))},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: k.apiVersion(), Kind: string(w.object.Kind), Namespace: w.object.Namespace, Name: w.object.Name,
			UID: w.uid, ResourceVersion: version,
		},
		Type: corev1.EventTypeWarning, Reason: reason, Message: message,
		Source: corev1.EventSource{Component: "tombolo", Host: n.config.Node}, ReportingController: "tombolo.io/apiserver", ReportingInstance: n.config.Node,
		FirstTimestamp: metav1.NewTime(now), LastTimestamp: metav1.NewTime(now), Count: 1,
	}
}

// event writes an Event. Of one that there is it says that it is true again, if that is
// to be said.
func (c *client) event(ctx context.Context, e *corev1.Event, repeat bool) error {
	err := c.core.Post().Namespace(e.Namespace).Resource("events").Body(e).Do(ctx).Error()
	switch {
	case !apierrors.IsAlreadyExists(err):
		return err
	case !repeat:
		return nil
	}
	again, err := json.Marshal(map[string]any{"lastTimestamp": e.LastTimestamp})
	if err != nil {
		return err
	}
	return c.core.Patch(types.MergePatchType).Namespace(e.Namespace).Resource("events").Name(e.Name).Body(again).Do(ctx).Error()
}
