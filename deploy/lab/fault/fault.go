// Package fault says what is wrong with a lab on purpose: which packets get
// lost where, and which processes were killed or stopped.
//
// Rulesets is pure: from a plan and the faults it works out the whole nftables
// ruleset of each machine that loses packets, so that whoever carries it out
// replaces what was there instead of adding to it. Packets are lost at the edge
// of what a fault names, before and behind all that the machines do with them:
// at the router's end of a node's wire, at the node's end of a pod's, at the
// links of a cluster's router. Nothing is told to anybody, as when a cable is
// pulled far away: devices stay up, and addresses and routes stay where they are.
package fault

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"tombolo.io/tombolo/deploy/lab/plan"
)

// Kind is what a fault does.
type Kind string

// The kinds. A cut is a loss of everything.
const (
	Cut   Kind = "cut"
	Loss  Kind = "loss"
	Kill  Kind = "kill"
	Pause Kind = "pause"
)

// Direction says which packets are lost, seen from the first place of a fault.
type Direction string

// The directions: what the place sends, what is sent to it, or both.
const (
	Both Direction = "both"
	Out  Direction = "out"
	In   Direction = "in"
)

// Traffic is a part of the packets.
type Traffic string

// All packets; those of etcd (TCP port 2379) alone; those of BGP (TCP port 179)
// alone; or all but those of etcd, of BGP and of neighbour discovery, so that
// routes stay while nothing uses them: of both address families, or of one.
const (
	All     Traffic = "all"
	Control Traffic = "control"
	BGP     Traffic = "bgp"
	Data    Traffic = "data"
	IPv4    Traffic = "ipv4"
	IPv6    Traffic = "ipv6"
)

// Fault is one thing that is wrong.
type Fault struct {
	// ID is unique in the lab, from 1.
	ID   int  `json:"id"`
	Kind Kind `json:"kind"`
	// From is the place: a machine or a cluster. To is another; empty for
	// everything that From has a wire to.
	From string `json:"from"`
	To   string `json:"to,omitempty"`
	// Direction and Traffic are of cut and loss.
	Direction Direction `json:"direction,omitempty"`
	Traffic   Traffic   `json:"traffic,omitempty"`
	// Percent is how many packets of a hundred are lost, in each direction.
	Percent int `json:"percent,omitempty"`
	// Role is the process of From that kill and pause are about.
	Role  string    `json:"role,omitempty"`
	Since time.Time `json:"since"`
}

// Validate reports every mistake of a fault in a lab.
func (f Fault) Validate(p plan.Plan) error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if f.Kind == Kill || f.Kind == Pause {
		_, err := p.Machine(f.From)
		return err
	}
	_, err := placeOf(p, f.From)
	errs = append(errs, err)
	if f.To != "" {
		to, err := placeOf(p, f.To)
		errs = append(errs, err)
		if f.To == f.From {
			bad("%s and %s are the same place", f.From, f.To)
		}
		if err == nil && len(to.prefixes) == 0 || isRouter(p, f.From) {
			bad("a router has no address of its own between two places: name it alone, or its cluster")
		}
	}
	switch f.Direction {
	case Both, Out, In:
	default:
		bad("direction %q: want both, out or in", f.Direction)
	}
	switch f.Traffic {
	case All, Control, BGP, Data, IPv4, IPv6:
	default:
		bad("traffic %q: want all, control, bgp, data, ipv4 or ipv6", f.Traffic)
	}
	if f.Percent < 1 || f.Percent > 100 {
		bad("loss of %d percent: want 1 to 100", f.Percent)
	}
	return errors.Join(errs...)
}

// Touches says whether a fault is about a place.
func (f Fault) Touches(place string) bool { return f.From == place || f.To == place }

// String says what a fault does, for people.
func (f Fault) String() string {
	switch f.Kind {
	case Kill:
		return f.From + " " + f.Role + " is killed"
	case Pause:
		return f.From + " " + f.Role + " is stopped"
	}
	var b strings.Builder
	if f.Percent < 100 {
		fmt.Fprintf(&b, "%d %% of ", f.Percent)
	}
	b.WriteString(map[Traffic]string{All: "all packets", Control: "etcd's packets", BGP: "BGP's packets", Data: "all packets but etcd's and BGP's",
		IPv4: "all packets of IPv4 but etcd's and BGP's", IPv6: "all packets of IPv6 but etcd's and BGP's"}[f.Traffic])
	other := f.To
	if other == "" {
		other = "anywhere"
	}
	switch f.Direction {
	case Out:
		fmt.Fprintf(&b, " from %s to %s", f.From, other)
	case In:
		fmt.Fprintf(&b, " to %s from %s", f.From, other)
	default:
		fmt.Fprintf(&b, " between %s and %s", f.From, other)
	}
	return b.String() + " are lost"
}
