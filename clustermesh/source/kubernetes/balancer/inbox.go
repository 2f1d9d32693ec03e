package balancer

import (
	"maps"
	"sync"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
)

// inbox keeps what is new for the writer until that takes it.
type inbox struct {
	// mu guards what follows: the source and the API server both put in and neither
	// may wait, and of one service the newest counts, which a channel cannot say.
	mu sync.Mutex
	// seen are the services that were watched to change; nil for one that is gone.
	// With listed they are all there are.
	seen   map[clustermesh.ServiceName]*Said
	listed bool
	// told is what they should say; ended: what was told before that is void.
	told  *source.Statuses
	ended bool
	// wake has something when there is something new.
	wake chan struct{}
}

// news is the contents of an inbox.
type news struct {
	seen   map[clustermesh.ServiceName]*Said
	listed bool
	told   *source.Statuses
	ended  bool
}

// change lets do put something in.
func (b *inbox) change(do func()) {
	b.mu.Lock()
	do()
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take empties it.
func (b *inbox) take() news {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := news{b.seen, b.listed, b.told, b.ended}
	b.seen, b.listed, b.told, b.ended = map[clustermesh.ServiceName]*Said{}, false, nil, false
	return out
}

// tell adds what services should say from now on.
func (b *inbox) tell(s source.Statuses) {
	if b.told == nil || s.Whole {
		b.told = &source.Statuses{Whole: s.Whole, Services: maps.Clone(s.Services)}
		return
	}
	maps.Copy(b.told.Services, s.Services)
}
