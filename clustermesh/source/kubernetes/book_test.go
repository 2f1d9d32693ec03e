package kubernetes

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
)

// paper is a book of which every kind was read; nodes are notated as in
// "n1=zone", with "!" for one that is wrong.
type paper struct {
	*testing.T
	book
	have map[string]string
}

func newPaper(t *testing.T, rule source.Shrink, nodes string) *paper {
	p := &paper{t, *newBook(rule), map[string]string{}}
	for _, k := range kinds {
		switch k.Kind {
		case source.Node:
			p.replace(k.Kind, entries(nodes))
		case source.Namespace:
			p.replace(k.Kind, []*entry{system("first")})
		default:
			p.replace(k.Kind, nil)
		}
	}
	if !p.complete() || !p.ready() {
		t.Fatal("all kinds were read, and there is nothing to deliver")
	}
	p.at(0)
	return p
}

func entries(text string) (out []*entry) {
	for _, f := range strings.Fields(text) {
		name, zone, _ := strings.Cut(strings.TrimSuffix(f, "!"), "=")
		e := &entry{}
		e.Name, e.UID = name, types.UID("uid of "+name)
		if strings.HasSuffix(f, "!") {
			e.mistakes = []mistake{{text: "spec: is wrong"}}
		} else {
			e.objects = []source.Object{&clustermesh.Node{Name: name, Zone: zone}}
		}
		out = append(out, e)
	}
	return out
}

func nodes(from, to int) string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf("n%02d=a", i))
	}
	return strings.Join(out, " ")
}

func system(uid string) *entry {
	e := &entry{}
	e.Name, e.UID = "kube-system", types.UID(uid)
	e.objects = []source.Object{&source.Labels{Namespace: "kube-system"}}
	return e
}

// at judges at a second and takes what is delivered; it returns when to judge again.
func (p *paper) at(second int64) int64 {
	next := p.judge(time.Unix(second, 0))
	if p.complete() && p.ready() {
		for _, c := range p.update().Changes {
			if delete(p.have, c.Key.Name); len(c.Objects) > 0 && c.Key.Kind == source.Node {
				p.have[c.Key.Name] = c.Objects[0].(*clustermesh.Node).Zone
			}
		}
	}
	if next.IsZero() {
		return 0
	}
	return next.Unix()
}

func (p *paper) list(nodes string) { p.replace(source.Node, entries(nodes)) }

func (p *paper) wants(what, nodes string) {
	p.Helper()
	var got []string
	for name, zone := range p.have {
		got = append(got, name+"="+zone)
	}
	if slices.Sort(got); strings.Join(got, " ") != nodes {
		p.Errorf("%s: the receiver has %s, want %s", what, strings.Join(got, " "), nodes)
	}
}

func TestKindsAreThoseOfSources(t *testing.T) {
	var got []source.Kind
	for _, k := range kinds {
		got = append(got, k.Kind)
	}
	if !slices.Equal(got, source.Kinds[:]) {
		t.Errorf("%v are read, sources deliver %v", got, source.Kinds)
	}
}

func TestWatchedChangesGoAtOnce(t *testing.T) {
	p := newPaper(t, source.Shrink{}, nodes(0, 40))
	for _, e := range entries(nodes(1, 40)) {
		p.gone(e.key(source.Node))
	}
	p.put(source.Node, entries("n50=b")[0])
	p.at(1)
	p.wants("all but one were watched to go", "n00=a n50=b")
	p.put(source.Node, entries("n50=b")[0])
	if p.ready() {
		t.Error("an object that is as it was is delivered again")
	}
}

func TestListOfTheSameStore(t *testing.T) {
	p := newPaper(t, source.Shrink{Hold: 10 * time.Second}, nodes(0, 20))
	p.list(nodes(10, 21))
	p.at(1)
	p.wants("before the store said which it is", nodes(0, 21))
	if !p.unverified() || !strings.Contains(fmt.Sprint(p.held()), "which store") {
		t.Errorf("held: %v", p.held())
	}
	p.verified("first")
	p.at(2)
	p.wants("half of them may go", nodes(10, 21))

	p = newPaper(t, source.Shrink{Hold: 10 * time.Second}, nodes(0, 20))
	p.list(nodes(11, 20))
	p.verified("first")
	if next := p.at(5); next != 15 {
		t.Errorf("judged again at %d", next)
	}
	p.wants("more than half wait", nodes(0, 20))
	if got := fmt.Sprint(p.held()); got != "[11 of 20 objects of kind Node are not in the list, and stay: more than half of them at once; that is believed at 1970-01-01T00:00:15Z, or at once with --allow-shrink]" {
		t.Errorf("held: %s", got)
	}
	p.gone(entries("n00")[0].key(source.Node))
	p.put(source.Node, entries("n01=b")[0])
	p.at(6)
	p.wants("what is watched meanwhile counts", "n01=b "+nodes(2, 20))
	p.at(15)
	p.wants("after the hold time the list is believed", "n01=b "+nodes(11, 20))
	if len(p.held()) > 0 {
		t.Errorf("held: %v", p.held())
	}
}

// However few they are, what another store lacks waits.
func TestListOfAnotherStore(t *testing.T) {
	for _, c := range []struct {
		name string
		rule source.Shrink
		next int64
		want string
	}{
		{"held", source.Shrink{Hold: 10 * time.Second}, 11, "n00=a n01=a"},
		{"for good", source.Shrink{}, 0, "n00=a n01=a"},
		{"allowed", source.Shrink{Allow: true}, 0, ""},
	} {
		p := newPaper(t, c.rule, nodes(0, 2))
		p.list("")
		p.verified("second")
		if next := p.at(1); next != c.next {
			t.Errorf("%s: judged again at %d", c.name, next)
		}
		p.wants(c.name, c.want)
		if held := fmt.Sprint(p.held()); (c.want == "") != (held == "[]") || c.want != "" && !strings.Contains(held, `has the UID "second" and had "first"`) {
			t.Errorf("%s: held: %s", c.name, held)
		}
	}
	p := newPaper(t, source.Shrink{}, nodes(0, 2))
	p.list("")
	p.verified("second")
	p.at(1)
	p.list(nodes(0, 2))
	p.at(2)
	p.list("")
	p.verified("second")
	p.at(3)
	p.wants("all came back, so the store is believed from then on", "")
}

func TestFaults(t *testing.T) {
	p := newPaper(t, source.Shrink{}, "n1=a n2! n3=a")
	p.wants("the others are taken", "n1=a n3=a")
	unknown := func() string { p.doubted = true; return fmt.Sprint(p.update().Unknown) }
	if got := unknown(); got != "[Node n2]" {
		t.Errorf("unknown: %s", got)
	}
	p.put(source.Node, entries("n1!")[0])
	p.at(1)
	p.wants("what was known of it stays", "n1=a n3=a")
	if got := unknown(); got != "[Node n2]" {
		t.Errorf("unknown: %s", got)
	}
	if got := fmt.Sprint(p.problems()); got != "[{ Node n1 spec: is wrong} { Node n2 spec: is wrong}]" {
		t.Errorf("problems: %s", got)
	}
	p.put(source.Node, entries("n2=b")[0])
	p.gone(entries("n1")[0].key(source.Node))
	p.at(2)
	p.wants("mended, deleted", "n2=b n3=a")
	if len(p.problems()) > 0 || unknown() != "[]" {
		t.Errorf("problems: %v, unknown: %s", p.problems(), unknown())
	}
	p.list("n2=b n3=a n4!")
	p.list("n2=b n3=a")
	if len(p.problems()) > 0 || p.unverified() {
		t.Errorf("an object that was never known and is gone is a problem: %v", p.problems())
	}
}

// Without our CustomResourceDefinitions the rest is delivered, and what there
// may be of our kinds is unknown.
func TestKindThatIsNotThere(t *testing.T) {
	b := newBook(source.Shrink{})
	absent := 0
	for _, k := range kinds {
		if k.ours {
			absent++
			continue
		}
		b.replace(k.Kind, nil)
	}
	if b.complete() {
		t.Error("it is complete without our kinds")
	}
	for _, k := range kinds {
		if k.ours {
			b.withhold(k.Kind)
		}
	}
	if !b.complete() {
		t.Error("it waits for kinds that are not there")
	}
	if u := b.update(); len(u.Unknown) != absent || len(u.Synced) != len(kinds) {
		t.Errorf("%+v", u)
	}
	b.replace(source.BGPPeer, nil)
	if !b.ready() {
		t.Error("that a kind is known now is not delivered")
	}
	if u := b.update(); len(u.Unknown) != absent-1 {
		t.Errorf("unknown: %v", u.Unknown)
	}
	b.withhold(source.BGPPeer)
	if b.ready() {
		t.Error("what was read once is unknown again")
	}
}
