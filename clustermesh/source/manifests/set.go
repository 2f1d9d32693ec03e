package manifests

import (
	"cmp"
	"maps"
	"reflect"
	"slices"

	"tombolo.io/tombolo/clustermesh/source"
)

// set is what all files say together, and what was delivered of it.
type set struct {
	files map[string]*file
	// where names the files that name an object, in the order of their names.
	where map[source.Key][]string
	// holder is the file from which an object was delivered.
	holder map[source.Key]string
	// delivered is what the receiver has.
	delivered map[source.Key][]source.Object
	// conflicts are the objects that several files name.
	conflicts map[source.Key][]source.Problem
	// unknown are those that are claimed and were never delivered.
	unknown map[source.Key]struct{}
	// blind counts the files that are.
	blind int
	// touched are the objects to look at anew.
	touched map[source.Key]struct{}
	// reported says that problems or skipped kinds may have changed since it
	// was last reset.
	reported bool
}

func newSet() *set {
	return &set{
		files: map[string]*file{}, where: map[source.Key][]string{}, holder: map[source.Key]string{}, delivered: map[source.Key][]source.Object{},
		conflicts: map[source.Key][]source.Problem{}, unknown: map[source.Key]struct{}{}, touched: map[source.Key]struct{}{},
	}
}

// put replaces what a file says; nil when there is no such file any more.
func (s *set) put(name string, f *file) {
	if old := s.files[name]; old != nil {
		for k := range old.keys {
			s.where[k] = slices.DeleteFunc(s.where[k], func(n string) bool { return n == name })
		}
		s.account(old, -1)
		delete(s.files, name)
	}
	if f == nil {
		return
	}
	s.files[name] = f
	for k := range f.keys {
		names := s.where[k]
		i, _ := slices.BinarySearch(names, name)
		s.where[k] = slices.Insert(names, i, name)
	}
	s.account(f, 1)
}

// account marks what a file that comes or goes makes due.
func (s *set) account(f *file, by int) {
	for k := range f.keys {
		s.touched[k] = struct{}{}
	}
	if f.blind {
		s.blind += by
	}
	s.reported = s.reported || len(f.problems) > 0 || len(f.remarks) > 0 || len(f.skipped) > 0
}

// doubtful returns, sorted, the objects that may exist and were never known: a
// file of which not even that can be told may hold any.
func (s *set) doubtful() []source.Key {
	out := slices.SortedFunc(maps.Keys(s.unknown), compareKeys)
	if s.blind > 0 {
		out = append(out, source.Key{})
	}
	return out
}

// changes returns, sorted, the difference of what the files say and what was
// delivered, and takes it for delivered.
func (s *set) changes() []source.Change {
	var out []source.Change
	for k := range s.touched {
		was, had := s.delivered[k]
		objects, state := s.decide(k)
		s.conflict(k)
		delete(s.unknown, k)
		switch {
		case state == stateHeld && !(had && reflect.DeepEqual(was, objects)):
			s.delivered[k] = objects
			out = append(out, source.Change{Key: k, Objects: objects})
		case state == stateClaimed && !had:
			s.unknown[k] = struct{}{}
		case state == stateGone && had:
			delete(s.delivered, k)
			out = append(out, source.Change{Key: k})
		}
		if len(s.where[k]) == 0 {
			delete(s.where, k)
			delete(s.holder, k)
		}
	}
	clear(s.touched)
	slices.SortFunc(out, func(a, b source.Change) int { return compareKeys(a.Key, b.Key) })
	return out
}

// state is what the files together say of an object.
type state int

const (
	stateGone    state = iota // nobody names it
	stateClaimed              // its state cannot be told: it stays as it was
	stateHeld
)

// named returns the files that name an object: the one that holds it first, if
// it still does, so that no other definition takes its place; then by name.
func (s *set) named(k source.Key) []string {
	names := s.where[k]
	i := slices.Index(names, s.holder[k])
	if i < 1 {
		return names
	}
	return slices.Insert(slices.Delete(slices.Clone(names), i, i+1), 0, names[i])
}

// decide says what an object is: the first file that names it holds. If that
// one cannot tell its state and nothing was delivered yet, the next is asked.
func (s *set) decide(k source.Key) ([]source.Object, state) {
	_, had := s.delivered[k]
	out := stateGone
	for _, name := range s.named(k) {
		if p, ok := s.files[name].held[k]; ok {
			s.holder[k] = name
			return p.objects, stateHeld
		}
		out = stateClaimed
		if had {
			break
		}
	}
	return nil, out
}

// conflict notes that several files name an object, or that they no longer do.
func (s *set) conflict(k source.Key) {
	names := s.named(k)
	if len(names) < 2 {
		if _, ok := s.conflicts[k]; ok {
			delete(s.conflicts, k)
			s.reported = true
		}
		return
	}
	first := s.files[names[0]]
	line, _ := first.lineOf(k)
	var problems []source.Problem
	for _, name := range names[1:] {
		f := s.files[name]
		at, _ := f.lineOf(k)
		problems = append(problems, source.Problem{
			Place: f.place(at), Object: k.String(), Reason: "is also in " + first.place(line) + ", and that one holds",
		})
	}
	s.conflicts[k] = problems
	s.reported = true
}

// problems returns all that is wrong, sorted by place.
func (s *set) problems() []source.Problem {
	var out []source.Problem
	for _, f := range s.files {
		out = append(out, f.problems...)
	}
	for _, p := range s.conflicts {
		out = append(out, p...)
	}
	return sorted(out)
}

// remarks returns all that means nothing, sorted by place.
func (s *set) remarks() (out []source.Problem) {
	for _, f := range s.files {
		out = append(out, f.remarks...)
	}
	return sorted(out)
}

func sorted(all []source.Problem) []source.Problem {
	slices.SortFunc(all, func(a, b source.Problem) int {
		return cmp.Or(comparePlaces(a.Place, b.Place), cmp.Compare(a.Reason, b.Reason))
	})
	return all
}

// skipped returns how many documents of each kind that is not ours there are.
func (s *set) skipped() map[string]int {
	out := map[string]int{}
	for f := range maps.Values(s.files) {
		for kind, n := range f.skipped {
			out[kind] += n
		}
	}
	return out
}

func compareKeys(a, b source.Key) int {
	return cmp.Or(
		cmp.Compare(slices.Index(source.Kinds[:], a.Kind), slices.Index(source.Kinds[:], b.Kind)),
		cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}
