package etcd

import (
	"context"
	"time"
)

// update is what the watcher hands to the feeder: the events of one response
// or listing, and the state after them.
type update[T any] struct {
	events   []Event[T]
	revision int64
	epoch    string
	reign    uint64
	stale    time.Time
	err      error
}

// feed passes updates on as batches. It always takes an update at once: what
// a slow reader has not taken is merged by key, so that the connection to the
// store never waits for the reader and the reader never misses a last value.
func feed[T any](ctx context.Context, in <-chan update[T], found <-chan diagnosis, out chan<- Batch[T]) {
	p := newPending[T]()
	for {
		select {
		case u := <-in:
			p.merge(u)
			continue
		default:
		}
		var ready chan<- Batch[T]
		if p.due {
			ready = out
		}
		select {
		case u := <-in:
			p.merge(u)
		case d := <-found:
			p.learn(d)
		case ready <- p.batch():
			p = p.next()
		case <-ctx.Done():
			return
		}
	}
}

// pending is a batch that is not yet taken.
type pending[T any] struct {
	// events is in order; an event that was replaced has Op 0.
	events []Event[T]
	// at and invalid say where the key's event is. Invalid events have their
	// own place, because they do not replace the last good value.
	at, invalid map[string]int
	holes       int

	// last is the state after the events; told says whether the reader was
	// ever told one. The first is news even when the table is empty.
	last Batch[T]
	told bool
	// known: last.Err is a diagnosis of what began at last.Stale, and stays.
	known bool
	// due: there is something to tell.
	due bool
}

func newPending[T any]() *pending[T] {
	return &pending[T]{at: map[string]int{}, invalid: map[string]int{}}
}

// next is what follows a batch that was taken.
func (p *pending[T]) next() *pending[T] {
	n := newPending[T]()
	n.last, n.told, n.known = p.last, true, p.known
	return n
}

func (p *pending[T]) merge(u update[T]) {
	p.due = p.due || !p.told || len(u.events) > 0 || !u.stale.Equal(p.last.Stale)
	if p.known = p.known && u.stale.Equal(p.last.Stale); p.known {
		u.err = p.last.Err
	}
	p.last = Batch[T]{Revision: u.revision, Epoch: u.epoch, Reign: u.reign, Stale: u.stale, Err: u.err}
	for _, e := range u.events {
		p.add(e)
	}
}

// learn takes in why the store is out of reach, unless it is no longer, or is again.
func (p *pending[T]) learn(d diagnosis) {
	if d.stale.Equal(p.last.Stale) {
		p.last.Err, p.known, p.due = d.err, true, true
	}
}

// add takes an event and drops those that it makes pointless. As in a Writer,
// a put keeps the place of the put that it replaces, and everything else goes
// last.
func (p *pending[T]) add(e Event[T]) {
	if bad, ok := p.remove(p.invalid, e.Key); ok {
		e.fresh = bad.fresh
	}
	i, ok := p.at[e.Key]
	if ok {
		e.fresh = p.events[i].fresh
	}
	switch {
	case e.Op == Invalid:
		p.append(p.invalid, e)
		return
	case ok && e.Op == Put && p.events[i].Op == Put:
		p.events[i] = e
		return
	}
	p.remove(p.at, e.Key)
	if e.Op != Delete || !e.fresh {
		p.append(p.at, e)
	}
}

func (p *pending[T]) append(index map[string]int, e Event[T]) {
	index[e.Key] = len(p.events)
	p.events = append(p.events, e)
}

func (p *pending[T]) remove(index map[string]int, key string) (Event[T], bool) {
	i, ok := index[key]
	if !ok {
		return Event[T]{}, false
	}
	old := p.events[i]
	p.events[i] = Event[T]{}
	delete(index, key)
	if p.holes++; p.holes > len(p.events)/2 {
		p.compact()
	}
	return old, true
}

// compact closes the holes, so that memory is bounded by the number of keys.
func (p *pending[T]) compact() {
	events := make([]Event[T], 0, len(p.events)-p.holes)
	for _, e := range p.events {
		if e.Op == 0 {
			continue
		}
		index := p.at
		if e.Op == Invalid {
			index = p.invalid
		}
		index[e.Key] = len(events)
		events = append(events, e)
	}
	p.events, p.holes = events, 0
}

func (p *pending[T]) batch() Batch[T] {
	if p.holes > 0 {
		p.compact()
	}
	b := p.last
	b.Events = p.events
	return b
}
