package manifests

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tombolo.io/tombolo/clustermesh"
	"tombolo.io/tombolo/clustermesh/source"
)

// The notation of a file: "n1=a n2=b" are nodes in the zones a and b; "n3!" is
// a document that is wrong, "!" one that cannot be read at all; "-" is no such
// file, "?" one that cannot be read.
func notated(name, text string, before *file) *file {
	switch text {
	case "-":
		return nil
	case "?":
		return unreadable(name, errors.New("denied"), before)
	}
	var b strings.Builder
	for word := range strings.FieldsSeq(text) {
		b.WriteString("---\n")
		node, zone, good := strings.Cut(word, "=")
		switch {
		case good:
			fmt.Fprintf(&b, "apiVersion: v1\nkind: Node\nmetadata: {name: %s, labels: {topology.kubernetes.io/zone: %s}}\n", node, zone)
		case word == "!":
			b.WriteString("a: [\n")
		default:
			fmt.Fprintf(&b, "apiVersion: v1\nkind: Node\nmetadata: {name: %s}\nspec: {podCIDR: 1}\n", strings.TrimSuffix(word, "!"))
		}
	}
	return parse(name, []byte(b.String()), before)
}

func put(s *set, name, text string) { s.put(name, notated(name, text, s.files[name])) }

// rendered renders changes: "+n1=a" was put, "-n1" is gone.
func rendered(changes []source.Change) string {
	var out []string
	for _, c := range changes {
		if len(c.Objects) == 0 {
			out = append(out, "-"+c.Key.Name)
			continue
		}
		out = append(out, "+"+c.Key.Name+"="+c.Objects[0].(*clustermesh.Node).Zone)
	}
	return strings.Join(out, " ")
}

func TestSet(t *testing.T) {
	type step struct{ file, text, want string }
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"what changed, and nothing else", []step{
			{"a", "n1=a n2=a", "+n1=a +n2=a"}, {"a", "n1=a n2=a", ""}, {"a", "n1=b n2=a", "+n1=b"}, {"a", "n2=a", "-n1"}, {"a", "-", "-n2"},
		}},
		{"a wrong document keeps its object as it was", []step{
			{"a", "n1=a n2=a", "+n1=a +n2=a"}, {"a", "n1! n2=b", "+n2=b"}, {"a", "n1! n2=b", ""}, {"a", "n1=a n2=b", ""},
		}},
		{"a wrong document that is removed takes its object along", []step{
			{"a", "n1=a", "+n1=a"}, {"a", "n1!", ""}, {"a", "", "-n1"},
		}},
		{"one that cannot be read keeps all that the file held", []step{
			{"a", "n1=a n2=a n3=a", "+n1=a +n2=a +n3=a"}, {"a", "! n1=b", "+n1=b"}, {"a", "! n4=a", "+n4=a"}, {"a", "n1=b n4=a", "-n2 -n3"},
		}},
		{"a file that cannot be read keeps all", []step{
			{"a", "n1=a", "+n1=a"}, {"a", "?", ""}, {"a", "?", ""}, {"a", "n1=a", ""}, {"a", "?", ""}, {"a", "-", "-n1"},
		}},
		{"the file that held first goes on, whatever the names", []step{
			{"b", "n1=b", "+n1=b"}, {"c", "n1=c", ""}, {"a", "n1=a", ""}, {"b", "n1=d", "+n1=d"}, {"b", "", "+n1=a"}, {"a", "-", "+n1=c"}, {"c", "-", "-n1"},
		}},
		{"it goes on, though it is wrong now", []step{
			{"a", "n1=a", "+n1=a"}, {"b", "n1=b", ""}, {"a", "n1!", ""}, {"a", "-", "+n1=b"},
		}},
		{"unless it never said anything right", []step{
			{"a", "n1!", ""}, {"b", "n1=b", "+n1=b"}, {"a", "n1=a", ""},
		}},
		{"moved to another file", []step{
			{"a", "n1=a", "+n1=a"}, {"b", "n1=a", ""}, {"a", "-", ""},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSet()
			for i, st := range c.steps {
				put(s, st.file, st.text)
				if got := rendered(s.changes()); got != st.want {
					t.Errorf("step %d, %s: %s: got %q, want %q", i, st.file, st.text, got, st.want)
				}
			}
		})
	}
}

// A rename is one batch: put under the new name, gone under the old.
func TestSetRename(t *testing.T) {
	s := newSet()
	put(s, "a", "n1=a")
	s.changes()
	put(s, "a", "-")
	put(s, "b", "n1=a")
	if got := rendered(s.changes()); got != "" {
		t.Errorf("a rename changed %s", got)
	}
}

func TestSetDoubtful(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []string // file a, one after the other
		want  string
	}{
		{"all is known", []string{"n1=a"}, ""},
		{"a document that never was right", []string{"n1!"}, "Node n1"},
		{"and then is", []string{"n1!", "n1=a"}, ""},
		{"and then goes", []string{"n1!", ""}, ""},
		{"wrong now, but known", []string{"n1=a", "n1!"}, ""},
		{"one that never could be read", []string{"! n1=a"}, " "},
		{"nor the second time", []string{"! n1=a", "! n1=b"}, " "},
		{"and then could", []string{"!", "n1=a"}, ""},
		{"cannot be read now, but what it held is known", []string{"n1=a", "!"}, ""},
		{"a file that never could be read", []string{"?"}, " "},
		{"and then goes", []string{"?", "-"}, ""},
	} {
		s := newSet()
		for _, text := range c.steps {
			put(s, "a", text)
			s.changes()
		}
		if got := fmt.Sprint(s.doubtful()); got != "["+c.want+"]" {
			t.Errorf("%s: %s", c.name, got)
		}
	}
}

// A newcomer is the one that is reported.
func TestSetNewcomerIsReported(t *testing.T) {
	s := newSet()
	put(s, "b", "n1=b")
	s.changes()
	put(s, "a", "n1=a")
	s.changes()
	if got, want := fmt.Sprint(s.problems()), "[{a:2 Node n1 is also in b:2, and that one holds}]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSetProblems(t *testing.T) {
	s := newSet()
	put(s, "b", "n1=b n2=b")
	put(s, "a", "n2=a n1=a n9!")
	put(s, "c", "?")
	s.changes()
	var got []string
	for _, p := range s.problems() {
		got = append(got, fmt.Sprint(p))
	}
	want := []string{
		"{a:13 Node n9 spec.podCIDR: wants a string, is a number}",
		"{b:2 Node n1 is also in a:6, and that one holds}",
		"{b:6 Node n2 is also in a:2, and that one holds}",
		"{c  reading: denied}",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	put(s, "a", "-")
	put(s, "c", "-")
	s.changes()
	if left := s.problems(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// Random files, against a model that looks at all of them each time. It knows
// no claims, so its files are never wrong.
func TestSetAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	s, text := newSet(), map[string]string{}
	have, holder := map[string]string{}, map[string]string{}
	for range 3000 {
		name := string(rune('a' + r.IntN(4)))
		var words []string
		for n := range 5 {
			if r.IntN(2) == 0 {
				words = append(words, fmt.Sprintf("n%d=z%d", n, r.IntN(3)))
			}
		}
		text[name] = strings.Join(words, " ")
		put(s, name, text[name])
		for _, c := range s.changes() {
			if delete(have, c.Key.Name); len(c.Objects) > 0 {
				have[c.Key.Name] = c.Objects[0].(*clustermesh.Node).Zone
			}
		}
		want := map[string]string{}
		for n := range 5 {
			node := fmt.Sprintf("n%d", n)
			zone, of := zoneOf(text[holder[node]], node), holder[node]
			for _, name := range slices.Sorted(maps.Keys(text)) {
				if zone == "" {
					zone, of = zoneOf(text[name], node), name
				}
			}
			if zone != "" {
				want[node], holder[node] = zone, of
			}
		}
		if !maps.Equal(have, want) {
			t.Fatalf("files %v: got %v, want %v", text, have, want)
		}
	}
}

// zoneOf returns the zone that a file gives a node, empty for none.
func zoneOf(text, node string) string {
	for word := range strings.FieldsSeq(text) {
		if name, zone, _ := strings.Cut(word, "="); name == node {
			return zone
		}
	}
	return ""
}
