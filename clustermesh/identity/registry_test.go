package identity

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"tombolo.io/tombolo/clustermesh"
)

func registry(t *testing.T) *Registry {
	t.Helper()
	return NewRegistry(Config{Cluster: "east", ID: 1, Filter: filter(t, DefaultRules...), Grace: grace})
}

func pod(name, app string, addrs ...string) Pod {
	ns, n, _ := strings.Cut(name, "/")
	p := Pod{Namespace: ns, Name: n, UID: "uid-" + n, Node: "n1", Labels: map[string]string{"app": app}}
	for _, a := range addrs {
		p.Addresses = append(p.Addresses, netip.MustParseAddr(a))
	}
	return p
}

// shown puts changes into words, a line each: "+ 10.1.0.1 app=cart",
// "- id app=cart". Numbers are told by their labels.
type shown struct{ meaning map[string]string }

func (s *shown) lines(t *testing.T, c Changes) []string {
	t.Helper()
	var out []string
	for _, o := range c.Puts {
		if _, err := clustermesh.Encode(o); err != nil {
			t.Errorf("cannot be stored: %v", err)
		}
		switch o := o.(type) {
		case *clustermesh.Identity:
			if s.meaning == nil {
				s.meaning = map[string]string{}
			}
			s.meaning[fmt.Sprint(o.ID)] = o.Labels["app"] + o.Labels["namespace:team"]
			out = append(out, "+ id "+s.meaning[fmt.Sprint(o.ID)])
		case *clustermesh.EndpointIdentity:
			m, ok := s.meaning[fmt.Sprint(o.Identity)]
			if !ok {
				t.Errorf("%s has number %d before it has a meaning", o.Address, o.Identity)
			}
			out = append(out, fmt.Sprintf("+ %s %s %s", o.Address, o.Pod, m))
		}
	}
	for _, k := range c.Deletes {
		name := k.Name
		if k.Kind == clustermesh.KindIdentities {
			name = "id " + s.meaning[name]
		}
		out = append(out, "- "+name)
	}
	return out
}

func (s *shown) want(t *testing.T, step string, c Changes, want ...string) {
	t.Helper()
	if got := s.lines(t, c); !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", step, got, want)
	}
}

func TestLifeOfAPod(t *testing.T) {
	r, s := registry(t), &shown{}
	r.SetPod(pod("shop/cart-0", "cart", "10.1.0.1", "fd01::1"), at(0))
	s.want(t, "a pod", r.Changes(at(0)), "+ id cart", "+ 10.1.0.1 shop/cart-0 cart", "+ fd01::1 shop/cart-0 cart")
	s.want(t, "nothing new", r.Changes(at(1)))

	r.SetPod(pod("shop/cart-1", "cart", "10.1.0.2"), at(1))
	s.want(t, "its sibling", r.Changes(at(1)), "+ id cart", "+ 10.1.0.2 shop/cart-1 cart")

	r.SetPod(pod("shop/cart-0", "cart", "10.1.0.3"), at(2))
	s.want(t, "other addresses", r.Changes(at(2)), "+ 10.1.0.3 shop/cart-0 cart", "- 10.1.0.1", "- fd01::1")

	r.SetPod(pod("shop/cart-0", "till", "10.1.0.3"), at(3))
	s.want(t, "other labels", r.Changes(at(3)), "+ id till", "+ 10.1.0.3 shop/cart-0 till")

	r.DeletePod("shop", "cart-1", at(4))
	s.want(t, "the last of its labels", r.Changes(at(4)), "- 10.1.0.2")
	if next, ok := r.Next(); !ok || !next.Equal(at(4).Add(grace)) {
		t.Errorf("next is %v, %v", next, ok)
	}
	s.want(t, "grace is over", r.Changes(at(4).Add(grace)), "- id cart")
	r.DeletePod("shop", "cart-1", at(5))
	s.want(t, "deleted twice", r.Changes(at(5)))
}

func TestNamespaceLabelsCount(t *testing.T) {
	r, s := registry(t), &shown{}
	r.SetPod(pod("shop/a", "cart", "10.1.0.1"), at(0))
	r.SetPod(pod("bank/b", "cart", "10.1.0.2"), at(0))
	r.Changes(at(0))
	r.SetNamespace("shop", map[string]string{"team": "red"}, at(1))
	s.want(t, "labels of one", r.Changes(at(1)), "+ id cartred", "+ 10.1.0.1 shop/a cartred")
	r.SetNamespace("shop", map[string]string{"team": "red"}, at(2))
	s.want(t, "the same again", r.Changes(at(2)))
	r.SetNamespace("shop", nil, at(3))
	if got := s.lines(t, r.Changes(at(3))); len(got) != 2 || got[1] != "+ 10.1.0.1 shop/a cart" {
		t.Errorf("labels gone: got %q", got)
	}
}

// An address that is used again before the old pod is gone must not carry the
// old pod's identity, nor the new one's, until one of them goes.
func TestReusedAddress(t *testing.T) {
	r, s := registry(t), &shown{}
	r.SetPod(pod("shop/old", "cart", "10.1.0.1"), at(0))
	r.Changes(at(0))
	r.SetPod(pod("shop/new", "till", "10.1.0.1"), at(1))
	s.want(t, "claimed twice", r.Changes(at(1)), "+ id till", "- 10.1.0.1")
	want := []Problem{{"address 10.1.0.1", "claimed by pods of different identities: shop/new, shop/old"}}
	if got := r.Problems(); !reflect.DeepEqual(got, want) {
		t.Errorf("got problems %v", got)
	}
	r.DeletePod("shop", "old", at(2))
	s.want(t, "one goes", r.Changes(at(2)), "+ 10.1.0.1 shop/new till")
	if got := r.Problems(); len(got) != 0 {
		t.Errorf("got problems %v", got)
	}
	r.SetPod(pod("shop/next", "till", "10.1.0.1"), at(3))
	s.want(t, "the same identity", r.Changes(at(3)), "+ id till", "+ 10.1.0.1 shop/next till")
}

// A new leader finds what the store has, and gives the same numbers to the
// same labels, others to others, and frees only after the grace time.
func TestNewTerm(t *testing.T) {
	old := registry(t)
	for i := range 50 {
		old.SetPod(pod(fmt.Sprint("shop/p", i), fmt.Sprint("app", i), fmt.Sprint("10.1.0.", i)), at(0))
	}
	ids, addrs := old.All()
	if len(ids) != 50 || len(addrs) != 50 {
		t.Fatalf("got %d identities and %d addresses", len(ids), len(addrs))
	}
	next := registry(t)
	for _, id := range ids {
		if err := next.Learn(id, at(100)); err != nil {
			t.Fatal(err)
		}
	}
	for i := 40; i >= 0; i-- {
		next.SetPod(pod(fmt.Sprint("shop/p", i), fmt.Sprint("app", i), fmt.Sprint("10.1.0.", i)), at(100))
	}
	next.SetPod(pod("shop/q", "q", "10.1.1.1"), at(100))
	if c := next.Changes(at(100)); len(c.Deletes) != 0 {
		t.Errorf("a new term begins with the deletes %v", c.Deletes)
	}
	ids2, addrs2 := next.All()
	if !reflect.DeepEqual(addrs2[:41], addrs[:41]) {
		t.Errorf("addresses changed:\n got %v\nwant %v", addrs2[:41], addrs[:41])
	}
	if len(ids2) != 51 {
		t.Errorf("got %d identities, want the 50 learned and a new one", len(ids2))
	}
	if c := next.Changes(at(100).Add(grace)); len(c.Deletes) != 9 {
		t.Errorf("after the grace time %d identities go, want the 9 that nobody claimed", len(c.Deletes))
	}
}

func TestContestedIdentityLeavesTheStore(t *testing.T) {
	r := registry(t)
	id := &clustermesh.Identity{ID: clustermesh.NewIdentityID(1, 5), Labels: map[string]string{"app": "x"}}
	if err := r.Learn(id, at(0)); err != nil {
		t.Fatal(err)
	}
	if err := r.Learn(&clustermesh.Identity{ID: id.ID, Labels: map[string]string{"app": "y"}}, at(0)); err == nil {
		t.Error("two meanings are learned silently")
	}
	if c := r.Changes(at(0)); len(c.Puts) != 0 || len(c.Deletes) != 1 || c.Deletes[0].String() != "tombolo/v1/export/identities/65541" {
		t.Errorf("got %+v", c)
	}
}

func TestPodsWithoutANumber(t *testing.T) {
	r := registry(t)
	r.numbers.last = 100
	for i := range 100 {
		if _, err := r.numbers.Acquire(map[string]string{"n": fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	r.SetPod(pod("shop/a", "cart", "10.1.0.1"), at(0))
	if c := r.Changes(at(0)); len(c.Puts) != 0 {
		t.Errorf("got %v", c.Puts)
	}
	if p := r.Problems(); len(p) != 1 || p[0].Subject != "pod shop/a" {
		t.Errorf("got problems %v", p)
	}
	r.numbers.Release(r.numbers.Identities()[0].ID, at(0))
	c := r.Changes(at(0).Add(grace))
	if len(c.Puts) != 2 || len(r.Problems()) != 0 {
		t.Errorf("with a number free again: got %v, problems %v", c.Puts, r.Problems())
	}
}

func TestHundredThousandPods(t *testing.T) {
	r := registry(t)
	began := time.Now()
	for i := range 100_000 {
		r.SetPod(pod(fmt.Sprint("shop/p", i), fmt.Sprint("app", i%1000), netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).String()), at(0))
	}
	c := r.Changes(at(0))
	if len(c.Puts) != 101_000 {
		t.Errorf("got %d puts", len(c.Puts))
	}
	t.Logf("100,000 pods of 1,000 identities took %v", time.Since(began))
}
