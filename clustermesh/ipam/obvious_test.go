package ipam

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// obvious is an allocator that remembers nothing but claims and works out
// everything from them, for all services, again and again.
type obvious struct {
	now          time.Time
	lost, others bool
	pools        []*clustermesh.Pool
	namespaces   map[string]map[string]string
	services     map[clustermesh.ServiceName]Service
	seen         map[clustermesh.ServiceName]bool
	claims       []owned
	rests        map[netip.Addr]rested
	pool         map[netip.Addr]string
	wide         map[netip.Addr]bool // of a pool of the mesh
	outcomes     map[clustermesh.ServiceName]*Outcome
}

type owned struct {
	clustermesh.AddressClaim
	addr    netip.Addr
	cluster string
	hand    bool
}

type rested struct {
	at   time.Time
	last clustermesh.ServiceName
}

func newObvious() *obvious {
	return &obvious{
		namespaces: map[string]map[string]string{}, services: map[clustermesh.ServiceName]Service{}, seen: map[clustermesh.ServiceName]bool{},
		rests: map[netip.Addr]rested{}, pool: map[netip.Addr]string{}, wide: map[netip.Addr]bool{}, outcomes: map[clustermesh.ServiceName]*Outcome{},
	}
}

func (o *obvious) Lost()                                           { o.lost = true }
func (o *obvious) OthersKnown()                                    { o.others = true }
func (o *obvious) SetNamespace(n string, labels map[string]string) { o.namespaces[n] = labels }

func (o *obvious) SetPools(all []*clustermesh.Pool) {
	o.pools = all
	for _, c := range o.claims {
		o.remember(c.addr)
	}
	for a := range o.rests {
		o.remember(a)
	}
}

func (o *obvious) Learn(a *clustermesh.Address, _ bool) {
	o.pool[a.Address] = a.Pool
	for _, c := range a.Claims {
		o.claims = append(o.claims, owned{AddressClaim: c, addr: a.Address})
	}
}

func (o *obvious) Outcome(n clustermesh.ServiceName) (*Outcome, bool) {
	return o.outcomes[n], o.outcomes[n] != nil
}

func (o *obvious) Set(s Service) {
	o.services[s.Name] = s
	for i := range o.claims {
		if c := &o.claims[i]; c.cluster == "" && c.Service == s.Name {
			*c = o.describe(s, *c)
		}
	}
}

func (o *obvious) describe(s Service, c owned) owned {
	c.Created, c.SharingKey, c.SharingNamespaces, c.Exclusive, c.Ports = s.Created, s.Request.SharingKey, s.Request.SharingNamespaces, s.Exclusive, s.Ports
	return c
}

func (o *obvious) Delete(n clustermesh.ServiceName, now time.Time) {
	o.now = now
	delete(o.services, n)
	delete(o.outcomes, n)
	delete(o.seen, n)
	for _, c := range slices.Clone(o.claims) {
		if c.cluster == "" && c.Service == n {
			o.remove(n, c.addr)
		}
	}
}

func (o *obvious) SetOther(cluster string, addr netip.Addr, a *clustermesh.Address) {
	o.claims = slices.DeleteFunc(o.claims, func(c owned) bool { return c.cluster == cluster && c.addr == addr })
	if a != nil {
		for _, c := range a.Claims {
			o.claims = append(o.claims, owned{AddressClaim: c, addr: addr, cluster: cluster})
		}
	}
	o.wake(addr)
	o.forget()
}

// poolOf returns the pool of an address, and whether it overlaps with an older one.
func (o *obvious) poolOf(a netip.Addr) (found *clustermesh.Pool, bad bool) {
	for _, p := range o.ordered() {
		if in(p, a) {
			if b := o.overlapping(p); found == nil || bad && !b {
				found, bad = p, b
			}
		}
	}
	return found, bad
}

func in(p *clustermesh.Pool, a netip.Addr) bool {
	return slices.ContainsFunc(p.Ranges, func(r clustermesh.AddrRange) bool { return r.First.Compare(a) <= 0 && a.Compare(r.Last) <= 0 })
}

func (o *obvious) overlapping(p *clustermesh.Pool) bool {
	var sound []*clustermesh.Pool
	all := slices.Clone(o.pools)
	slices.SortFunc(all, func(a, b *clustermesh.Pool) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	for _, x := range all {
		clash := slices.ContainsFunc(sound, func(y *clustermesh.Pool) bool {
			for _, r := range x.Ranges {
				for _, q := range y.Ranges {
					if r.First.Compare(q.Last) <= 0 && q.First.Compare(r.Last) <= 0 {
						return true
					}
				}
			}
			return false
		})
		if x == p {
			return clash
		}
		if !clash {
			sound = append(sound, x)
		}
	}
	return false
}

// ordered returns the pools as they are tried.
func (o *obvious) ordered() []*clustermesh.Pool {
	out := slices.Clone(o.pools)
	slices.SortFunc(out, func(a, b *clustermesh.Pool) int {
		if x, y := len(a.ServiceSelector.MatchLabels)+len(a.NamespaceSelector.MatchLabels) > 0, len(b.ServiceSelector.MatchLabels)+len(b.NamespaceSelector.MatchLabels) > 0; x != y {
			if x {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}

func (o *obvious) selects(p *clustermesh.Pool, s Service) bool {
	return p.ServiceSelector.Matches(s.Labels) && p.NamespaceSelector.Matches(o.namespaces[s.Name.Namespace])
}

func (o *obvious) claimed(a netip.Addr) bool {
	return slices.ContainsFunc(o.claims, func(c owned) bool { return c.addr == a })
}

// forget forgets of which pool an address was, once nobody claims it.
func (o *obvious) forget() {
	for a := range o.pool {
		if _, rests := o.rests[a]; !rests && !o.claimed(a) {
			delete(o.pool, a)
			delete(o.wide, a)
		}
	}
}

// on returns the claims on an address, oldest first, with who has it.
func (o *obvious) on(a netip.Addr) []owned {
	var all []owned
	for _, c := range o.claims {
		if c.addr == a && (c.cluster == "" || o.wide[a]) {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(x, y owned) int {
		if c := x.Compare(&y.AddressClaim); c != 0 {
			return c
		}
		return strings.Compare(x.cluster, y.cluster)
	})
	r, resting := o.rests[a]
	resting = resting && slices.ContainsFunc(all, func(c owned) bool { return c.Service != r.last })
	for i := range all {
		c := &all[i]
		c.Holds = o.blocked(all, i) < 0 && !resting || c.hand
	}
	return all
}

func (o *obvious) blocked(all []owned, i int) int {
	for j := range i {
		if d := all[j]; d.Holds && d.Service != all[i].Service && all[i].Shares(&d.AddressClaim) != "" {
			return j
		}
	}
	return -1
}

func (o *obvious) mine(n clustermesh.ServiceName, a netip.Addr) (c owned, all []owned, i int) {
	all = o.on(a)
	i = slices.IndexFunc(all, func(c owned) bool { return c.cluster == "" && c.Service == n })
	if i >= 0 {
		c = all[i]
	}
	return c, all, i
}

func (o *obvious) change(n clustermesh.ServiceName, a netip.Addr, f func(*owned)) {
	for i := range o.claims {
		if c := &o.claims[i]; c.cluster == "" && c.Service == n && c.addr == a {
			f(c)
		}
	}
}

func (o *obvious) remember(a netip.Addr) {
	if p, _ := o.poolOf(a); p != nil {
		o.pool[a], o.wide[a] = p.Name, p.Scope == clustermesh.PoolMesh
	}
}

// add claims an address, which the service had already or not.
func (o *obvious) add(s Service, a netip.Addr, had bool) {
	o.remember(a)
	since := o.now
	for _, c := range o.on(a) {
		if least := c.Since.Add(time.Nanosecond); !had && c.Holds && since.Before(least) {
			since = least
		}
	}
	if had && o.lost && s.Created.Before(o.now) {
		since = s.Created
	}
	o.claims = append(o.claims, o.describe(s, owned{AddressClaim: clustermesh.AddressClaim{Service: s.Name, Since: since}, addr: a}))
	o.wake(a)
}

// wake ends the rest of an address that somebody has.
func (o *obvious) wake(a netip.Addr) {
	if slices.ContainsFunc(o.on(a), func(c owned) bool { return c.Holds }) {
		delete(o.rests, a)
	}
}

func (o *obvious) remove(n clustermesh.ServiceName, a netip.Addr) {
	c, _, _ := o.mine(n, a)
	o.remember(a)
	o.claims = slices.DeleteFunc(o.claims, func(c owned) bool { return c.cluster == "" && c.Service == n && c.addr == a })
	defer o.forget()
	if !c.Holds || o.pool[a] == "" {
		return
	}
	o.rests[a] = rested{o.now, n}
	// Who held it besides, had it before the rest began.
	delete(o.rests, a)
	for _, x := range o.on(a) {
		if x.Holds && slices.ContainsFunc(o.holding(a, c), func(y owned) bool { return y.Service == x.Service && y.cluster == x.cluster }) {
			return
		}
	}
	o.rests[a] = rested{o.now, n}
	o.wake(a)
}

// holding returns who had an address while c was among the claims.
func (o *obvious) holding(a netip.Addr, c owned) (out []owned) {
	o.claims = append(o.claims, c)
	for _, x := range o.on(a) {
		if x.Holds && !(x.cluster == "" && x.Service == c.Service) {
			out = append(out, x)
		}
	}
	o.claims = o.claims[:len(o.claims)-1]
	return out
}

func (o *obvious) Settle(now time.Time) {
	o.now = now
	for a, r := range o.rests {
		if !now.Before(r.at.Add(restTime)) {
			delete(o.rests, a)
		}
	}
	o.forget()
	var order []Service
	for _, s := range o.services {
		order = append(order, s)
	}
	slices.SortFunc(order, func(a, b Service) int {
		return clustermesh.Age{Created: a.Created, Name: a.Name}.Compare(clustermesh.Age{Created: b.Created, Name: b.Name})
	})
	for _, s := range order {
		has := slices.ContainsFunc(o.claims, func(c owned) bool { return c.cluster == "" && c.Service == s.Name })
		if !o.seen[s.Name] && (!has || o.lost) {
			for _, a := range s.Has {
				if o.lost {
					delete(o.rests, a)
				}
				if _, _, i := o.mine(s.Name, a); i < 0 {
					o.add(s, a, true)
				}
			}
		}
		o.seen[s.Name] = true
	}
	for round := 0; ; round++ {
		before := fmt.Sprint(o.claims, o.rests)
		for _, s := range order {
			o.outcomes[s.Name] = o.decide(s)
		}
		if fmt.Sprint(o.claims, o.rests) == before {
			break
		}
		if round > 100 {
			panic("the obvious allocator does not come to rest")
		}
	}
	o.lost = false
}

func (o *obvious) decide(s Service) *Outcome {
	for _, c := range slices.Clone(o.claims) {
		if c.cluster == "" && c.Service == s.Name && c.hand && !slices.Contains(s.Hand, c.addr) {
			if p, _ := o.poolOf(c.addr); p == nil {
				o.remove(s.Name, c.addr)
			} else {
				o.change(s.Name, c.addr, func(c *owned) { c.hand = false })
			}
		}
	}
	d := &simple{o: o, s: s, out: &Outcome{}, keep: map[netip.Addr]bool{}, got: map[clustermesh.Families]bool{}}
	for _, a := range s.Hand {
		if _, _, i := o.mine(s.Name, a); i < 0 {
			o.add(s, a, true)
		}
		o.change(s.Name, a, func(c *owned) { c.hand = true })
		o.wake(a)
		d.covered |= clustermesh.FamilyOf(a)
		d.have(a)
	}
	d.named()
	d.families()
	for _, any := range []bool{false, true} {
		for _, f := range families {
			stays := d.refused.Has(f) && !d.got[f]
			if any {
				stays = d.refused != 0 && s.Request.Families == 0 && len(d.out.Grants) == 0
			}
			if !stays {
				continue
			}
			if a, ok := d.former(f); ok {
				d.have(a)
			}
		}
	}
	for _, c := range slices.Clone(o.claims) {
		if c.cluster == "" && c.Service == s.Name && !d.keep[c.addr] {
			o.remove(s.Name, c.addr)
		}
	}
	slices.SortStableFunc(d.out.Problems, func(a, b Problem) int {
		switch x, y := a.Reason.Lacks(), b.Reason.Lacks(); {
		case x == y:
			return 0
		case x:
			return -1
		}
		return 1
	})
	d.out.Ready = len(d.out.Grants) > 0 && (d.out.Lacking() == nil || d.spare)
	return d.out
}

// simple is one decision of the obvious allocator.
type simple struct {
	o                *obvious
	s                Service
	out              *Outcome
	keep             map[netip.Addr]bool
	got              map[clustermesh.Families]bool
	covered, refused clustermesh.Families
	spare            bool
}

func (d *simple) tell(r Reason) { d.out.Problems = append(d.out.Problems, Problem{Reason: r}) }

func (d *simple) have(a netip.Addr) bool {
	d.keep[a] = true
	d.o.remember(a)
	c, all, i := d.o.mine(d.s.Name, a)
	if !c.Holds {
		if d.o.blocked(all, i) >= 0 {
			d.tell(Conflict)
		} else {
			d.tell(Resting)
		}
		return false
	}
	d.out.Grants = append(d.out.Grants, Grant{a, d.o.pool[a], c.hand})
	d.got[clustermesh.FamilyOf(a)] = true
	for j := range all {
		if by := d.o.blocked(all, j); !all[j].Holds && all[j].Service != d.s.Name && by >= 0 && all[by].Service == d.s.Name {
			d.tell(Claimed)
		}
	}
	for _, x := range all {
		if x.Holds && x.hand != c.hand && x.Service != d.s.Name && c.Shares(&x.AddressClaim) != "" {
			d.tell(Claimed)
		}
	}
	if p, _ := d.o.poolOf(a); !c.hand && (p == nil || !d.o.selects(p, d.s)) {
		d.tell(Kept)
	}
	return true
}

func (d *simple) named() {
	for _, a := range d.s.Request.Addresses {
		f := clustermesh.FamilyOf(a)
		if slices.Contains(d.s.Hand, a) {
			continue
		}
		if w := d.s.Request.Families; w != 0 && !w.Has(f) {
			d.tell(WrongFamily)
			continue
		}
		d.covered |= f
		c, _, i := d.o.mine(d.s.Name, a)
		if i < 0 || !c.Holds {
			p, bad := d.o.poolOf(a)
			var why Reason
			switch {
			case p == nil:
				why = NotInPool
			case bad:
				why = PoolConflict
			case !d.o.selects(p, d.s):
				why = NotSelected
			case avoided(p, a):
				why = Avoided
			case i < 0 && p.Scope == clustermesh.PoolMesh && !d.o.others:
				why = Unsure
			}
			if why != "" {
				d.tell(why)
				d.refused |= f
				continue
			}
		}
		if i < 0 {
			d.o.add(d.s, a, false)
		}
		d.o.change(d.s.Name, a, func(c *owned) { c.Named = true })
		if !d.have(a) {
			d.refused |= f
		}
	}
}

func avoided(p *clustermesh.Pool, a netip.Addr) bool {
	return p.AvoidBuggy && a.Is4() && (a.As4()[3] == 0 || a.As4()[3] == 255)
}

// former returns the oldest address of a family that the service has already.
func (d *simple) former(f clustermesh.Families) (found netip.Addr, ok bool) {
	var since time.Time
	for _, c := range d.o.claims {
		if c.cluster != "" || c.Service != d.s.Name || clustermesh.FamilyOf(c.addr) != f || d.keep[c.addr] || d.o.wide[c.addr] && c.Named {
			continue
		}
		if x, _, _ := d.o.mine(d.s.Name, c.addr); !x.Holds {
			continue
		}
		if !ok || c.Since.Before(since) || c.Since.Equal(since) && c.addr.Less(found) {
			found, since, ok = c.addr, c.Since, true
		}
	}
	if ok {
		d.o.change(d.s.Name, found, func(c *owned) { c.Named = false })
	}
	return found, ok
}

func (d *simple) families() {
	if d.s.Request.Families == 0 {
		d.either()
		return
	}
	var take []netip.Addr
	var missing []Reason
	for _, f := range families {
		if !d.s.Request.Families.Has(f) || d.covered.Has(f) {
			continue
		}
		if a, ok := d.former(f); ok {
			d.have(a)
		} else if a, why := d.find(f); why != "" {
			missing = append(missing, why)
		} else {
			take = append(take, a)
		}
	}
	if !d.s.Request.Required || len(missing) == 0 && d.refused == 0 {
		for _, a := range take {
			d.o.add(d.s, a, false)
			d.have(a)
		}
	}
	for _, why := range missing {
		if !d.s.Request.Required && len(d.out.Grants) > 0 {
			if why == NoPool {
				continue
			}
			d.spare = d.refused == 0
		}
		d.tell(why)
	}
}

func (d *simple) either() {
	if d.covered != 0 {
		return
	}
	for _, f := range families {
		if a, ok := d.former(f); ok {
			d.have(a)
			return
		}
	}
	why := NoPool
	for _, f := range families {
		a, no := d.find(f)
		if no == "" {
			d.o.add(d.s, a, false)
			d.have(a)
			return
		}
		if why == NoPool {
			why = no
		}
	}
	d.tell(why)
}

// find looks at every address of every pool.
func (d *simple) find(f clustermesh.Families) (netip.Addr, Reason) {
	var usable []*clustermesh.Pool
	full, conflict := false, false
	for _, p := range d.o.ordered() {
		has := slices.ContainsFunc(p.Ranges, func(r clustermesh.AddrRange) bool { return clustermesh.FamilyOf(r.First) == f })
		switch {
		case !p.AutoAssign || p.Scope == clustermesh.PoolMesh || !has || !d.o.selects(p, d.s):
		case d.o.overlapping(p):
			conflict = true
		default:
			usable, full = append(usable, p), true
		}
	}
	if a, ok := d.shared(f, usable); ok {
		return a, ""
	}
	if a, ok := d.returned(f, usable); ok {
		return a, ""
	}
	for _, p := range usable {
		for _, r := range p.Ranges {
			for a := r.First; clustermesh.FamilyOf(r.First) == f && a.IsValid() && a.Compare(r.Last) <= 0; a = a.Next() {
				_, resting := d.o.rests[a]
				if !d.o.claimed(a) && !resting && !avoided(p, a) {
					return a, ""
				}
			}
		}
	}
	switch {
	case full:
		return netip.Addr{}, PoolFull
	case conflict:
		return netip.Addr{}, PoolConflict
	}
	return netip.Addr{}, NoPool
}

// usable says whether an address is of one of the pools.
func usable(pools []*clustermesh.Pool, p *clustermesh.Pool) bool { return slices.Contains(pools, p) }

func (d *simple) shared(f clustermesh.Families, pools []*clustermesh.Pool) (found netip.Addr, ok bool) {
	if d.s.Request.SharingKey == "" || d.s.Exclusive {
		return found, false
	}
	for _, c := range d.o.claims {
		p, bad := d.o.poolOf(c.addr)
		if c.cluster != "" || c.Service == d.s.Name || c.SharingKey != d.s.Request.SharingKey || clustermesh.FamilyOf(c.addr) != f || bad || !usable(pools, p) || ok && found.Less(c.addr) {
			continue
		}
		all := d.o.on(c.addr)
		me := d.o.describe(d.s, owned{AddressClaim: clustermesh.AddressClaim{Service: d.s.Name}, addr: c.addr})
		held := slices.ContainsFunc(all, func(c owned) bool { return c.Holds })
		if all = append(all, me); held && d.o.blocked(all, len(all)-1) < 0 {
			found, ok = c.addr, true
		}
	}
	return found, ok
}

// returned returns the address that the service gave back the longest ago.
func (d *simple) returned(f clustermesh.Families, pools []*clustermesh.Pool) (found netip.Addr, ok bool) {
	var at time.Time
	for a, r := range d.o.rests {
		p, bad := d.o.poolOf(a)
		if r.last != d.s.Name || d.o.claimed(a) || clustermesh.FamilyOf(a) != f || bad || p == nil || !usable(pools, p) || avoided(p, a) {
			continue
		}
		if !ok || r.at.Before(at) || r.at.Equal(at) && a.Less(found) {
			found, at, ok = a, r.at, true
		}
	}
	return found, ok
}

// randomScript returns orders that collide with each other as often as can be.
func randomScript(r *rand.Rand) string {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	names := []string{"a", "b", "c", "d", "ops/e", "ops/f"}
	ips := []string{"192.0.2.0", "192.0.2.1", "192.0.2.2", "192.0.2.3", "fd00::", "fd00::1", "198.51.100.0", "198.51.100.255"}
	var lines []string
	if r.IntN(4) == 0 {
		lines = append(lines, "lost")
	}
	if r.IntN(8) == 0 {
		lines = append(lines, "unsure")
	}
	now := 1000
	for range 5 + r.IntN(40) {
		switch r.IntN(12) {
		case 0, 1:
			lines = append(lines, fmt.Sprintf("pool %s %s at=%d %s %s", pick("x", "y", "z"),
				pick("192.0.2.0/30", "192.0.2.0/31,fd00::/127", "192.0.2.2-192.0.2.3", "198.51.100.0/32,198.51.100.255/32,fd00::/126", "fd00::1/128"),
				r.IntN(3), pick("", "", "mesh", "noauto", "avoid"), pick("", "", "for:tier=web", "in:team=x")))
		case 2:
			lines = append(lines, pick("nopool x", "nopool y", "ns shop team=x", "ns shop", "ns ops team=x"))
		case 3:
			lines = append(lines, "gone "+pick(names...))
		case 4:
			lines = append(lines, fmt.Sprintf("%s %s %s since=%d", pick("west", "north"), pick("-", "a", "b", "z"), pick(ips...), 1+r.IntN(1200)))
		case 5, 6:
			now += r.IntN(25)
			lines = append(lines, fmt.Sprintf("at %d", now))
		default:
			line := fmt.Sprintf("svc %s at=%d fam=%s ports=%s %s", pick(names...), 1+r.IntN(3), pick("v4", "v4", "v6", "any", "prefer", "dual"), pick("80", "443", "80,443"), pick("", "", "tier=web"))
			if r.IntN(3) == 0 {
				line += " names=" + pick(ips...)
			}
			if r.IntN(3) == 0 {
				line += " key=" + pick("k", "l") + pick("", " lets=*", " local")
			}
			if r.IntN(8) == 0 {
				line += " hand=" + pick(ips...)
			}
			if r.IntN(5) == 0 {
				line += " has=" + pick(ips...)
			}
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

func TestRandomScripts(t *testing.T) {
	for seed := range uint64(4000) {
		script := randomScript(rand.New(rand.NewPCG(seed, 1)))
		al := New(restTime)
		got, want := play(t, al, script, true), play(t, newObvious(), script, true)
		if got != want {
			t.Fatalf("seed %d:\n%s\ngot\n%s\nwant\n%s", seed, script, got, want)
		}
		if why := unsound(al); why != "" {
			t.Fatalf("seed %d: %s\n%s", seed, why, script)
		}
	}
}

// unsound says what no order of things may lead to.
func unsound(al *Allocator) string {
	used := map[string]int{}
	for addr, a := range al.addresses {
		if a.pool != "" {
			used[a.pool]++
		}
		for i, c := range a.claims {
			for _, d := range a.claims[:i] {
				if c.Holds && d.Holds && c.cluster+d.cluster == "" && !c.hand && !d.hand && c.Shares(&d.AddressClaim) != "" {
					return fmt.Sprintf("%s and %s have %s both", c.Service, d.Service, addr)
				}
			}
		}
		if stored, _ := al.Stored(addr); stored != nil {
			if _, err := clustermesh.Encode(stored); err != nil {
				return err.Error()
			}
		}
	}
	if fmt.Sprint(used) != fmt.Sprint(al.used) {
		return fmt.Sprintf("counted %v, there are %v", al.used, used)
	}
	return ""
}
