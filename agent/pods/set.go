package pods

import (
	"cmp"
	"maps"
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
	// unread are the uids of pods of whom nothing else is known.
	unread map[string]struct{}
	// host are the addresses of the node.
	host map[netip.Addr]struct{}
	// static: a static pod is in the node's network.
	static bool
	// silent: other pods may run besides, and those of ended ended nevertheless, each at
	// its addresses.
	silent bool
	ended  map[string][]netip.Addr
}

// setOf returns the set of a finding, nil when that knows nothing.
func setOf(f Finding) *Set {
	if f.Pods == nil {
		return nil
	}
	s := &Set{pods: f.Pods, unread: f.Unread, host: f.Host, silent: f.Silent, ended: f.Ended, holders: map[netip.Addr][]string{}}
	for uid, p := range f.Pods {
		s.static = s.static || p.Static && p.HostNetwork
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
	return setOf(Finding{Pods: pods})
}

// Pods returns the pods that are known, in the order of their names and uids; nil while
// nothing is.
func (s *Set) Pods() []Pod {
	if s == nil {
		return nil
	}
	return slices.SortedFunc(maps.Values(s.pods), func(a, b Pod) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
	})
}

// Len returns how many pods are known.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return len(s.pods)
}

// State says what is known of the pod of a uid under an address. A static pod is
// asked about by another uid than its node knows, so where one is, a uid that is not
// known may be its; and of a pod without an address it is not known which one it has.
// While the source is silent pods begin unseen and take addresses of others, so that
// nobody has ended but who did by the kernel's word.
func (s *Set) State(a netip.Addr, uid string) State {
	if s == nil || uid == "" {
		return Unknown
	}
	if _, ok := s.unread[uid]; ok {
		return Unknown
	}
	p, runs := s.pods[uid]
	_, host := s.host[a]
	holders := s.holders[a]
	switch {
	case slices.Contains(holders, uid), host && p.HostNetwork:
		return Lives
	case s.silent && slices.Contains(s.ended[uid], a):
		return Ended
	case s.silent:
		return Unknown
	case slices.ContainsFunc(holders, func(h string) bool { return s.pods[h].Static }):
		return Unknown
	case len(holders) > 0:
		return Reused
	case runs && len(p.Addresses) == 0, host && s.static:
		return Unknown
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
		if !ok || !slices.Equal(p.Addresses, o.Addresses) || p.HostNetwork != o.HostNetwork {
			return false
		}
	}
	return true
}
