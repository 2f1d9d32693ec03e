package pods

import (
	"net/netip"
	"slices"
)

// State is what is known of a pod under an address.
type State uint8

// The states. Of one that is not known nothing may be concluded.
const (
	Unknown State = iota
	Lives         // it runs here and has the address
	Ended         // it does not run here, or has not the address
	Reused        // Ended, and another pod has the address
)

// String returns the state in a word.
func (s State) String() string {
	if s > Reused {
		return "invalid"
	}
	return [...]string{"unknown", "lives", "ended", "reused"}[s]
}

// Set is which pods run here. It is immutable; a nil one knows nothing.
type Set struct {
	pods map[string]Pod // by uid
	// holders are the uids of the pods of each address.
	holders map[netip.Addr][]string
	// unread are the uids of files that were never read well.
	unread map[string]struct{}
}

func newSet(pods map[string]Pod, unread map[string]struct{}) *Set {
	s := &Set{pods: pods, unread: unread, holders: map[netip.Addr][]string{}}
	for uid, p := range pods {
		for _, a := range p.Addresses {
			s.holders[a] = append(s.holders[a], uid)
		}
	}
	return s
}

// SetOf returns the set of these pods.
func SetOf(all ...Pod) *Set {
	pods := make(map[string]Pod, len(all))
	for _, p := range all {
		pods[p.UID] = p
	}
	return newSet(pods, nil)
}

// Len returns how many pods are known.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return len(s.pods)
}

// State says what is known of the pod of a uid under an address.
func (s *Set) State(a netip.Addr, uid string) State {
	if s == nil || uid == "" {
		return Unknown
	}
	if _, ok := s.unread[uid]; ok {
		return Unknown
	}
	holders := s.holders[a]
	switch {
	case slices.Contains(holders, uid):
		return Lives
	case len(holders) > 0:
		return Reused
	}
	return Ended
}

// sameLife reports whether the same pods have the same addresses in both.
func sameLife(a, b map[string]Pod) bool {
	if len(a) != len(b) {
		return false
	}
	for uid, p := range a {
		o, ok := b[uid]
		if !ok || !slices.Equal(p.Addresses, o.Addresses) {
			return false
		}
	}
	return true
}
