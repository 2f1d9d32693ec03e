package kubernetes

import (
	"fmt"
	"net/netip"
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
	p.verified("first")
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
	written := func(k source.Kind) bool { return k == source.ServiceImport }
	if want := slices.DeleteFunc(slices.Clone(source.Kinds[:]), written); !slices.Equal(got, want) {
		t.Errorf("%v are read, sources deliver %v", got, want)
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
	p.verified("second")
	p.at(2)
	p.list("")
	p.verified("second")
	p.at(3)
	p.wants("all came back, so the store is believed from then on", "")

	p = newPaper(t, source.Shrink{}, nodes(0, 2))
	p.list(nodes(1, 2))
	p.verified("second")
	p.at(1)
	p.put(source.Node, entries("n00=b")[0])
	p.at(2)
	p.list("")
	p.verified("second")
	p.at(3)
	p.wants("that it came back was watched", "")

	p = newPaper(t, source.Shrink{}, nodes(0, 2))
	p.list(nodes(0, 2)) // the last of the first store, which is lost before it is asked
	p.verified("second")
	p.at(1)
	p.list("")
	p.verified("second")
	p.at(2)
	p.wants("one list that lacks nothing is no reason to believe the store", nodes(0, 2))
}

// A store is believed for the kinds that were listed from it, and no others: a
// kind may be refused for long after its definition or the role were lost.
func TestStoreIsBelievedByKind(t *testing.T) {
	for _, c := range []struct {
		name, store string
		rule        source.Shrink
		next        int64
		want        string
	}{
		{"the store of before", "first", source.Shrink{}, 0, ""},
		{"another, for good", "second", source.Shrink{}, 0, "tor0 tor1 tor2"},
		{"another, held", "second", source.Shrink{Hold: 10 * time.Second}, 13, "tor0 tor1 tor2"},
		{"another, allowed", "second", source.Shrink{Allow: true}, 0, ""},
	} {
		p := newPaper(t, c.rule, nodes(0, 2))
		for i := range 3 {
			e := &entry{objects: []source.Object{&clustermesh.BGPPeer{}}}
			e.Name = fmt.Sprintf("tor%d", i)
			p.put(source.BGPPeer, e)
		}
		p.at(0)
		p.list(nodes(1, 2))
		p.verified(c.store)
		p.at(1)
		p.put(source.Node, entries("n00=a")[0])
		p.at(2)
		p.list(nodes(0, 2))
		p.verified(c.store)
		p.at(2)
		if p.wants(c.name, nodes(0, 2)); len(p.held()) > 0 {
			t.Errorf("%s: all nodes came back, and are held: %v", c.name, p.held())
		}
		p.replace(source.BGPPeer, nil)
		p.verified(c.store)
		if next := p.at(3); next != c.next {
			t.Errorf("%s: judged again at %d, want %d", c.name, next, c.next)
		}
		if got := p.names(source.BGPPeer); got != c.want {
			t.Errorf("%s: of the peers there are %q, want %q", c.name, got, c.want)
		}
		if held := fmt.Sprint(p.held()); (c.want == "") != (held == "[]") || c.want != "" && !strings.Contains(held, "3 of 3 objects of kind BGPPeer") {
			t.Errorf("%s: held: %s", c.name, held)
		}
	}
}

// names returns what is held of a kind.
func (p *paper) names(k source.Kind) string {
	var out []string
	for key := range p.shelves[k].held {
		out = append(out, key.Name)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// services notates Services: "web=10.96.0.1,fd00::1", and with "~" before its name one
// that was derived of an import.
func services(text string) (out []*entry) {
	for _, f := range strings.Fields(text) {
		name, ips, _ := strings.Cut(strings.TrimPrefix(f, "~"), "=")
		var all []netip.Addr
		for _, ip := range strings.Split(ips, ",") {
			all = append(all, netip.MustParseAddr(ip))
		}
		e := &entry{objects: []source.Object{&clustermesh.Service{ClusterIPs: all}}}
		if f[0] == '~' {
			e.objects = []source.Object{&source.ImportAddress{IPs: all}}
		}
		e.Namespace, e.Name = "shop", name
		out = append(out, e)
	}
	return out
}

// While a list that lacks much is not believed, a Service whose address another has now
// is gone all the same: it alone, and only if the store is the same.
func TestAddressOfMissingIsAnothers(t *testing.T) {
	var many []string
	for i := range 30 {
		many = append(many, fmt.Sprintf("s%02d=10.96.0.%d", i, i+1))
	}
	many[7] = "s07=10.96.0.8,fd00::8"
	all := strings.Join(many, " ")
	for _, c := range []struct{ name, store, list, put, gone string }{
		{"in the list", "first", "new=10.96.0.1", "", "s00"},
		{"watched", "first", "", "new=10.96.0.1", "s00"},
		{"one family", "first", "new=10.96.9.9,fd00::8", "", "s07"},
		{"derived of an import", "first", "~new=10.96.0.3", "", "s02"},
		{"nobody's", "first", "new=10.96.9.9", "", ""},
		{"another that is missing has it", "first", "", "", ""},
		{"another store", "second", "new=10.96.0.1", "", ""},
	} {
		p := newPaper(t, source.Shrink{}, "")
		p.replace(source.Service, services(all))
		p.verified("first")
		p.at(0)
		p.replace(source.Service, services(c.list))
		p.at(1)
		if got := p.names(source.Service); !strings.HasPrefix(strings.TrimPrefix(got, "new "), "s00 ") {
			t.Errorf("%s: which store it is was not asked yet, and there are %s", c.name, got)
		}
		p.verified(c.store)
		p.at(2)
		for _, e := range services(c.put) {
			p.put(source.Service, e)
		}
		p.at(3)
		var gone []string
		for i := range 30 {
			name := fmt.Sprintf("s%02d", i)
			if p.shelves[source.Service].held[source.Key{Kind: source.Service, Namespace: "shop", Name: name}] == nil {
				gone = append(gone, name)
			}
		}
		if got := strings.Join(gone, " "); got != c.gone {
			t.Errorf("%s: gone are %q, want %q", c.name, got, c.gone)
		}
		if want, missing := 30-len(gone), len(p.shelves[source.Service].missing); missing != want {
			t.Errorf("%s: %d are held, want %d", c.name, missing, want)
		}
	}
}

// Where it is not known yet which store there was, the one that answers is it.
func TestFirstStore(t *testing.T) {
	for _, c := range []struct{ first, second, want string }{
		{"first", "first", ""},
		{"first", "second", nodes(0, 2)},
		{"", "second", ""}, // there was no namespace kube-system yet
	} {
		p := &paper{t, *newBook(source.Shrink{}), map[string]string{}}
		for _, k := range kinds {
			p.replace(k.Kind, nil)
		}
		p.list(nodes(0, 2))
		p.verified(c.first)
		p.at(0)
		p.list("")
		p.verified(c.second)
		p.at(1)
		p.wants(c.first+" and then "+c.second, c.want)
	}
}

// Why the store cannot be asked is said with what stays for it.
func TestSilentStore(t *testing.T) {
	p := newPaper(t, source.Shrink{}, nodes(0, 2))
	p.list("")
	p.silent("no route")
	p.at(1)
	p.wants("nobody answers", nodes(0, 2))
	if held := fmt.Sprint(p.held()); !strings.Contains(held, "which store it has: no route") {
		t.Errorf("held: %s", held)
	}
	p.verified("")
	p.at(2)
	p.wants("another store is being made", nodes(0, 2))
	if held := fmt.Sprint(p.held()); !p.unverified() || !strings.Contains(held, "no namespace kube-system yet") {
		t.Errorf("it is not asked again; held: %s", held)
	}
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
	p.at(3)
	if got := unknown(); got != "[Node n4]" || len(p.problems()) != 1 {
		t.Errorf("a list that is not verified knows better: unknown %s, problems %v", got, p.problems())
	}
	p.verified("first")
	p.at(4)
	if got := unknown(); got != "[]" || len(p.problems()) > 0 || len(p.held()) > 0 {
		t.Errorf("what was never known and is gone: unknown %s, problems %v, held %v", got, p.problems(), p.held())
	}
	p.wants("the others are as they were", "n2=b n3=a")
}

// What is unknown is as little swept for a list that is not believed as what was
// delivered: objects that were wrong since the start, and a kind without its
// definition.
func TestDoubtsOutliveListsOfAnotherStore(t *testing.T) {
	for _, c := range []struct {
		name, store string
		rule        source.Shrink
		doubt, want string
	}{
		{"an object, the same store", "first", source.Shrink{}, "n2", "[] []"},
		{"an object, another store", "second", source.Shrink{}, "n2",
			`[Node n2] [1 of 1 objects of kind Node are not in the list, and stay: the API has another store than before, for the namespace kube-system has the UID "second" and had "first"; allow it with --allow-shrink]`},
		{"an object, allowed", "second", source.Shrink{Allow: true}, "n2", "[] []"},
		{"a kind, the same store", "first", source.Shrink{}, "", "[] []"},
		{"a kind, another store", "second", source.Shrink{}, "",
			`[Node ] [what is stored of kind Node from before it could be listed stays: the API has another store than before, for the namespace kube-system has the UID "second" and had "first"; allow it with --allow-shrink]`},
		{"a kind, held until now", "second", source.Shrink{Hold: time.Second}, "", "[] []"},
	} {
		p := &paper{t, *newBook(c.rule), map[string]string{}}
		p.replace(source.Namespace, []*entry{system("first")})
		if c.doubt == "" {
			p.withhold(source.Node)
		} else {
			p.list(c.doubt + "!")
		}
		for _, k := range kinds {
			if k.Kind != source.Node && k.Kind != source.Namespace {
				p.replace(k.Kind, nil)
			}
		}
		p.verified("first")
		p.at(0)
		p.list("")
		p.at(1)
		if u := p.unknown; len(u) != 1 {
			t.Errorf("%s: before the store said which it is, unknown is %v", c.name, u)
		}
		p.verified(c.store)
		p.at(2)
		p.at(3)
		p.doubted = true
		if got := fmt.Sprint(p.update().Unknown, p.held()); got != c.want {
			t.Errorf("%s: unknown and held are\n%s, want\n%s", c.name, got, c.want)
		}
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
	if u := b.update(); len(u.Unknown) != absent || len(u.Synced) != len(source.Kinds) {
		t.Errorf("%+v", u)
	}
	b.replace(source.BGPPeer, nil)
	b.verified("first")
	b.judge(time.Unix(0, 0))
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

// Of which store all is that was delivered: not known before it was asked, and another
// one only when nothing is left of the one before.
func TestOrigin(t *testing.T) {
	b := newBook(source.Shrink{})
	for _, k := range kinds {
		b.replace(k.Kind, nil)
	}
	if got := b.update().Origin; got != source.UnknownOrigin {
		t.Errorf("before it was asked it is of %q", got)
	}
	if b.verified("first"); !b.ready() || b.update().Origin != "first" {
		t.Error("the answer is not delivered")
	}
	if b.ready() {
		t.Error("it is delivered again")
	}
	p := newPaper(t, source.Shrink{Hold: 10 * time.Second}, nodes(0, 3))
	p.list(nodes(0, 2))
	p.verified("second")
	p.at(1)
	for range 2 { // one list may be a cache's of before
		for _, k := range kinds {
			if k.Kind != source.Node {
				p.replace(k.Kind, nil)
			}
		}
		p.replace(source.Namespace, []*entry{system("second")})
		p.verified("second")
		p.at(2)
	}
	if p.origin != "first" {
		t.Errorf("while nodes of another store stay it is of %q", p.origin)
	}
	p.at(11)
	p.wants("they go", nodes(0, 2))
	if p.origin != "second" {
		t.Errorf("then it is of %q", p.origin)
	}
}
