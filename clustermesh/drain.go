package clustermesh

import (
	"cmp"
	"strings"
	"time"
)

// Drain says that a cluster moves new connections away from something of its
// own: from all of itself, from one of its nodes, or from its endpoints of a
// service. Whatever a drain lies under, it speaks of that cluster alone.
//
// The leader of the cluster's API servers writes each step of it, so that all
// readers in all clusters have the same tables without looking at a clock.
type Drain struct {
	What DrainKind
	// Name is the cluster's, the node's, or the service's as namespace/name.
	Name string
	// Moved is which part of the new connections is moved away now, in
	// thousandths: DrainedWhole until it comes back. While it is 0 only routes are:
	// see RoutesFirst.
	Moved uint16
	// Since is when it began.
	Since time.Time
	// Deadline is until when connections may stay that are left, zero for ever;
	// Ended says that this time has come.
	Deadline time.Time
	Ended    bool
	// Returning is since when it comes back, step by step until Over has passed;
	// zero while it does not.
	Returning time.Time
	Over      time.Duration
	// Reason says for people why; empty when somebody asked for it by hand.
	Reason string
}

// DrainKind is what is drained, in a word, as it stands in the key.
type DrainKind string

// The kinds of what can be drained.
const (
	DrainCluster DrainKind = "cluster"
	DrainNode    DrainKind = "node"
	DrainService DrainKind = "service"
)

// DrainedWhole is all of something that is drained.
const DrainedWhole = 1000

// RoutesFirst is for how long a drain that somebody is not waiting for, as that of a
// cordoned node, takes routes away before it moves connections.
const RoutesFirst = 10 * time.Second

// MaxDrainOver bounds how long something may take to come back.
const MaxDrainOver = 24 * time.Hour

// Service returns which service is drained; the zero name when none is.
func (d *Drain) Service() ServiceName {
	if d.What != DrainService {
		return ServiceName{}
	}
	namespace, name, _ := strings.Cut(d.Name, "/")
	return ServiceName{Namespace: namespace, Name: name}
}

// DrainRef names what a cluster drains.
type DrainRef struct {
	Cluster string
	What    DrainKind
	Name    string
}

// Compare orders by cluster, kind and name.
func (r DrainRef) Compare(o DrainRef) int {
	return cmp.Or(cmp.Compare(r.Cluster, o.Cluster), cmp.Compare(r.What, o.What), cmp.Compare(r.Name, o.Name))
}

// DrainCount is how many connections of a node go to what is drained.
type DrainCount struct {
	DrainRef
	Connections uint32
}

func (d *Drain) check(c *checker) {
	d.What.check(c, d.Name)
	switch {
	case d.Moved > DrainedWhole:
		c.fail("moved", d.Moved, "must be at most %d thousandths", DrainedWhole)
	case d.Moved == 0 && !d.Returning.IsZero():
		c.fail("moved", d.Moved, "must not be 0 of what comes back")
	}
	if d.Since.IsZero() {
		c.fail("since", d.Since, "must not be empty")
	}
	if d.Over < 0 || d.Over > MaxDrainOver {
		c.fail("over", d.Over, "must be at most a day")
	}
	if d.Ended && d.Deadline.IsZero() {
		c.fail("ended", d.Ended, "must not be true without a deadline")
	}
	c.text("reason", d.Reason)
}

// check checks the name of what is drained.
func (k DrainKind) check(c *checker, name string) {
	switch k {
	case DrainCluster:
		c.label("name", name)
	case DrainNode:
		c.subdomain("name", name)
	case DrainService:
		(&Drain{What: k, Name: name}).Service().check(c)
	default:
		c.fail("what", string(k), "must be cluster, node or service")
	}
}
