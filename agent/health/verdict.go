package health

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// said is the verdict that was last published.
type said struct{ verdict clustermesh.Verdict }

// maxEvidence bounds how many sentences a verdict carries.
const maxEvidence = 8

// publish compares what we think of whom something happened to with what was said.
func (m *Machine) publish() {
	for _, who := range slices.SortedFunc(maps.Keys(m.touched), compareNames) {
		c := m.clusters[who.Cluster]
		if c == nil {
			continue
		}
		if who.Node == "" {
			c.note(m.now)
			m.say(&c.said, m.judge(who.Cluster, c))
		} else if n := c.nodes[who.Node]; n != nil {
			m.say(&n.said, m.opinion(n))
		}
	}
	clear(m.touched)
}

func compareNames(a, b Name) int {
	return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Node, b.Node))
}

// say publishes a verdict that differs from what was said. What others saw meanwhile
// is no other verdict.
func (m *Machine) say(s *said, v clustermesh.Verdict) {
	old := s.verdict
	v.Since = m.now
	if old.State == v.State && old.AddressDown == v.AddressDown && old.PodsDown == v.PodsDown && old.Override == v.Override {
		v.Since = old.Since
		s.verdict = v
		return
	}
	s.verdict = v
	m.out.Changes = append(m.out.Changes, Change{Verdict: v, Was: old.State, WasIn: old.AddressDown | old.PodsDown, Lasted: m.now.Sub(old.Since)})
}

// gone and goneCluster publish that there is nothing to judge any more.
func (m *Machine) gone(n *node) {
	m.goneChange(clustermesh.Verdict{Cluster: n.Cluster, Node: n.Node}, n.said)
}

func (m *Machine) goneCluster(name string, c *cluster) {
	m.goneChange(clustermesh.Verdict{Cluster: name}, c.said)
}

func (m *Machine) goneChange(v clustermesh.Verdict, s said) {
	if s.verdict.State != "" {
		v.Since = m.now
		m.left = append(m.left, Change{Verdict: v, Was: s.verdict.State})
	}
}

// opinion says what we think of a node, unless somebody set by hand what to think of it,
// or that its cluster is up.
func (m *Machine) opinion(n *node) clustermesh.Verdict {
	if state := m.overrides[n.Name]; state != "" {
		return byHand(clustermesh.Verdict{Cluster: n.Cluster, Node: n.Node}, state)
	}
	v := m.seen(n)
	if m.overrides[Name{Cluster: n.Cluster}] == clustermesh.VerdictUp && (v.State == clustermesh.VerdictDown || v.State == clustermesh.VerdictUnmonitored) {
		return byHand(clustermesh.Verdict{Cluster: n.Cluster, Node: n.Node}, clustermesh.VerdictUp)
	}
	return v
}

// seen says what we think of a node by our own eyes.
func (m *Machine) seen(n *node) clustermesh.Verdict {
	v := clustermesh.Verdict{Cluster: n.Cluster, Node: n.Node, State: clustermesh.VerdictUp}
	for f := range families {
		if !n.track[n.source(f.own())].down.IsZero() {
			v.AddressDown |= f.set()
		}
		if !n.track[n.source(f.pods())].down.IsZero() {
			v.PodsDown |= f.set()
		}
	}
	switch {
	case n.Name == m.self:
		v.Reason = "this node"
	case n.anyDown():
		v.State, v.Reason, v.Evidence = clustermesh.VerdictDown, m.complaint(n), m.evidence(n)
	case !n.suspect.IsZero():
		v.State, v.Reason, v.Evidence = clustermesh.VerdictSuspect, "silent, not confirmed yet", m.evidence(n)
		if _, in := m.Blind(); in != 0 {
			v.Reason = "silent, but this node hears nobody" + m.by(in) + " and judges nobody" + m.by(in)
		}
	case n.Draining != "":
		v.State, v.Reason = clustermesh.VerdictDraining, n.Draining
	case n.Deaf != "":
		v.State, v.Reason = clustermesh.VerdictUnmonitored, n.Deaf
	case !n.everAnswered():
		v.State, v.Reason = clustermesh.VerdictUnmonitored, "it never answered a probe from here: is UDP to the port of probes let through? tombolo check tells"
	default:
		v.Reason = m.gaps(n)
	}
	if n.Draining != "" && v.State == clustermesh.VerdictSuspect {
		v.Reason += "; " + n.Draining
	}
	m.confess(n, &v)
	return v
}

// by names the families of which something is said, if it is not true of all.
func (m *Machine) by(in clustermesh.Families) string {
	if m.Sees() == 0 {
		return ""
	}
	return " by " + in.String()
}

// call names a kind of a node's addresses, with its family where there are two.
func (n *node) call(k Kind) string {
	if _, of := n.asked(); of < int(families) {
		return k.String()
	}
	return fmt.Sprintf("%v %v", k.family().set(), k)
}

// gaps says which kind of a node's addresses would not be missed.
func (m *Machine) gaps(n *node) string {
	for k := range kinds {
		f := k.family()
		switch {
		case !n.Ask[k].IsValid() || n.track[k].monitored:
		case n.teller(f) != f:
			return fmt.Sprintf("it never answered a probe by %v from here: what %v tells counts for both", f.set(), n.teller(f).set())
		case n.source(k) != k:
			return fmt.Sprintf("its %s never answered a probe from here: what %v tells counts for both", n.call(k), n.source(k).family().set())
		default:
			return fmt.Sprintf("its %s never answered a probe from here and is not monitored", n.call(k))
		}
	}
	return ""
}

// lost says what of a node did not answer, and by which family if not by all.
func (n *node) lost() string {
	var all []string
	var own, pods, asked clustermesh.Families
	for k := range kinds {
		if n.Ask[k].IsValid() {
			asked |= k.family().set()
		}
		if n.track[k].down.IsZero() {
			continue
		}
		all = append(all, n.call(k))
		if k == k.family().own() {
			own |= k.family().set()
		} else {
			pods |= k.family().set()
		}
	}
	switch {
	case own != pods:
		return strings.Join(all, " and its ") + " did not answer"
	case own == asked:
		return "address and its pods' prefix did not answer"
	}
	return fmt.Sprintf("address and its pods' prefix did not answer by %v", own)
}

// hears says by which family a node answers of which the other is down.
func (n *node) hears() string {
	for f := range families {
		if other := 1 - f; n.monitors(f) && n.counts(f.own()) == n.track[f.own()].monitored && n.counts(f.pods()) == n.track[f.pods()].monitored && n.monitors(other) {
			return fmt.Sprintf("; %v answers", f.set())
		}
	}
	return ""
}

// complaint says what of a node is down, and what it waits for if it answers again.
func (m *Machine) complaint(n *node) string {
	var back time.Time
	waits := ""
	for k := range kinds {
		if t := &n.track[k]; !t.down.IsZero() {
			if t.back.After(back) {
				back = t.back
				if waits = fmt.Sprintf("it has to for %v", t.stand(m.knobs)); !m.known(n, t) {
					waits += ", and what runs on it is not known while its cluster's mirror is stale"
				}
			}
		}
	}
	text := "its " + n.lost() + n.hears()
	if !back.IsZero() {
		text += "; answers again, but " + waits
	}
	return text
}

// evidence says who saw what.
func (m *Machine) evidence(n *node) []string {
	var out []string
	for k := range kinds {
		if t := &n.track[k]; !t.down.IsZero() && !t.lent {
			out = append(out, m.proof(n, k))
		}
	}
	for _, from := range slices.Sorted(maps.Keys(n.reports)) {
		if r := n.reports[from]; m.now.Sub(r.heard) < reportLasts && len(out) < maxEvidence {
			out = append(out, fmt.Sprintf("%s said at %s that it is %v", from, r.heard.UTC().Format("15:04:05.000"), r.State))
		}
	}
	return out
}

func byHand(v clustermesh.Verdict, state clustermesh.VerdictState) clustermesh.Verdict {
	down := clustermesh.Families(0)
	if state == clustermesh.VerdictDown {
		down = clustermesh.AllFamilies
	}
	v.State, v.AddressDown, v.PodsDown, v.Override, v.Reason = state, down, down, true, "set by hand (tombolo verdict)"
	return v
}

// Verdict returns what was last said of somebody; false when nothing was.
func (m *Machine) Verdict(who Name) (clustermesh.Verdict, bool) {
	var s said
	if n := m.nodes[who]; n != nil {
		s = n.said
	} else if c := m.clusters[who.Cluster]; c != nil && who.Node == "" {
		s = c.said
	}
	return s.verdict, s.verdict.State != ""
}

// Verdicts returns all verdicts, clusters before their nodes, by name.
func (m *Machine) Verdicts() []clustermesh.Verdict {
	var out []clustermesh.Verdict
	add := func(s said, v clustermesh.Verdict) {
		if s.verdict.State != "" {
			v.Since = s.verdict.Since
			out = append(out, v)
		}
	}
	for name, c := range m.clusters {
		add(c.said, m.judge(name, c))
		for _, n := range c.nodes {
			add(n.said, m.opinion(n))
		}
	}
	slices.SortFunc(out, func(a, b clustermesh.Verdict) int {
		return compareNames(Name{a.Cluster, a.Node}, Name{b.Cluster, b.Node})
	})
	return out
}
