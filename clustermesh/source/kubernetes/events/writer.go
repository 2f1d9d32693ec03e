package events

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
)

// How Events are written.
const (
	// every and atOnce bound those of one process.
	every  = 50 * time.Millisecond
	atOnce = 100
	// look is how often it is looked what may be written.
	look = time.Second
	// most is how many may wait; beyond it those that are in order are dropped.
	most = 10_000
	// attempts is how often one is tried that is refused, after retry each.
	attempts = 3
	retry    = 10 * time.Second
	// forget is how long the count of an Event is known; the API forgets it as early.
	forget = time.Hour
)

// Writer writes Events.
type Writer struct {
	core rest.Interface
	log  *slog.Logger
	// node is where this process runs.
	node string

	// mu guards waiting: several goroutines tell, and none of them may wait for the
	// API. told counts those that were ever there, dropped those that had no room.
	mu            sync.Mutex
	waiting       map[Event]*pending
	told, dropped int
	// wake has something when there is something new.
	wake chan struct{}

	// What follows is Run's. tokens are Events that may be written at once, as of
	// filled.
	tokens  int
	filled  time.Time
	written map[Event]count
	refused bool
}

// pending is an Event that is to be written.
type pending struct {
	times    int32
	order    int
	attempts int
	due      time.Time
}

// count is how often an Event happened, as it was written at a time.
type count struct {
	times int32
	at    time.Time
}

// New returns a writer that asks nothing before Run.
func New(core rest.Interface, node string, log *slog.Logger) *Writer {
	return &Writer{core: core, node: node, log: log, waiting: map[Event]*pending{}, wake: make(chan struct{}, 1),
		tokens: atOnce, written: map[Event]count{}}
}

// Tell has an Event written. It never blocks.
func (w *Writer) Tell(e Event) {
	e.Object.ResourceVersion = ""
	w.mu.Lock()
	defer w.mu.Unlock()
	switch p := w.waiting[e]; {
	case p != nil:
		p.times++
	case len(w.waiting) >= most && !e.Warning || len(w.waiting) >= 2*most:
		w.dropped++
	default:
		w.told++
		w.waiting[e] = &pending{times: 1, order: w.told}
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run writes until ctx ends.
func (w *Writer) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-timer.C:
		}
		w.turn(ctx, time.Now())
		if w.left() {
			timer.Reset(look)
		}
	}
}

func (w *Writer) left() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.waiting) > 0
}

// turn writes what is due, as much as may be now.
func (w *Writer) turn(ctx context.Context, now time.Time) {
	w.fill(now)
	for _, e := range w.next(now, w.tokens) {
		if ctx.Err() != nil {
			return
		}
		w.tokens--
		p := w.take(e)
		if p == nil {
			continue
		}
		times, err := write(ctx, w.core, e.body(w.node, p.times, now), w.written[e].times)
		if err != nil {
			w.failed(e, p, err, now)
			continue
		}
		w.written[e] = count{times, now}
		w.refused = false
	}
	maps.DeleteFunc(w.written, func(_ Event, c count) bool { return now.Sub(c.at) > forget })
}

// fill makes tokens of the time that passed.
func (w *Writer) fill(now time.Time) {
	if n := int(now.Sub(w.filled) / every); n > 0 {
		w.tokens, w.filled = min(atOnce, w.tokens+min(n, atOnce)), now
	}
}

// next returns the Events to be written now, at most n: warnings first, then in the
// order in which they were told.
func (w *Writer) next(now time.Time, n int) []Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dropped > 0 {
		w.log.Warn("too many events at once; some that tell of what is in order are not written", "events", w.dropped)
		w.dropped = 0
	}
	if n == 0 {
		return nil // and no need to know whose turn it is
	}
	var out []Event
	for e, p := range w.waiting {
		if !now.Before(p.due) {
			out = append(out, e)
		}
	}
	rank := func(e Event) int {
		if e.Warning {
			return 0
		}
		return 1
	}
	slices.SortFunc(out, func(a, b Event) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(w.waiting[a].order, w.waiting[b].order))
	})
	return out[:min(n, len(out))]
}

func (w *Writer) take(e Event) *pending {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.waiting[e]
	delete(w.waiting, e)
	return p
}

// failed takes in that an Event was refused: it is tried again, though not for ever.
// One on an object whose namespace is about to go will never be.
func (w *Writer) failed(e Event, p *pending, err error, now time.Time) {
	gone := apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) || apierrors.IsNotFound(err)
	if !w.refused && !gone {
		w.log.Warn("an event cannot be written; it is tried again", "object", e.Object.Kind+" "+e.Object.Namespace+"/"+e.Object.Name,
			"reason", e.Reason, "message", e.Message, "err", err)
		w.refused = true
	}
	if p.attempts++; p.attempts >= attempts || gone {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if again := w.waiting[e]; again != nil {
		p.times += again.times
	}
	p.due = now.Add(retry)
	w.waiting[e] = p
}
