package agent

import (
	"fmt"
	"slices"
	"strings"

	"tombolo.io/tombolo/agent/loadbalancer"
	"tombolo.io/tombolo/bpf"
)

// room is how full a map is, and how large it is among some sizes.
type room struct {
	name        string
	used, limit int
	of          func(bpf.Sizes) uint32
}

// rooms returns that of each map that can be full. The entry zero of an array of
// numbers is never used.
func rooms(u loadbalancer.Usage) []room {
	l := u.Limits
	return []room{
		{"frontends", u.Frontends, int(l.Frontends), func(s bpf.Sizes) uint32 { return s.Frontends }},
		{"ranges", u.Ranges, int(l.Ranges), func(s bpf.Sizes) uint32 { return s.Frontends }},
		{"services", u.Services, int(l.Services) - 1, func(s bpf.Sizes) uint32 { return s.Services }},
		{"backends", u.Backends, int(l.Backends) - 1, func(s bpf.Sizes) uint32 { return s.Backends }},
		{"nodes", u.Nodes, int(l.Nodes) - 1, func(s bpf.Sizes) uint32 { return s.Nodes }},
		{"slots", u.Slots, int(l.Slots), func(s bpf.Sizes) uint32 { return s.Slots }},
	}
}

// fullReasons say which maps are full, which services are not whole for that, and what
// mends it.
func fullReasons(failures []loadbalancer.Failure, u loadbalancer.Usage) []string {
	var out []string
	for _, m := range rooms(u) {
		var names []string
		for _, f := range failures {
			if slices.Contains(f.Full, m.name) {
				names = append(names, f.Service.String())
			}
		}
		if len(names) == 0 {
			continue
		}
		slices.Sort(names)
		out = append(out, fmt.Sprintf("the map of %s is full (%d of %d in use), and %d services are not whole, which tombolo services explains: %s; %s",
			m.name, m.used, m.limit, len(names), strings.Join(shortened(names), ", "), m.mend()))
	}
	return out
}

// otherReasons say what is wrong with services beside full maps.
func otherReasons(failures []loadbalancer.Failure) []string {
	others := slices.DeleteFunc(failures, func(f loadbalancer.Failure) bool { return f.Besides == nil })
	return listed(len(others), func(i int) string {
		return fmt.Sprintf("service %v is not as it should be: %v", others[i].Service, others[i].Besides)
	})
}

// shortened names the first few, and counts the others.
func shortened(names []string) []string {
	if len(names) <= maxReasons {
		return names
	}
	return append(names[:maxReasons:maxReasons], fmt.Sprintf("and %d more", len(names)-maxReasons))
}

// mend says with which maps the agent is to be started.
func (m room) mend() string {
	for _, s := range bpf.NamedSizes() {
		if size := m.of(s.Sizes); int(size) > m.limit+1 {
			return fmt.Sprintf("start the agent with --maps %s, which has room for %d", s.Name, size)
		}
	}
	return "there are no larger maps: share fewer services with this cluster, or with fewer endpoints"
}
