package ipam

import (
	"cmp"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// decision is what one service is to have.
type decision struct {
	al *Allocator
	s  *service
	// keep are the addresses that it claims from now on; grants are those it has.
	keep   []*address
	grants []Grant
	// covered are the families of addresses that it names, refused those in which
	// it gets none of them.
	covered, refused clustermesh.Families
	problems         []Problem
	// incomplete: of several families it lacks one that it could do without.
	incomplete bool
}

// decide brings the claims of a service to what it asks for.
func (al *Allocator) decide(s *service) {
	d := &decision{al: al, s: s}
	d.hand()
	d.named()
	d.chosen()
	d.release()
	slices.SortStableFunc(d.problems, func(a, b Problem) int { return cmp.Compare(rank(a.Reason), rank(b.Reason)) })
	o := Outcome{Grants: d.grants, Problems: d.problems}
	lacking := o.Lacking()
	o.Ready = len(d.grants) > 0 && (lacking == nil || d.incomplete)
	if lacking != nil {
		al.waiting[s] = struct{}{}
	} else {
		delete(al.waiting, s)
	}
	if len(o.Problems) > 0 {
		al.troubled[s] = struct{}{}
	} else {
		delete(al.troubled, s)
	}
	delete(al.due, s) // its own claims are as they were decided a moment ago
	if !reflect.DeepEqual(o, s.outcome) {
		s.outcome = o
		al.touched[s.Name] = struct{}{}
	}
}

// rank puts what is lacking before what is only worth knowing.
func rank(r Reason) int {
	if r.Lacks() {
		return 0
	}
	return 1
}

func (d *decision) tell(p *Problem) { d.problems = append(d.problems, *p) }

// hand keeps what a manifest says in its status. What it no longer says is as if
// a pool had chosen it, if one could have.
func (d *decision) hand() {
	for _, a := range slices.Clone(d.s.claims) {
		switch c := d.s.claimOn(a); {
		case !c.hand || slices.Contains(d.s.Hand, a.addr):
		case d.al.poolOf(a.addr) == nil:
			d.al.drop(d.s, a)
		default:
			c.hand = false
			d.al.judge(a)
			d.al.changed(a)
		}
	}
	for _, addr := range d.s.Hand {
		a := d.al.at(addr)
		if p := d.al.poolOf(addr); p != nil {
			d.al.setPool(a, p)
		}
		c := d.s.claimOn(a)
		if c == nil {
			c = d.al.claim(d.s, a, d.al.had(d.s))
		}
		if !c.hand {
			c.hand = true
			d.al.judge(a)
		}
		d.covered |= clustermesh.FamilyOf(addr)
		d.have(a, c)
	}
}

// have notes that the service claims an address, and has it or why not.
func (d *decision) have(a *address, c *claim) {
	d.keep = append(d.keep, a)
	if !c.Holds {
		d.tell(d.al.whyNot(a, c))
		return
	}
	d.grants = append(d.grants, Grant{a.addr, a.pool, c.hand})
	for _, other := range a.claims {
		if a.counts(other) && !other.Holds && other.Service != d.s.Name {
			if by, why := a.blocker(other); by != nil && by.Service == d.s.Name {
				d.tell(problem(Claimed, "%s is claimed by %s too, and %s: the older claim keeps it", a.addr, other.who(), why))
			}
		}
	}
	for _, other := range a.claims { // one by hand is not argued with
		if a.counts(other) && other.Holds && other.hand != c.hand && other.Service != d.s.Name && c.Shares(&other.AddressClaim) != "" {
			d.tell(problem(Claimed, "%s is that of %s too: one of the two has it by hand", a.addr, other.who()))
		}
	}
	if !c.hand {
		d.outgrown(a)
	}
}

// outgrown tells that a pool would not give an address to the service any more.
func (d *decision) outgrown(a *address) {
	switch p := d.al.poolOf(a.addr); {
	case p == nil && a.pool == "":
		d.tell(problem(Kept, "%s is kept: it is in no pool", a.addr))
	case p == nil && d.al.pools[a.pool] == nil:
		d.tell(problem(Kept, "%s is kept: pool %s is gone", a.addr, a.pool))
	case p == nil:
		d.tell(problem(Kept, "%s is kept: pool %s no longer has it", a.addr, a.pool))
	case !d.al.selects(p, d.s):
		d.tell(problem(Kept, "%s is kept: pool %s no longer selects the service", a.addr, p.Name))
	}
}

// whyNot says why a claim does not have its address.
func (al *Allocator) whyNot(a *address, c *claim) *Problem {
	if by, why := a.blocker(c); by != nil {
		return problem(Conflict, "%s is that of %s, whose claim is older, and %s", a.addr, by.who(), why)
	}
	until, _ := al.rests(a)
	return problem(Resting, "%s was given back by %s and rests until %s", a.addr, a.last, until.UTC().Format(time.RFC3339))
}

// choice is an address of one family: one that the service has, or a free one of a
// pool.
type choice struct {
	held *address
	addr netip.Addr
	pool *pool
}

// chosen claims addresses of the families of which the service names none.
func (d *decision) chosen() {
	if d.s.Request.Families == 0 {
		d.any()
		return
	}
	var missing []*Problem
	var all [len(families)]choice
	for i, f := range families {
		if !d.s.Request.Families.Has(f) || d.covered.Has(f) {
			continue
		}
		var why *Problem
		if all[i].held = d.held(f); all[i].held == nil {
			if all[i].addr, all[i].pool, why = d.al.find(d.s, f); why != nil {
				missing = append(missing, why)
			}
		}
	}
	none := d.s.Request.Required && (len(missing) > 0 || d.refused != 0)
	for _, c := range all {
		switch {
		case c.held != nil:
			d.have(c.held, d.s.claimOn(c.held))
		case c.pool != nil && !none:
			d.take(c.addr, c.pool)
		}
	}
	for _, why := range missing {
		if len(d.grants) > 0 && !d.s.Request.Required {
			if why.Reason == NoPool {
				continue // one family is all that there is
			}
			d.incomplete = d.refused == 0
		}
		d.tell(why)
	}
}

// any claims an address of either family, if the service names none.
func (d *decision) any() {
	if d.covered != 0 {
		return
	}
	for _, f := range families {
		if a := d.held(f); a != nil {
			d.have(a, d.s.claimOn(a))
			return
		}
	}
	var whys []*Problem
	for _, f := range families {
		addr, p, why := d.al.find(d.s, f)
		if why == nil {
			d.take(addr, p)
			return
		}
		whys = append(whys, why)
	}
	// A family that no pool has says the least.
	slices.SortStableFunc(whys, func(a, b *Problem) int {
		word := func(p *Problem) int {
			if p.Reason == NoPool {
				return 1
			}
			return 0
		}
		return cmp.Compare(word(a), word(b))
	})
	if whys[0].Reason == NoPool {
		whys[0] = noPool(clustermesh.AllFamilies)
	}
	d.tell(whys[0])
}

// take claims an address that a pool chose.
func (d *decision) take(addr netip.Addr, p *pool) {
	a := d.al.at(addr)
	d.al.setPool(a, p)
	d.have(a, d.al.claim(d.s, a, d.al.since(a)))
}

// held returns the oldest address of a family that the service has and does not
// name (any more), nil if there is none. By name alone it had those of the mesh.
func (d *decision) held(f clustermesh.Families) (found *address) {
	var since time.Time
	for _, a := range d.s.claims {
		c := d.s.claimOn(a)
		if !c.Holds || a.mesh && c.Named || clustermesh.FamilyOf(a.addr) != f || slices.Contains(d.keep, a) {
			continue
		}
		if found == nil || cmp.Or(c.Since.Compare(since), a.addr.Compare(found.addr)) < 0 {
			found, since = a, c.Since
		}
	}
	if found != nil {
		if c := d.s.claimOn(found); c.Named {
			c.Named = false
			d.al.changed(found)
		}
	}
	return found
}

// release gives back what is not kept. Where all that the service names of a
// family is refused, it keeps what it has.
func (d *decision) release() {
	for _, f := range families {
		of := func(g Grant) bool { return clustermesh.FamilyOf(g.Address) == f }
		if d.refused.Has(f) && !slices.ContainsFunc(d.grants, of) {
			d.stay(f)
		}
	}
	for _, f := range families {
		if d.refused != 0 && d.s.Request.Families == 0 && len(d.grants) == 0 {
			d.stay(f)
		}
	}
	for _, a := range slices.Clone(d.s.claims) {
		if !slices.Contains(d.keep, a) {
			d.al.drop(d.s, a)
		}
	}
}

// stay keeps the address of a family that the service has, if there is one.
func (d *decision) stay(f clustermesh.Families) {
	if a := d.held(f); a != nil {
		d.have(a, d.s.claimOn(a))
	}
}
