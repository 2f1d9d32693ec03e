package pods

import (
	"context"
	"net/netip"
	"time"
)

// Source knows which pods run on this node.
type Source interface {
	// Follow looks until ctx ends, and tells all that is known whenever it looked,
	// from its own goroutine. It begins with what was known before a restart, nil for
	// nothing, and never takes for gone what it only cannot read.
	Follow(ctx context.Context, known map[string]Pod, tell func(Finding))
	// Present reports whether there is anything to follow.
	Present() bool
	// String names it, as an object of a sentence.
	String() string
}

// Finding is all that a source knows. Who was told it does not change it, and
// neither does the source.
type Finding struct {
	// Pods are those that run here, by uid; nil while nothing is known.
	Pods map[string]Pod
	// Unread are the uids of pods of whom nothing is known but that they are there.
	Unread map[string]struct{}
	// Silent: the last look learnt nothing, and Pods are those of before it. Others may
	// have begun since.
	Silent bool
	// Ended are the addresses of pods, by uid, whose processes the kernel says are gone,
	// also while the source is silent.
	Ended map[string][]netip.Addr
	// Host are the addresses of the node: of its pods with HostNetwork.
	Host map[netip.Addr]struct{}
	// From says whence it is known, for people; empty while it is not.
	From string
	// Doubted counts the pods among Pods whose source has them no more, which is not
	// believed.
	Doubted int
	// Problems say what is not in order, a line each.
	Problems []string
}

// None is the source of a node where no pods run, or none that others ask about.
type None struct{}

// Follow tells that nothing is known.
func (None) Follow(ctx context.Context, _ map[string]Pod, tell func(Finding)) {
	tell(Finding{})
	<-ctx.Done()
}

// Present reports true.
func (None) Present() bool { return true }

// String returns what it is.
func (None) String() string { return "nothing" }

// Either is the first of several sources that is there.
type Either struct {
	Sources []Source
	// Missing is what to tell people while there is none.
	Missing string
}

// sought is how often Either looks whether one is there by now.
const sought = time.Second

// Follow waits until one of the sources is there, and follows that one.
func (e Either) Follow(ctx context.Context, known map[string]Pod, tell func(Finding)) {
	look := time.NewTicker(sought)
	defer look.Stop()
	for {
		for _, s := range e.Sources {
			if s.Present() {
				s.Follow(ctx, known, tell)
				return
			}
		}
		tell(Finding{Pods: known, Silent: true, Problems: []string{e.Missing}})
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// Present reports whether one of them is there.
func (e Either) Present() bool {
	for _, s := range e.Sources {
		if s.Present() {
			return true
		}
	}
	return false
}

// String names them.
func (e Either) String() string {
	names := ""
	for i, s := range e.Sources {
		if i > 0 {
			names += " or "
		}
		names += s.String()
	}
	return names
}
