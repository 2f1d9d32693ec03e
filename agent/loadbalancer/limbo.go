package loadbalancer

// remains are numbers and slots that nothing in the maps leads to any more,
// while a program that runs may still know them.
type remains struct {
	services, backends, nodes []uint32
	extents                   []Extent
	// elements counts those taken out of the hash of frontends, whose memory
	// the kernel would use for the next that is added.
	elements int
}

func (r *remains) empty() bool {
	return len(r.services)+len(r.backends)+len(r.nodes)+len(r.extents)+r.elements == 0
}

// add puts the remains of o to those of r.
func (r *remains) add(o remains) {
	r.services = append(r.services, o.services...)
	r.backends = append(r.backends, o.backends...)
	r.nodes = append(r.nodes, o.nodes...)
	r.extents = append(r.extents, o.extents...)
	r.elements += o.elements
}

// limbo keeps remains until a grace period that began after they were let go
// has ended. Everything let go while one period runs shares the next.
type limbo struct {
	fresh   remains
	waiting remains
	running bool
}

// hasElements reports whether elements of the hash wait.
func (l *limbo) hasElements() bool { return l.fresh.elements+l.waiting.elements > 0 }

// begin says that a period begins now; false when one runs, or nothing waits.
func (l *limbo) begin() bool {
	if l.running || l.fresh.empty() {
		return false
	}
	l.waiting, l.fresh = l.fresh, remains{}
	l.running = true
	return true
}

// end returns what the period that ended has freed. A period that failed frees
// nothing, and its remains wait for another.
func (l *limbo) end(err error) remains {
	free := l.waiting
	l.waiting, l.running = remains{}, false
	if err != nil {
		free.add(l.fresh)
		l.fresh = free
		return remains{}
	}
	return free
}
