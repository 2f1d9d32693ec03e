package ipam

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// The notation of the tests, an order a line or between semicolons:
//
//	pool a 192.0.2.1-192.0.2.3,fd00::/126 [at=5] [mesh] [noauto] [avoid] [for:tier=web] [in:team=x]
//	nopool a
//	ns shop team=x            the labels of a namespace
//	svc web [fam=v4|v6|prefer|dual] [names=A,A] [key=k] [lets=ops] [ports=80] [local]
//	    [at=10] [tier=web] [has=A] [hand=A]      in namespace shop, if it names none
//	gone web
//	west api 192.0.2.5 since=5 [key=k] [ports=80]   what another cluster claims; - for nothing
//	stored 192.0.2.5 a web since=5 [named]    as it was stored, held
//	lost; unsure              before the first time
//	at 30                     what is due is decided, time passes, and again
//
// Times are in seconds. The result has a line a service: its addresses with
// their pools, "pending" while it lacks something, and the reasons.
type orders interface {
	SetPools([]*clustermesh.Pool)
	SetNamespace(string, map[string]string)
	Set(Service)
	Delete(clustermesh.ServiceName, time.Time)
	SetOther(string, netip.Addr, *clustermesh.Address)
	OthersKnown()
	Learn(*clustermesh.Address, bool)
	Lost()
	Settle(time.Time)
	Outcome(clustermesh.ServiceName) (*Outcome, bool)
}

// player carries orders out.
type player struct {
	t     testing.TB
	to    orders
	now   time.Time
	pools map[string]*clustermesh.Pool
	names map[clustermesh.ServiceName]bool
	known bool
	// brief leaves out why a service lacks a family that wants both or none: what
	// keeps it from the other one may change without anybody looking.
	brief    bool
	required map[clustermesh.ServiceName]bool
}

func second(text string) time.Time {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return time.Unix(int64(n), 0).UTC()
}

func play(t testing.TB, to orders, script string, brief bool) string {
	t.Helper()
	p := &player{t: t, to: to, now: second("1000"), pools: map[string]*clustermesh.Pool{}, names: map[clustermesh.ServiceName]bool{},
		known: true, brief: brief, required: map[clustermesh.ServiceName]bool{}}
	if strings.Contains(script, "unsure") {
		p.known = false
	}
	for _, line := range strings.FieldsFunc(script, func(r rune) bool { return r == '\n' || r == ';' }) {
		if words := strings.Fields(line); len(words) > 0 {
			p.order(words)
		}
	}
	p.settle()
	return p.result()
}

func (p *player) settle() {
	if p.known {
		p.to.OthersKnown()
	}
	p.to.Settle(p.now)
}

func (p *player) order(w []string) {
	switch w[0] {
	case "unsure":
	case "lost":
		p.to.Lost()
	case "at":
		p.settle()
		p.now = second(w[1])
		p.settle()
	case "pool":
		p.pools[w[1]] = poolOf(w)
		p.to.SetPools(p.allPools())
	case "nopool":
		delete(p.pools, w[1])
		p.to.SetPools(p.allPools())
	case "ns":
		p.to.SetNamespace(w[1], labelsOf(w[2:]))
	case "svc":
		s := serviceOf(w)
		p.names[s.Name], p.required[s.Name] = true, s.Request.Required
		p.to.Set(s)
	case "gone":
		delete(p.names, nameOf(w[1]))
		p.to.Delete(nameOf(w[1]), p.now)
	case "stored":
		c := clustermesh.AddressClaim{Service: nameOf(w[3]), Since: second(option(w, "since")), Holds: true, Named: slices.Contains(w, "named")}
		p.to.Learn(&clustermesh.Address{Address: netip.MustParseAddr(w[1]), Pool: w[2], Claims: []clustermesh.AddressClaim{c}}, slices.Contains(w, "mesh"))
	case "west", "north":
		addr := netip.MustParseAddr(w[2])
		if w[1] == "-" {
			p.to.SetOther(w[0], addr, nil)
			break
		}
		s := serviceOf(append([]string{"svc", w[1]}, w[3:]...))
		c := clustermesh.AddressClaim{Service: s.Name, Since: second(option(w, "since")), Holds: true, Named: true, SharingKey: s.Request.SharingKey, Ports: s.Ports}
		p.to.SetOther(w[0], addr, &clustermesh.Address{Address: addr, Claims: []clustermesh.AddressClaim{c}})
	default:
		panic("no order " + w[0])
	}
}

func (p *player) allPools() (out []*clustermesh.Pool) {
	for _, x := range p.pools {
		out = append(out, x)
	}
	return out
}

func option(words []string, name string) string {
	for _, w := range words {
		if v, ok := strings.CutPrefix(w, name+"="); ok {
			return v
		}
	}
	return ""
}

func nameOf(s string) clustermesh.ServiceName {
	if ns, name, ok := strings.Cut(s, "/"); ok {
		return clustermesh.ServiceName{Namespace: ns, Name: name}
	}
	return clustermesh.ServiceName{Namespace: "shop", Name: s}
}

func labelsOf(words []string) map[string]string {
	out := map[string]string{}
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		out[k] = v
	}
	return out
}

func addrsOf(s string) (out []netip.Addr) {
	for _, a := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' }) {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func poolOf(w []string) *clustermesh.Pool {
	p := &clustermesh.Pool{Name: w[1], AutoAssign: true}
	for _, r := range strings.Split(w[2], ",") {
		if first, last, ok := strings.Cut(r, "-"); ok {
			p.Ranges = append(p.Ranges, clustermesh.AddrRange{First: netip.MustParseAddr(first), Last: netip.MustParseAddr(last)})
			continue
		}
		p.Ranges = append(p.Ranges, clustermesh.Range(netip.MustParsePrefix(r)))
	}
	p.Ranges = clustermesh.JoinRanges(p.Ranges)
	for _, x := range w[3:] {
		label, isFor := strings.CutPrefix(x, "for:")
		ns, isIn := strings.CutPrefix(x, "in:")
		switch {
		case x == "mesh":
			p.Scope, p.AutoAssign = clustermesh.PoolMesh, false
		case x == "noauto":
			p.AutoAssign = false
		case x == "avoid":
			p.AvoidBuggy = true
		case isFor:
			p.ServiceSelector.MatchLabels = labelsOf([]string{label})
		case isIn:
			p.NamespaceSelector.MatchLabels = labelsOf([]string{ns})
		case strings.HasPrefix(x, "at="):
			p.Created = second(x[3:])
		}
	}
	return p
}

func serviceOf(w []string) Service {
	s := Service{Name: nameOf(w[1]), Created: second("1"), Labels: map[string]string{}}
	s.Request.Families = clustermesh.IPv4
	for _, x := range w[2:] {
		k, v, _ := strings.Cut(x, "=")
		switch k {
		case "fam":
			s.Request.Families = map[string]clustermesh.Families{"any": 0, "v4": clustermesh.IPv4, "v6": clustermesh.IPv6, "prefer": clustermesh.AllFamilies, "dual": clustermesh.AllFamilies}[v]
			s.Request.Required = v == "dual"
		case "names":
			s.Request.Addresses = addrsOf(v)
		case "key":
			s.Request.SharingKey = v
		case "lets":
			s.Request.SharingNamespaces = strings.Split(v, ",")
		case "ports":
			for _, n := range strings.Split(v, ",") {
				i, _ := strconv.Atoi(n)
				s.Ports = append(s.Ports, clustermesh.ClaimedPort{Protocol: clustermesh.TCP, Port: uint16(i)})
			}
		case "local":
			s.Exclusive = true
		case "at":
			s.Created = second(v)
		case "has":
			s.Has = addrsOf(v)
		case "hand":
			s.Hand = addrsOf(v)
		case "since":
		default:
			s.Labels[k] = v
		}
	}
	return s
}

func (p *player) result() string {
	var lines []string
	for name := range p.names {
		o, _ := p.to.Outcome(name)
		text := outcomeText(o)
		if p.brief && p.required[name] {
			text, _, _ = strings.Cut(text, "pending")
		}
		lines = append(lines, strings.TrimPrefix(name.String(), "shop/")+text)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func outcomeText(o *Outcome) string {
	var b strings.Builder
	for _, g := range o.Grants {
		fmt.Fprintf(&b, " %s(%s)", g.Address, g.Pool)
	}
	if !o.Ready {
		b.WriteString(" pending")
	}
	for _, p := range o.Problems {
		b.WriteString(" " + string(p.Reason))
	}
	return b.String()
}
