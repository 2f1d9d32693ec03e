package apiserver

import "tombolo.io/tombolo/clustermesh"

// tally counts the endpoints of services by family: IPv4, IPv6.
type tally struct {
	slices map[string]counted
	totals map[clustermesh.ServiceName][2]int
}

type counted struct {
	service clustermesh.ServiceName
	n       [2]int
}

func newTally() *tally {
	return &tally{slices: map[string]counted{}, totals: map[clustermesh.ServiceName][2]int{}}
}

// set replaces the slice of this name; nil when it is gone.
func (t *tally) set(name string, s *clustermesh.EndpointSlice) {
	if old, ok := t.slices[name]; ok {
		t.add(old.service, -old.n[0], -old.n[1])
		delete(t.slices, name)
	}
	if s == nil || len(s.Endpoints) == 0 {
		return
	}
	c := counted{service: s.Service}
	if s.Endpoints[0].Address.Is4() {
		c.n[0] = len(s.Endpoints)
	} else {
		c.n[1] = len(s.Endpoints)
	}
	t.slices[name] = c
	t.add(c.service, c.n[0], c.n[1])
}

func (t *tally) add(name clustermesh.ServiceName, v4, v6 int) {
	n := t.totals[name]
	if n = [2]int{n[0] + v4, n[1] + v6}; n == [2]int{} {
		delete(t.totals, name)
		return
	}
	t.totals[name] = n
}

// of returns the endpoints of a service.
func (t *tally) of(name clustermesh.ServiceName) [2]int { return t.totals[name] }
