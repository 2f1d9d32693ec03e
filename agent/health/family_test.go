package health

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

// about returns what one node thinks of another now.
func (w *world) about(who, of Name) clustermesh.Verdict {
	for _, v := range w.agents[who].machine.Verdicts() {
		if v.Cluster == of.Cluster && v.Node == of.Node {
			return v
		}
	}
	return clustermesh.Verdict{}
}

// is fails unless one node thinks of another that it is in a state, and what of it is
// down in which families.
func (w *world) is(who, of Name, state clustermesh.VerdictState, address, pods clustermesh.Families) {
	w.Helper()
	if v := w.about(who, of); v.State != state || v.AddressDown != address || v.PodsDown != pods {
		w.Errorf("%v says of %v: %v, its addresses down by %q, its pods by %q (%s)", who, of, v.State, v.AddressDown, v.PodsDown, v.Reason)
	}
}

const (
	noFamily = clustermesh.Families(0)
	ipv4     = clustermesh.IPv4
	ipv6     = clustermesh.IPv6
	allOf    = clustermesh.AllFamilies
)

// A node is lost by one family: it is down for backends of that one, for all, within
// the time in which a node is; and comes back.
func TestOneFamilyLost(t *testing.T) {
	for lost, want := range map[family]clustermesh.Families{0: ipv4, 1: ipv6} {
		w := newDualWorld(t, 10, 5, 3)
		w.settle()
		of := node1("b", 1)
		w.lost = func(from, to Name, k Kind) bool { return k.family() == lost && (to == of || from == of) }
		began := w.since()
		w.run(time.Second)
		downs := w.downs(of)
		if len(downs) != 7 {
			t.Errorf("%v: %d of 7 know it", want, len(downs))
		}
		for who, at := range downs {
			if at-began > 900*time.Millisecond {
				t.Errorf("%v: %v needed %v", want, who, at-began)
			}
			w.is(who, of, "down", want, want)
		}
		reason := w.about(node1("a", 1), of).Reason
		if wants := "its address and its pods' prefix did not answer by " + want.String() + "; " + (allOf &^ want).String() + " answers"; reason != wants {
			t.Errorf("the reason is %q, want %q", reason, wants)
		}
		w.is(node1("a", 1), Name{Cluster: "b"}, "up", noFamily, noFamily)
		w.noDowns(of) // nor says it anything itself: it is blind by that family
		w.lost = func(Name, Name, Kind) bool { return false }
		w.run(5 * time.Second)
		w.is(node1("a", 1), of, "up", noFamily, noFamily)
	}
}

// Only the way to a node's pods is lost, and by one family: only those are down.
func TestPodsOfOneFamily(t *testing.T) {
	w := newDualWorld(t, 10, 5, 3)
	w.settle()
	of := node1("b", 1)
	w.lost = func(from, to Name, k Kind) bool { return k == Pods6 && to == of }
	w.run(time.Second)
	if got, want := w.about(node1("a", 1), of).Reason, "its IPv6 pods' prefix did not answer; IPv4 answers"; got != want {
		t.Errorf("the reason is %q, want %q", got, want)
	}
	for i := 1; i <= 5; i++ {
		w.is(node1("a", i), of, "down", noFamily, ipv6)
		w.is(node1("a", i), node1("b", 2), "up", noFamily, noFamily)
	}
}

// The power of a node goes: it is down by both families, as soon as one that has one.
func TestDeadDualNode(t *testing.T) {
	w := newDualWorld(t, 20, 10, 10)
	w.settle()
	of := node1("b", 1)
	w.agents[of].dead = true
	began := w.since()
	w.run(1200 * time.Millisecond)
	downs := w.downs(of)
	if len(downs) != 19 {
		t.Errorf("%d of 19 know it", len(downs))
	}
	for who, at := range downs {
		if at-began > time.Second {
			t.Errorf("%v needed %v", who, at-began)
		}
		w.is(who, of, "down", allOf, allOf)
	}
	if got, want := w.about(node1("a", 1), of).Reason, "its address and its pods' prefix did not answer"; got != want {
		t.Errorf("the reason is %q, want %q", got, want)
	}
	w.noDowns(of)
}

// Two clusters lose each other by IPv6 alone: each is down for the other by that, and
// a third is not. When IPv4 is lost too, that is
// news.
func TestClusterByOneFamily(t *testing.T) {
	w := newDualWorld(t, 10, 6, 40, 4)
	w.settle()
	a, b := node1("a", 1), Name{Cluster: "b"}
	both := false
	w.lost = func(from, to Name, k Kind) bool {
		return (both || k.family() == 1) && from.Cluster != to.Cluster && from.Cluster != "c" && to.Cluster != "c"
	}
	began := w.since()
	w.run(1200 * time.Millisecond)
	for i := 1; i <= 6; i++ {
		who := node1("a", i)
		if at, ok := w.downs(b)[who]; !ok || at-began > time.Second {
			t.Errorf("%v knows of the cluster after %v (%v)", who, at-began, ok)
		}
		w.is(who, b, "down", ipv6, ipv6)
		w.is(who, Name{Cluster: "c"}, "up", noFamily, noFamily)
	}
	if v := w.about(a, b); !strings.HasSuffix(v.Reason, "are down by IPv6; IPv4 answers") {
		t.Errorf("the reason is %q", v.Reason)
	}
	both = true
	w.run(1200 * time.Millisecond)
	w.is(a, b, "down", allOf, allOf)
	if !slices.ContainsFunc(w.changes, func(c change) bool {
		return c.who == a && c.Cluster == "b" && c.Node == "" && c.Was == "down" && c.WasIn == ipv6 && c.AddressDown == allOf
	}) {
		t.Error("that IPv4 is lost too is no change")
	}
	both = false
	w.run(5 * time.Second)
	w.is(a, b, "down", ipv6, ipv6)
	w.lost = func(Name, Name, Kind) bool { return false }
	w.run(5 * time.Second)
	w.is(a, b, "up", noFamily, noFamily)
}

// A node's IPv6 breaks: it judges nobody by that, and goes on by IPv4. The others say
// the truth of it.
func TestBlindByOneFamily(t *testing.T) {
	w := newDualWorld(t, 10, 6, 6)
	w.settle()
	broken := node1("a", 1)
	w.lost = func(from, to Name, k Kind) bool { return k.family() == 1 && (to == broken || from == broken) }
	w.run(3 * time.Second)
	for _, c := range w.changes {
		if c.who == broken && c.State == "down" {
			t.Errorf("it says at %v that %v is down: %s", c.at, Name{c.Cluster, c.Node}, c.Reason)
		}
	}
	m := w.agents[broken].machine
	if _, in := m.Blind(); in != ipv6 || m.Sees() != ipv4 {
		t.Errorf("it is blind by %v and sees by %v", in, m.Sees())
	}
	w.is(node1("a", 2), broken, "down", ipv6, ipv6)
	w.is(node1("b", 2), broken, "down", ipv6, ipv6)
	w.noDowns(broken)
	w.changes = nil
	dead := node1("b", 2)
	w.agents[dead].dead = true
	began := w.since()
	w.run(1500 * time.Millisecond)
	w.is(broken, dead, "down", ipv4, ipv4)
	w.is(node1("a", 2), dead, "down", allOf, allOf)
	for who, at := range w.downs(dead) {
		if who != broken && at-began > time.Second {
			t.Errorf("beside one who is blind, %v needed %v", who, at-began)
		}
	}
	w.lost = func(Name, Name, Kind) bool { return false }
	w.run(3 * time.Second)
	if _, in := m.Blind(); in != 0 {
		t.Errorf("it is blind for ever, by %v", in)
	}
	w.is(broken, dead, "down", allOf, allOf)
}

// A family that never answered follows the other, and alone is nothing.
func TestFamilyThatNeverAnswered(t *testing.T) {
	w := newDualWorld(t, 10, 5, 3)
	w.lost = func(from, to Name, k Kind) bool { return k.family() == 1 && from.Cluster != to.Cluster }
	w.run(20 * time.Second)
	w.noDowns()
	a, of := node1("a", 1), node1("b", 1)
	if v := w.about(a, of); v.State != "up" || v.Reason != "it never answered a probe by IPv6 from here: what IPv4 tells counts for both" {
		t.Errorf("it is %v: %q", v.State, v.Reason)
	}
	w.agents[of].dead = true
	w.run(time.Second)
	w.is(a, of, "down", allOf, allOf)
	w.is(a, Name{Cluster: "b"}, "up", noFamily, noFamily)
}

// A third of all packets between clusters is lost each way, for a minute.
func TestDualLossBetweenClusters(t *testing.T) {
	w := newDualWorld(t, 10, 10, 10)
	w.settle()
	w.lost = func(from, to Name, _ Kind) bool { return from.Cluster != to.Cluster && w.random.Float64() < 0.3 }
	w.run(lossy)
	w.noDowns()
}

// That a kind answered for the first time is to be kept at once, whatever the verdict
// was before: its death during a restart would be missed.
func TestFirstAnswersAreKept(t *testing.T) {
	m := NewMachine(DefaultKnobs(), Name{"a", "me"})
	to := Target{Name: Name{"a", "n"}}
	for k := range kinds {
		to.Ask[k] = netip.AddrFrom4([4]byte{10, 0, 0, byte(k)})
	}
	m.SetTargets(epoch, []Target{{Name: Name{"a", "me"}}, to})
	answered := map[Kind]int{}
	now := epoch
	for range 40 {
		out := m.Step(Input{Now: now})
		for _, p := range out.Probes {
			before := answered[p.Kind]
			answered[p.Kind]++
			if got := m.Step(Input{Now: now, Replies: []Reply{{ID: p.ID, Arrived: now}}}).Learned; got != (before == 0) {
				t.Errorf("answer %d of the %v of %v: to be kept %v", before+1, p.Kind, p.Kind.family().set(), got)
			}
		}
		now = out.Wake
	}
	if len(answered) != int(kinds) {
		t.Errorf("asked were %v", answered)
	}
}

// Each family is asked as often as it is alone.
func TestTurns(t *testing.T) {
	w := newDualWorld(t, 1, 2)
	a := w.agents[node1("a", 1)]
	w.settle()
	count := map[Kind]int{}
	w.lost = func(from, _ Name, k Kind) bool {
		if from == a.name {
			count[k]++
		}
		return false
	}
	w.run(10 * time.Second)
	for k := range kinds {
		if count[k] < 95 || count[k] > 105 {
			t.Errorf("in 10 s the %v of %v is asked %d times", k, k.family().set(), count[k])
		}
	}
}

// By which addresses nodes are asked: of each family that both have.
func TestAsk(t *testing.T) {
	addrs := func(s string) (out []netip.Addr) {
		for _, a := range strings.Fields(s) {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	for _, c := range []struct{ mine, addresses, pods, want string }{
		{"10.0.0.1", "10.0.0.2 fd00::2", "10.1.0.0/24 fd01::/64", "10.0.0.2 10.1.0.1 - -"},
		{"fd00::1", "10.0.0.2 fd00::2", "10.1.0.0/24 fd01::/64", "- - fd00::2 fd01::1"},
		{"10.0.0.1 fd00::1", "fd00::2 10.0.0.2 10.0.0.3", "fd01::/64 10.1.0.0/24 10.1.1.0/24", "10.0.0.2 10.1.0.1 fd00::2 fd01::1"},
		{"10.0.0.1 fd00::1", "fd00::2", "10.1.0.7/32", "- 10.1.0.7 fd00::2 -"},
		{"10.0.0.1", "fd00::2", "", "- - - -"},
		{"", "10.0.0.2", "10.1.0.0/24", "- - - -"},
	} {
		n := surveyedNode{Addresses: addrs(c.addresses)}
		for _, p := range strings.Fields(c.pods) {
			n.PodCIDRs = append(n.PodCIDRs, netip.MustParsePrefix(p))
		}
		var got []string
		for _, a := range ask(addrs(c.mine), &n) {
			if a.IsValid() {
				got = append(got, a.String())
			} else {
				got = append(got, "-")
			}
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("by %s: %s, %s: %s, want %s", c.mine, c.addresses, c.pods, s, c.want)
		}
	}
}

// What a version kept that asked by one family is of the family by which it asked.
func TestRecordsOfOneFamily(t *testing.T) {
	at := func(s string) []netip.Addr { return []netip.Addr{netip.MustParseAddr(s)} }
	s := survey{Cluster: "east", Node: "me", Clusters: []surveyed{
		{Name: "east", As: "", Nodes: []surveyedNode{{Name: "me", Addresses: append(at("10.0.0.1"), at("fd00::1")...)}}},
		{Name: "west", As: "west", Nodes: []surveyedNode{
			{Name: "four", Addresses: append(at("10.0.0.2"), at("fd00::2")...)}, {Name: "six", Addresses: append(at("fd00::3"), at("10.0.0.3")...)},
		}},
	}}
	firsts := s.firsts()
	if firsts[Name{"west", "four"}] != ipv4 || firsts[Name{"west", "six"}] != ipv6 {
		t.Errorf("asked first were %v", firsts)
	}
	old := Record{Name: Name{"west", "six"}, Monitored: [kinds]bool{true, true}, Down: [kinds]time.Time{Pods: epoch}, Falls: [kinds]int{1, 2}}
	got := old.moved()
	if got.Monitored != [kinds]bool{Address6: true, Pods6: true} || got.Down != [kinds]time.Time{Pods6: epoch} || got.Falls != [kinds]int{Address6: 1, Pods6: 2} {
		t.Errorf("it became %+v", got)
	}
}

// A family that answers for the first time on a node that was down, as after an upgrade
// from a version that did not ask by it, comes back like one that fell: when it is known
// what runs there.
func TestFirstAnswerOfAFamilyOnAReturn(t *testing.T) {
	w := newDualWorld(t, 3, 3, 3)
	silent := true
	w.lost = func(from, to Name, k Kind) bool { return silent && k.family() == 1 && from.Cluster != to.Cluster }
	w.settle()
	a, b := w.agents[node1("a", 1)], w.agents[node1("b", 1)]
	w.follow(a, 0, "a")
	b.dead = true
	w.run(1500 * time.Millisecond)
	w.is(a.name, b.name, "down", allOf, allOf)
	b.dead, b.life, silent = false, Life{Epoch: 1}, false
	w.run(5 * time.Second)
	w.is(a.name, b.name, "down", allOf, allOf)
	for _, e := range w.about(a.name, b.name).Evidence {
		if strings.Contains(e, "IPv6") {
			t.Errorf("of a family that was never silent it says %q", e)
		}
	}
	w.follow(a, 1, "a", "b")
	w.run(time.Second)
	w.is(a.name, b.name, "up", noFamily, noFamily)
}

// The same of one kind: while the pods' prefix never answered by IPv6, what IPv4 tells of
// it counts, and that the node's own address answers by IPv6 does not take that back.
func TestKindThatNeverAnswered(t *testing.T) {
	w := newDualWorld(t, 3, 3, 3)
	w.lost = func(from, to Name, k Kind) bool { return k == Pods6 && from.Cluster != to.Cluster }
	w.settle()
	a, b := w.agents[node1("a", 1)], w.agents[node1("b", 1)]
	if got, want := w.about(a.name, b.name).Reason, "its IPv6 pods' prefix never answered a probe from here: what IPv4 tells counts for both"; got != want {
		t.Errorf("the reason is %q, want %q", got, want)
	}
	b.dead = true
	w.run(1500 * time.Millisecond)
	w.is(a.name, b.name, "down", allOf, allOf)
	b.dead = false
	w.run(5 * time.Second)
	w.is(a.name, b.name, "up", noFamily, noFamily)
}

// The kernel of a node refuses to send by IPv6: that says nothing about anybody, and a
// node that dies is down by IPv4 all the same.
func TestOneFamilyIsNotSent(t *testing.T) {
	w := newDualWorld(t, 10, 5, 5)
	w.settle()
	a, dead := node1("a", 1), node1("b", 1)
	w.refused = func(from Name, k Kind) bool { return from == a && k.family() == 1 }
	w.run(2 * time.Second)
	w.noDowns()
	const forbidden = "cannot send probes to its IPv6 address and its IPv6 pods' prefix: forbidden"
	if v, _ := w.agents[a].machine.Verdict(dead); v.State != "up" || !strings.Contains(v.Reason, forbidden) {
		t.Errorf("it is %s: %s", v.State, v.Reason)
	}
	w.agents[dead].dead = true
	w.run(1500 * time.Millisecond)
	w.is(a, dead, "down", ipv4, ipv4)
	w.noDowns(dead)
	if v, _ := w.agents[a].machine.Verdict(dead); !strings.Contains(v.Reason, forbidden) {
		t.Errorf("of the dead one it says %s", v.Reason)
	}
}

// What is down by one family is asked seldom, and comes back nevertheless after some
// falls, also where all is asked more slowly than by default.
func TestSlowlyAskedComesBack(t *testing.T) {
	for _, interval := range []time.Duration{500 * time.Millisecond, 5 * time.Second} {
		w := newDualWorld(t, 1, 2, 2)
		a, of := w.agents[node1("a", 1)], node1("b", 1)
		a.machine.knobs.Interval = interval
		a.machine.assign()
		w.settle()
		w.run(time.Minute)
		for range 3 {
			w.lost = func(from, to Name, k Kind) bool { return k.family() == 1 && (to == of || from == of) }
			w.run(2 * time.Minute)
			w.is(a.name, of, "down", ipv6, ipv6)
			w.lost = func(Name, Name, Kind) bool { return false }
			w.run(4 * time.Minute)
			w.is(a.name, of, "up", noFamily, noFamily)
		}
	}
}

// A node that gets addresses of the other family is asked twice as often: who watches
// many then asks each more seldom.
func TestSecondFamilyTakesItsShare(t *testing.T) {
	m := NewMachine(DefaultKnobs(), Name{"a", "me"})
	targets := []Target{{Name: Name{"a", "me"}}}
	for i := range 100 { // nobody else is a member: all of them are watched by this node
		to := Target{Name: Name{"a", fmt.Sprint("n", i)}}
		to.Ask[Address] = netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
		targets = append(targets, to)
	}
	m.SetTargets(epoch, targets)
	if m.interval != 100*time.Millisecond {
		t.Errorf("100 nodes are asked every %v each", m.interval)
	}
	for i := range targets[1:] {
		targets[i+1].Ask[Address6] = netip.AddrFrom16([16]byte{0xfd, 15: byte(i)})
	}
	m.SetTargets(epoch, targets)
	if m.interval != 200*time.Millisecond {
		t.Errorf("with both families 100 nodes are asked every %v each", m.interval)
	}
}
