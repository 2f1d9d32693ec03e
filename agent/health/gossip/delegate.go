package gossip

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/hashicorp/memberlist"

	"tombolo.io/tombolo/agent/health"
)

// delegate is what memberlist calls, in goroutines of its own.
type delegate struct{ *Pool }

// NodeMeta is nothing.
func (delegate) NodeMeta(int) []byte { return nil }

// LocalState is nothing: who missed something hears it when it is said again.
func (delegate) LocalState(bool) []byte { return nil }

// MergeRemoteState takes nothing.
func (delegate) MergeRemoteState([]byte, bool) {}

// GetBroadcasts returns what is to be passed on.
func (d delegate) GetBroadcasts(overhead, limit int) [][]byte {
	return d.queue.GetBroadcasts(overhead, limit)
}

// NotifyMsg takes a letter in, and passes it on if it is for all and new.
func (d delegate) NotifyMsg(b []byte) {
	l, err := open(b)
	switch r := d.roster.Load(); {
	case err != nil:
		d.refused.note(malformed, err.Error())
		return
	case l.from == r.self:
		return
	case !r.members[l.from].at.IsValid():
		d.refused.note(unlisted, fmt.Sprintf("a letter from %q", l.from))
		return
	}
	b = slices.Clone(b) // memberlist's, and it goes on
	l.payload = b[len(b)-len(l.payload):]
	d.mu.Lock()
	fresh := d.seen.add(l)
	d.mu.Unlock()
	if !fresh {
		return
	}
	if l.kind != direct {
		d.enqueue(b)
	}
	if l.kind == goodbye {
		d.note(l.from, StateLeft)
		return
	}
	select {
	case d.received <- health.Message{From: l.from, Payload: l.payload}:
		d.taken.Add(1)
	default:
		d.refused.note(overflow, "nobody takes what is received")
	}
}

// NotifyAlive refuses members that the cluster does not have at that address.
func (d delegate) NotifyAlive(n *memberlist.Node) error {
	a, _ := netip.AddrFromSlice(n.Addr)
	at := netip.AddrPortFrom(a.Unmap(), n.Port)
	if m := d.roster.Load().members[n.Name]; m.at != at {
		err := fmt.Errorf("the cluster has no %s at %v", n.Name, at)
		d.refused.note(unlisted, err.Error())
		return err
	}
	return nil
}

// NotifyJoin says that a member is alive.
func (d delegate) NotifyJoin(n *memberlist.Node) { d.note(n.Name, StateAlive) }

// NotifyLeave says that a member is dead, or has left, which its letter tells.
func (d delegate) NotifyLeave(n *memberlist.Node) { d.note(n.Name, StateLost) }

// NotifyUpdate is called for what we do not use.
func (delegate) NotifyUpdate(*memberlist.Node) {}

// note takes in what is known of a member. The letter of one that leaves, and what
// memberlist makes of its leaving, come in any order.
func (d delegate) note(name string, s State) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if old := d.states[name]; old.State == s || s == StateLost && old.State == StateLeft {
		return
	}
	d.states[name] = since{s, time.Now()}
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

// broadcast is a letter in the queue.
type broadcast []byte

// Invalidates, Message and Finished make it a memberlist.Broadcast; UniqueBroadcast
// says that it replaces no other.
func (broadcast) Invalidates(memberlist.Broadcast) bool { return false }

// Message is the letter.
func (b broadcast) Message() []byte { return b }

// Finished is called when it was passed on often enough.
func (broadcast) Finished() {}

// UniqueBroadcast is a mark.
func (broadcast) UniqueBroadcast() {}
